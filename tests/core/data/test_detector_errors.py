# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawn errors are those of the table, and the fit finds the table they were drawn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from video_to_pose.data import detector_errors as errors
from video_to_pose.data.detector_fit import Observed, fit
from video_to_pose.errors import InputError
from video_to_pose.lift.normalize import LIFTER_KEYPOINTS

REST = {  # left side, metres, facing the camera: x to the picture's right, y down
    "nose": (0.0, -0.62, -0.10),
    "eye": (0.03, -0.66, -0.08),
    "ear": (0.07, -0.64, 0.0),
    "shoulder": (0.18, -0.45, 0.0),
    "elbow": (0.30, -0.20, 0.02),
    "wrist": (0.34, 0.05, -0.04),
    "pinky": (0.37, 0.13, -0.03),
    "index": (0.34, 0.14, -0.07),
    "thumb": (0.31, 0.10, -0.08),
    "hip": (0.09, 0.0, 0.0),
    "knee": (0.12, 0.43, -0.05),
    "ankle": (0.12, 0.85, 0.0),
    "heel": (0.12, 0.90, 0.05),
    "foot_index": (0.14, 0.91, -0.15),
}
LIMBS = np.isin(errors.GROUP_OF[errors.KIND_OF], (2, 3))
FOCAL = 500.0
HALF = np.array([320.0, 240.0])


def people(count: int, frames: int, seed: int, facing: np.ndarray | None = None) -> np.ndarray:
    """(N, F, K, 3) in camera space: figures that turn slowly and swing their limbs, about 4 m away."""
    rng = np.random.default_rng(seed)
    rest = np.array([np.array(REST[errors.KINDS[k]]) * (s, 1, 1)
                     for k, s in zip(errors.KIND_OF, errors.SIDE_OF, strict=True)])  # fmt: skip
    time = np.arange(frames)[None, :, None, None] / 30
    swing = np.zeros((1, 1, len(rest), 3)) + np.where(LIMBS[:, None], [[0.05, 0.05, 0.12]], 0)
    points = rest + swing * np.sin(
        4 * time + rng.uniform(0, 6, (count, 1, 1, 1)) + errors.SIDE_OF[:, None] + rest[:, 1:2] * 2
    )
    turn = rng.uniform(-np.pi, np.pi, count) if facing is None else facing
    angle = turn[:, None] + 0.3 * np.sin(time[..., 0, 0])
    c, s = np.cos(angle)[..., None], np.sin(angle)[..., None]
    x, y, z = np.moveaxis(points, -1, 0)
    turned = np.stack([c * x - s * z, y, s * x + c * z], axis=-1)
    return turned + np.concatenate([rng.normal(0, 0.2, (count, 1, 1, 2)), rng.uniform(3.5, 5, (count, 1, 1, 1))], -1)


def project(points: np.ndarray) -> np.ndarray:
    return FOCAL * points[..., :2] / points[..., 2:]


def draw(points: np.ndarray, seed: int = 0, **more) -> tuple[np.ndarray, np.ndarray]:
    half = np.tile(HALF, (len(points), 1))
    return errors.draw_errors(project(points), points, half, np.random.default_rng(seed), **more)


def relative(points: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """(N, F, K, 2) errors as shares of the person's size."""
    pixels = project(points)
    size = np.sqrt(np.mean(np.sum((pixels - pixels.mean(axis=2, keepdims=True)) ** 2, -1), 2))
    return (noisy - pixels) / size[..., None, None]


def lasting(table: errors.DetectorErrors, way: float, seconds: float) -> errors.DetectorErrors:
    """The table with nothing but noise that lasts so long."""
    return replace(
        table,
        shares=np.tile(np.float32([0, 1, 0]), (4, 1)),
        lasting=np.tile(np.float32([way, seconds]), (4, 1)),
        smooth_s=np.full(4, 1e-3, np.float32),
    )


@pytest.fixture(scope="module")
def committed() -> errors.DetectorErrors:
    return errors.load_errors()


@pytest.fixture(scope="module")
def plain(committed) -> errors.DetectorErrors:
    """The committed table without bias, wandering and events: noise alone."""
    return replace(
        committed,
        bias=np.zeros_like(committed.bias),
        limb_bias=np.zeros_like(committed.limb_bias),
        event_rate=np.zeros_like(committed.event_rate),
        missing=np.float32(0),
        clip_wander=np.float32(0),
        wander=np.zeros_like(committed.wander),
    )


class TestDraws:
    def test_the_same_seed_gives_the_same(self):
        points = people(3, 20, 0)
        first, again, other = draw(points, 5), draw(points, 5), draw(points, 6)
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1], again[1])
        assert np.abs(first[0] - other[0]).max() > 1

    def test_shapes_and_ranges(self):
        noisy, scores = draw(people(3, 20, 0))
        assert noisy.shape == (3, 20, len(LIFTER_KEYPOINTS), 2)
        assert scores.shape == noisy.shape[:-1]
        assert noisy.dtype == scores.dtype == np.float32
        assert np.isfinite(noisy).all()
        assert 0 <= scores.min() <= scores.max() <= 1

    def test_noise_has_the_spread_of_the_table(self, plain):
        points = people(300, 8, 1)
        off = relative(points, draw(points, table=plain)[0])
        state = errors.circumstances(project(points), points, np.tile(HALF, (300, 1))).state
        for k, kind in enumerate(errors.KIND_OF):
            seen = off[:, :, k][state[:, :, k] == errors.SEEN]
            if len(seen) > 600:
                assert seen.std() == pytest.approx(plain.spread[kind, errors.SEEN], rel=0.25)

    def test_errors_do_not_depend_on_the_unit_of_pixels(self):
        points = people(2, 10, 2)
        pixels, half = project(points), np.tile(HALF, (2, 1))
        large = errors.draw_errors(pixels, points, half, np.random.default_rng(3))[0]
        small = errors.draw_errors(pixels / 320, points, half / 320, np.random.default_rng(3))[0]
        np.testing.assert_allclose(small * 320, large, atol=0.05)

    def test_noise_lasts_as_the_table_says(self, plain):
        slow = lasting(plain, way=np.inf, seconds=0.2)
        points = people(200, 30, 4)
        for rate in (30.0, 60.0):
            off = relative(points, draw(points, table=slow, frame_rate=rate)[0])[:, :, LIFTER_KEYPOINTS.index("nose")]
            kept = np.sum(off[:, 12:] * off[:, :-12]) / np.sum(off[:, 12:] ** 2)
            assert kept == pytest.approx(np.exp(-12 / (rate * 0.2)), abs=0.08)

    def test_noise_changes_as_limbs_move(self, plain):
        table = lasting(plain, way=0.2, seconds=np.inf)
        still, moving = people(100, 2, 11)[:, :1].repeat(8, axis=1), people(100, 8, 11)
        change = [np.abs(np.diff(relative(p, draw(p, table=table)[0]), axis=1))[:, :, LIMBS] for p in (still, moving)]
        assert change[0].max() < 1e-4
        assert np.median(change[1]) > 0.002

    def test_bias_follows_the_way_the_person_faces(self, plain):
        bias = np.zeros_like(plain.bias)
        shoulder = errors.KINDS.index("shoulder")
        bias[shoulder, 0] = [0.2, 0.1]  # facing the camera
        table = replace(plain, bias=bias, spread=np.full_like(plain.spread, 1e-6))
        left, right = (LIFTER_KEYPOINTS.index(f"{side}_shoulder") for side in ("left", "right"))
        towards = people(1, 1, 0, np.zeros(1))
        off = relative(towards, draw(towards, table=table)[0])[0, 0]
        np.testing.assert_allclose(off[left], [0.2, 0.1], atol=0.02)
        np.testing.assert_allclose(off[right], [-0.2, 0.1], atol=0.02)
        away = people(1, 1, 0, np.full(1, np.pi))
        assert np.abs(relative(away, draw(away, table=table)[0])).max() < 0.01

    def test_a_mirrored_person_has_mirrored_errors(self, committed):
        points = people(400, 4, 7)
        mirrored = points[:, :, errors.MIRROR] * [-1, 1, 1]
        off = relative(points, draw(points, 1, table=committed)[0])
        back = relative(mirrored, draw(mirrored, 2, table=committed)[0])[:, :, errors.MIRROR] * [-1, 1]
        np.testing.assert_allclose(np.median(off, axis=(0, 1)), np.median(back, axis=(0, 1)), atol=0.02)
        np.testing.assert_allclose(np.median(np.abs(off), axis=(0, 1)), np.median(np.abs(back), axis=(0, 1)), atol=0.02)

    def test_scores_fall_with_the_error(self):
        points = people(200, 10, 8)
        noisy, scores = draw(points)
        off, scores = np.linalg.norm(relative(points, noisy), axis=-1)[:, :, LIMBS], scores[:, :, LIMBS]
        assert scores[off < 0.05].mean() > scores[off > 0.4].mean() + 0.15

    def test_landmarks_outside_the_picture_are_worse_and_known_to_be(self, committed):
        calm = replace(committed, event_rate=np.zeros_like(committed.event_rate), missing=np.float32(0))
        points = people(200, 4, 9, np.zeros(200)) + [0.0, 1.2, -1.0]  # feet below the picture
        noisy, scores = draw(points, table=calm)
        out = (np.abs(project(points)) > HALF).any(axis=-1)
        ankle = LIFTER_KEYPOINTS.index("left_ankle")
        assert out[:, :, ankle].mean() > 0.9
        inside = people(200, 4, 9, np.zeros(200))
        good, sure = draw(inside, table=calm)
        worse, better = (np.linalg.norm(relative(p, q), axis=-1)[:, :, ankle] for p, q in
                         ((points, noisy), (inside, good)))  # fmt: skip
        assert np.median(worse) > 1.3 * np.median(better)
        assert np.median(scores[:, :, ankle]) < np.median(sure[:, :, ankle]) - 0.1

    def test_exchanged_legs_lie_on_each_other(self, plain):
        rate = np.zeros_like(plain.event_rate)
        rate[errors.EVENTS.index("legs exchanged")] = 0.5
        table = replace(plain, event_rate=rate, spread=np.full_like(plain.spread, 1e-5), event_s=np.full(5, 0.5))
        points = people(40, 30, 10)
        off = np.linalg.norm(draw(points, table=table)[0] - project(points), axis=-1)
        knee, wrist = (LIFTER_KEYPOINTS.index(f"left_{part}") for part in ("knee", "wrist"))
        assert np.mean(off[:, :, knee] > 1) == pytest.approx(0.5, abs=0.12)
        assert off[:, :, wrist].max() < 1
        exchanged = off[:, :, knee] > 1
        assert np.mean(exchanged[:, 1:] != exchanged[:, :-1]) < 0.12  # it lasts

    def test_far_limbs_are_hidden_by_the_trunk(self):
        sideways = people(20, 1, 0, np.full(20, np.pi / 2))
        seen = errors.circumstances(project(sideways), sideways, np.tile(HALF, (20, 1)))
        assert (seen.facing > 1).all()  # the left side turned away
        left, right = (seen.hidden[:, 0, LIFTER_KEYPOINTS.index(f"{side}_elbow")] for side in ("left", "right"))
        assert left.mean() > 0.5 > 0.1 > right.mean()


class TestCommittedTable:
    def test_is_sane(self, committed):
        seen = committed.spread[:, errors.SEEN]
        assert ((seen > 0.01) & (seen < 0.12)).all()
        wrist = errors.KINDS.index("wrist")
        assert committed.spread[wrist, errors.HIDDEN] > 1.5 * committed.spread[wrist, errors.SEEN]
        assert np.abs(committed.bias).max() < 0.4
        np.testing.assert_allclose(committed.shares.sum(axis=1), 1, atol=1e-3)
        assert ((committed.lasting[:, 0] > 0.05) & (committed.lasting[:, 0] < 2)).all()
        assert (committed.smooth_s < 0.1).all()
        assert (committed.event_rate < 0.2).all()
        assert committed.missing < 0.1
        np.testing.assert_allclose(np.diag(committed.correlation), 1, atol=1e-2)
        assert (np.diff(committed.score, axis=-1) >= -1e-3).all()

    def test_is_small(self):
        assert errors.TABLE.stat().st_size < 100_000


@pytest.fixture(scope="module")
def found(committed) -> tuple[errors.DetectorErrors, errors.DetectorErrors]:
    """A table, and what is fitted to clips with its errors."""
    rate = np.zeros_like(committed.event_rate)
    rate[errors.EVENTS.index("legs exchanged")] = 0.06
    told = replace(
        lasting(committed, way=0.2, seconds=1.0),
        event_rate=rate,
        event_s=np.full(5, 0.3, np.float32),
        shares=np.tile(np.float32([0.2, 0.7, 0.1]), (4, 1)),
        missing=np.float32(0.0),
        score_s=np.float32(0.03),
    )
    points = people(48, 50, 21)
    noisy, scores = draw(points, 22, table=told)
    clips = [Observed(project(p), p, HALF, n, s, 30.0) for p, n, s in zip(points, noisy, scores, strict=True)]
    return told, fit(clips, rounds=2)


class TestFit:
    def test_finds_the_spread(self, found):
        told, fitted = found
        np.testing.assert_allclose(
            np.log(fitted.spread[:, errors.SEEN]), np.log(told.spread[:, errors.SEEN]), atol=np.log(1.5)
        )

    def test_finds_how_noise_lasts(self, found):
        told, fitted = found
        assert np.exp(np.mean(np.log(fitted.lasting[:, 0]))) == pytest.approx(0.2, rel=0.7)
        assert fitted.shares[:, 1] == pytest.approx(told.shares[:, 1], abs=0.3)
        points = people(60, 30, 40)
        change = [np.median(np.abs(np.diff(relative(points, draw(points, 3, table=table)[0]), axis=1)), axis=(0, 1, 3))
                  for table in (told, fitted)]  # fmt: skip
        np.testing.assert_allclose(np.log(change[1]), np.log(change[0]), atol=np.log(1.5))

    def test_finds_the_exchanges(self, found):
        fitted = found[1]
        legs = errors.EVENTS.index("legs exchanged")
        assert fitted.event_rate[legs].mean() == pytest.approx(0.06, abs=0.03)
        assert 0.15 < fitted.event_s[legs] < 0.45  # told 0.3 s
        assert fitted.event_rate[errors.EVENTS.index("body exchanged")].max() < 0.01

    def test_finds_the_bias(self, found):
        told, fitted = found
        points = people(40, 4, 31)
        seen = errors.circumstances(project(points), points, np.tile(HALF, (40, 1)))
        size = seen.size[..., None, None]
        away = np.linalg.norm((errors.bias(told, seen) - errors.bias(fitted, seen)) / size, axis=-1)
        assert np.median(away) < 0.02
        assert np.median(away) < 0.4 * np.median(np.linalg.norm(errors.bias(told, seen) / size, axis=-1))

    def test_finds_how_scores_tell(self, found):
        told, fitted = found
        middle = list(errors.QUANTILES).index(0.5)
        wrist = errors.KINDS.index("wrist")
        np.testing.assert_allclose(
            fitted.score[wrist, errors.SEEN, 1:5, middle], told.score[wrist, errors.SEEN, 1:5, middle], atol=0.2
        )

    def test_a_saved_table_is_the_same(self, found, tmp_path):
        found[1].save(tmp_path / "table.npz")
        again = errors.load_errors(tmp_path / "table.npz")
        np.testing.assert_allclose(again.spread, found[1].spread)
        np.testing.assert_allclose(again.score, found[1].score, atol=1e-3)

    def test_nothing_to_fit_to_is_said(self):
        with pytest.raises(InputError, match="too few frames"):
            fit([])

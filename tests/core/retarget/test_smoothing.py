# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoothing keeps punches, takes jitter, neither lags nor shrinks, and knows no up, no side and no frame rate."""

from itertools import pairwise

import numpy as np
import pytest

from tests.motions import SHARED
from video_to_pose.retarget import smoothing
from video_to_pose.retarget.smoothing import PRESETS, smooth_path, smooth_rotations
from video_to_pose.rotation import make_continuous, matrix_to_quat, normalize, quat_conjugate, quat_multiply

PUNCHES = ("test/14_08", "train/13_15", "train/martial_06")
needs_mocap = pytest.mark.skipif(not (SHARED / "data" / "mocap").is_dir(), reason="no captured motion at hand")


def about_x(degrees):
    half = np.radians(np.asarray(degrees, dtype=float)) / 2
    return np.stack([np.cos(half), np.sin(half), 0 * half, 0 * half], axis=-1)


def angles_of(quats):
    """Degrees about x, unwrapped."""
    return np.degrees(np.unwrap(2 * np.arctan2(quats[..., 1], quats[..., 0]), axis=0))


def trembling(frames=3000, degrees=2.0):
    turn = np.radians(degrees) / 2 * np.random.default_rng(0).normal(size=(frames, 3))
    return normalize(np.concatenate([np.ones((frames, 1)), turn], axis=1))


def random_turns(*shape):
    return normalize(np.random.default_rng(1).normal(size=(*shape, 4)))


def fist_speed(clip, side, step, preset):
    """(F - 1,) m/s of a fist: hips, chest, upper arm and forearm smoothed each in its parent's axes, put together."""
    chain = {"Hips": "trunk", "Spine1": "trunk", f"{side}Arm": "arms", f"{side}ForeArm": "arms"}
    times = np.arange(0, clip.frame_count, step) / clip.frame_rate
    world = [matrix_to_quat(clip.rotations[bone][::step]) for bone in chain]
    local = [world[0], *(quat_multiply(quat_conjugate(a), b) for a, b in pairwise(world))]
    smooth = [
        smooth_rotations(q, times, smoothing.cutoff_hz(part, preset))
        for q, part in zip(local, chain.values(), strict=True)
    ]
    spans = [[0, 0, 0], [0, 0, 0.5]] + [
        length * clip.rest_directions[side + bone] for bone, length in (("Arm", 0.28), ("ForeArm", 0.33))
    ]
    place = smooth_path(clip.hips[::step], times, smoothing.cutoff_hz("trunk", preset))
    turn = np.array([1.0, 0, 0, 0])
    for quat, span in zip(smooth, spans, strict=True):
        turn = quat_multiply(turn, quat)
        place = place + quat_multiply(quat_multiply(turn, np.array([0.0, *span])), quat_conjugate(turn))[:, 1:]
    return np.linalg.norm(np.diff(place, axis=0), axis=1) * clip.frame_rate / step


@needs_mocap
@pytest.mark.parametrize(
    ("preset", "usual", "nearly_all"), [("light", 0.99, 0.95), ("standard", 0.93, 0.77), ("strong", 0.75, 0.5)]
)
def test_captured_blows_keep_their_speed(preset, usual, nearly_all):
    from video_to_pose.data import mocap

    kept = []
    for name in PUNCHES:
        clip = mocap.load(SHARED / "data" / "mocap" / f"{name}.bvh")
        for side in ("Left", "Right"):
            true, smooth = (fist_speed(clip, side, 2, p) for p in ("off", preset))
            near = [slice(max(0, f - 3), f + 4) for f in range(len(true))]
            blows = [f for f, speed in enumerate(true) if speed > 4.0 and speed == true[near[f]].max()]
            kept += [smooth[near[f]].max() / true[f] for f in blows]
    assert len(kept) > 30
    assert np.median(kept) > usual and np.percentile(kept, 10) > nearly_all


@needs_mocap
def test_a_boxers_jab_keeps_95_percent_of_its_speed_at_light_and_93_at_all_others():
    from video_to_pose.data import mocap

    clip = mocap.load(SHARED / "data" / "mocap" / "test" / "14_08.bvh")
    for step in (1, 2):
        tops = {preset: fist_speed(clip, "Right", step, preset).max() for preset in PRESETS}
        assert tops["off"] > 4.0
        assert tops["light"] > 0.95 * tops["off"]
        assert min(tops.values()) > 0.93 * tops["off"]


@pytest.mark.parametrize(
    ("rate", "preset", "noise", "jitter"),
    [
        (30, "light", 0.95, 0.89),
        (30, "standard", 0.65, 0.26),
        (30, "strong", 0.47, 0.055),
        (60, "light", 0.66, 0.26),
        (60, "standard", 0.47, 0.055),
        (60, "strong", 0.34, 0.012),
    ],
)
def test_noise_and_jitter_fall_to_stated_shares(rate, preset, noise, jitter):
    rough = trembling()
    smooth = smooth_rotations(rough, np.arange(len(rough)) / rate, PRESETS[preset])
    assert smooth[:, 1:].std() < noise * rough[:, 1:].std()
    assert np.diff(smooth, 2, axis=0).std() < jitter * np.diff(rough, 2, axis=0).std()


@pytest.mark.parametrize("cutoff", [3.0, 6.0, 12.0])
def test_the_gain_at_the_cutoff_is_one_over_root_two_and_there_is_no_lag(cutoff):
    times = np.arange(1200) / 240
    swing = 10 * np.sin(2 * np.pi * cutoff * times)
    smooth = angles_of(smooth_rotations(about_x(swing), times, cutoff))
    middle = slice(200, -200)
    assert np.std(smooth[middle]) / np.std(swing[middle]) == pytest.approx(np.sqrt(0.5), rel=0.01)
    likeness = [np.sum(smooth[middle] * np.roll(swing, shift)[middle]) for shift in range(-5, 6)]
    assert np.argmax(likeness) == 5  # in 240ths of a second


@pytest.mark.parametrize("cutoff", [3.0, 6.0, 12.0])
@pytest.mark.parametrize("phase", [0, 45, 90, 135])
def test_the_ends_of_a_clip_neither_lag_nor_shrink(cutoff, phase):
    times = np.arange(121) / 30
    swing = 45 * np.sin(2 * np.pi * cutoff / 4 * times + np.radians(phase))
    off = np.abs(angles_of(smooth_rotations(about_x(swing), times, cutoff)) - swing)
    assert off.max() < 0.015 * 45


def test_a_steady_spin_stays_as_it_is_to_its_ends():
    times = np.arange(40) / 30
    spin = 700 * times
    smooth = smooth_rotations(about_x(spin), times, PRESETS["standard"])
    assert np.abs(angles_of(smooth) - spin).max() < 0.2


@pytest.mark.parametrize("side", ["world", "bone"])
def test_smoothing_a_turned_motion_is_turning_a_smoothed_one(side):
    rough = make_continuous(quat_multiply(trembling(90, 30.0)[:, None], random_turns(1, 3)))
    times, turn = np.arange(90) / 30, random_turns()
    smooth = smooth_rotations(rough, times, 5.0)
    if side == "world":
        rough, smooth = quat_multiply(turn, rough), quat_multiply(turn, smooth)
    else:
        rough, smooth = quat_multiply(rough, turn), quat_multiply(smooth, turn)
    likeness = np.abs(np.sum(smooth_rotations(rough, times, 5.0) * smooth, axis=-1))
    np.testing.assert_allclose(likeness, 1.0, atol=1e-12)


def test_signs_that_jump_change_nothing_and_come_out_continuous():
    rough = about_x(400 * np.arange(60) / 30)
    jumping = rough * np.where(np.random.default_rng(0).random(60) < 0.5, -1.0, 1.0)[:, None]
    smooth = smooth_rotations(jumping, np.arange(60) / 30, 6.0)
    assert np.all(np.sum(smooth[1:] * smooth[:-1], axis=-1) > 0)
    np.testing.assert_allclose(np.abs(np.sum(smooth * rough, axis=-1)), 1.0, atol=1e-5)


def test_time_is_what_the_timestamps_say():
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 3, 120))
    swing = 30 * np.sin(2 * np.pi * times)
    smooth = angles_of(smooth_rotations(about_x(swing), times, 6.0))
    assert np.abs(smooth - swing).max() < 0.02 * 30
    line = np.outer(times, [1.0, -2.0, 3.0])
    np.testing.assert_allclose(smooth_path(line, times, 1.0), line, atol=1e-9)


def test_seconds_count_and_not_frames():
    swings = []
    for rate in (30, 120):
        times = np.arange(3 * rate) / rate
        smooth = angles_of(smooth_rotations(about_x(40 * np.sin(2 * np.pi * 2.5 * times)), times, 5.0))
        swings.append(smooth[:: rate // 30])
    assert np.abs(swings[0] - swings[1])[8:-8].max() < 0.05


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_short_clips_and_clips_with_holes_stay_finite(frames):
    quats, times = random_turns(frames, 2), np.arange(frames) * 100.0
    np.testing.assert_allclose(smooth_rotations(quats, times, 6.0), make_continuous(quats), atol=1e-12)
    assert np.isfinite(smooth_path(quats, times / 3000, 6.0)).all()


def test_opposite_rotations_that_cancel_out_stay_unit():
    half_turns = np.where(np.arange(30)[:, None] % 2, about_x(0), about_x(180))
    smooth = smooth_rotations(half_turns, np.arange(30) / 30, 1.0)
    np.testing.assert_allclose(np.linalg.norm(smooth, axis=-1), 1.0, atol=1e-12)


def test_off_changes_not_a_bit():
    rough = make_continuous(random_turns(20, 3))
    np.testing.assert_array_equal(smooth_rotations(rough, np.arange(20) / 30, PRESETS["off"]), rough)
    np.testing.assert_array_equal(smooth_path(rough, np.arange(20) / 30, 0.0), rough)


def test_each_body_part_has_its_own_factor_or_preset():
    assert smoothing.cutoff_hz("left_forearm", "light") == PRESETS["light"]
    assert smoothing.cutoff_hz("trunk", "light") < PRESETS["light"]
    assert smoothing.cutoff_hz("left_foot", "strong", {"feet": "off"}) == 0.0
    assert smoothing.cutoff_hz("legs", "strong", {"legs": "light"}) == PRESETS["light"]
    assert smoothing.cutoff_hz("right_hand", "standard", {"hands": 2.0}) == 2 * PRESETS["standard"]
    assert smoothing.cutoff_hz("right_hand", "off", {"hands": 2.0}) == 0.0
    assert smoothing.cutoff_hz("right_hand", "light", {"feet": 2.0}) == PRESETS["light"]


@pytest.mark.parametrize(
    ("part", "body"),
    [
        ("hips", "trunk"),
        ("spine", "trunk"),
        ("neck", "head"),
        ("head", "head"),
        ("left_shoulder", "arms"),
        ("right_upper_arm", "arms"),
        ("left_elbow", "arms"),
        ("left_hand", "hands"),
        ("left_index", "hands"),
        ("right_upper_leg", "legs"),
        ("left_knee", "legs"),
        ("right_foot", "feet"),
        ("left_toe", "feet"),
    ],
)
def test_parts_of_bone_maps_belong_to_body_parts(part, body):
    assert smoothing.body_part(part) == body


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="there are off, light, standard, strong"):
        smoothing.cutoff_hz("arms", "soft")
    with pytest.raises(ValueError, match="unknown body parts: arm;"):
        smoothing.cutoff_hz("arms", "light", {"arm": 1.0})
    with pytest.raises(ValueError, match="negative"):
        smoothing.cutoff_hz("arms", "light", {"arms": -1.0})
    with pytest.raises(ValueError, match="timestamps"):
        smooth_path(np.zeros((4, 3)), np.arange(3), 6.0)

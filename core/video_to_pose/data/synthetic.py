# SPDX-License-Identifier: GPL-3.0-or-later
"""Endless training samples: captured motion on bodies of many proportions, seen by cameras as users hold them.

A `Bank` holds landmarks and joints of every clip for a few bodies. `draw` cuts random stretches out of it, puts a
camera before each, projects, and adds the errors that a detector was measured to make (`detector_errors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..lift.normalize import LIFTER_KEYPOINTS, normalize_keypoints
from ..rotation import axis_angle_to_matrix
from ..skeleton import BODY_32
from . import body as bodies
from .detector_errors import MIRROR, draw_errors
from .mocap import load, recombined

Floats = NDArray[np.float32]

_RECOMBINED = 1 / 3

PARTS = ("legs", "feet", "hips", "torso", "neck", "head", "arms", "hands", "shoulders")


@dataclass(frozen=True, eq=False)
class Bank:
    """Landmarks and joints of many clips.

    Attributes:
        points: (bodies, frames, 27 + 32, 3) landmarks (`LIFTER_KEYPOINTS`) then joints (`BODY_32`), metres, Z up.
        starts: (clips + 1,) first frame of each clip.
        frame_rate: frames per second.
    """

    points: Floats
    starts: NDArray[np.int64]
    frame_rate: float


def random_proportions(rng: np.random.Generator) -> dict[str, float]:
    """Sizes of body parts against the rest body (1.67 m): height 1.45 to 2.0 m, limbs ±6 % of that."""
    height = float(np.clip(rng.normal(1.03, 0.07), 0.87, 1.2))
    scales = {part: height * float(np.clip(rng.normal(1, 0.04), 0.9, 1.1)) for part in PARTS}
    scales["head"] = float(height**0.3 * np.clip(rng.normal(1, 0.04), 0.9, 1.1))
    return scales


def make_bank(mocap: Path, human: Path, body_count: int, seed: int, names: Sequence[str] | None = None) -> Bank:
    """Pose bodies through every clip of a folder: `body_count` times, each clip with new proportions each time.

    The first time has the clips as they are; after it every third clip gets the trunk and arms of another one.
    """
    body = bodies.load_body(human)
    order = [bodies.LANDMARKS.index(name) for name in LIFTER_KEYPOINTS]
    clips = [load(path) for path in sorted(mocap.glob("*.bvh")) if names is None or path.stem in names]
    starts = np.cumsum([0, *(clip.frame_count for clip in clips)])
    points = np.empty((body_count, starts[-1], len(order) + BODY_32.joint_count, 3), dtype=np.float32)
    for number, (clip, start) in enumerate(zip(clips, starts, strict=False)):
        for b in range(body_count):
            rng = np.random.default_rng([seed, number, b])
            other = clips[rng.integers(len(clips))] if b and rng.random() < _RECOMBINED else clip
            mixed = clip if other is clip else recombined(clip, other)
            posed = bodies.pose(body, mixed, scales=random_proportions(rng))
            both = bodies.landmarks(body, posed)[:, order], bodies.joints(body, posed, BODY_32)
            points[b, start : start + clip.frame_count] = np.concatenate(both, axis=1)
    return Bank(points, starts, clips[0].frame_rate)


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples ready for a network.

    Attributes:
        features: (N, F, 84) from `normalize_keypoints`.
        joints: (N, 2, 32, 3) of two neighbouring frames, relative to the pelvis, view axes, metres.
        up: (N, 2, 3) against gravity, view axes.
    """

    features: Floats
    joints: Floats
    up: Floats


def draw(
    bank: Bank, count: int, frames: int, answered: int, rng: np.random.Generator, *, exact_keypoints: bool = False
) -> Batch:
    """`count` random samples of `frames` frames at 30 frames a second, motion speed 0.7 to 1.4, half of them mirrored.

    The truth is that of frames `answered` and `answered` + 1. A clip shorter than the stretch is held at its last one.
    With `exact_keypoints` no detector errs, as if all were seen: what papers call clean projections.
    """
    keypoints, joints = _stretches(bank, count, frames, slice(answered, answered + 2), rng)
    mirrored = rng.random(count) < 0.5
    keypoints[mirrored] = _mirror(keypoints[mirrored], MIRROR)
    joints[mirrored] = _mirror(joints[mirrored], BODY_32.mirror)
    R_world_camera, position, focal, half_size = _cameras(joints[:, 0, 0], frames, rng)
    seen = (keypoints - position[:, None, None]) @ R_world_camera
    relative = (joints - joints[:, :, :1]) @ R_world_camera[:, answered : answered + 2]
    exact: Floats = (focal[:, None, None, None] * seen[..., :2] / np.maximum(seen[..., 2:], 0.05)).astype(np.float32)
    pixels, scores = exact, np.ones(exact.shape[:3], dtype=np.float32)
    if not exact_keypoints:
        pixels, scores = _other_detectors(exact, *draw_errors(exact, seen, half_size, rng), rng)
        scores = np.where(_unknown(count, rng)[:, None], 0.0, scores)
    # the user rarely knows the lens: half of the time the lifter is told the common one
    told = np.where(rng.random(count) < 0.5, 1.0 / np.tan(np.radians(30)), focal * rng.normal(1, 0.03, count))
    features, R_camera_view = normalize_keypoints(pixels, scores, told[:, None], np.zeros(2))
    R_camera_view = R_camera_view[:, answered : answered + 2]
    up = np.einsum("nfij,nfi->nfj", R_camera_view, R_world_camera[:, answered : answered + 2, 2])
    return Batch(features, (relative @ R_camera_view).astype(np.float32), up.astype(np.float32))


def _other_detectors(exact: Floats, pixels: Floats, scores: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Keypoints (N, F, 27, 2) and scores (N, F, 27) with smaller errors in some samples, and blind scores in others.

    The errors are those of one detector on rendered people: others, and real people, may have smaller ones. And some
    detectors and files say of every keypoint that it is certain.
    """
    smaller = rng.uniform(0.3, 1.0, len(exact))
    kind = rng.choice(3, len(exact), p=_STRENGTHS)
    strength = np.choose(kind, [np.ones_like(smaller), smaller, np.zeros_like(smaller)]).astype(np.float32)
    blind = rng.random(len(exact)) < _BLIND
    scores = np.where(blind[:, None, None] & (scores > 0), np.float32(1), scores)
    return exact + strength[:, None, None, None] * (pixels - exact), scores


_STRENGTHS = (0.65, 0.25, 0.1)  # share of samples with errors as measured, with smaller ones, with none
_BLIND = 0.08

_LAYOUTS = (  # share of samples that lack these parts: other detectors' layouts, half bodies
    (0.08, ("pinky", "index", "thumb", "heel", "foot_index")),  # COCO's 17
    (0.05, ("pinky", "index", "thumb")),  # Halpe's 26
    (0.05, ("eye", "ear", "pinky", "index", "thumb", "heel", "foot_index")),
    (0.08, ("knee", "ankle", "heel", "foot_index")),  # seen to the hips
)


def _unknown(count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(N, 27) keypoints that the detector does not know or the picture never shows."""
    parts = [name.partition("_")[2] or name for name in LIFTER_KEYPOINTS]
    lacking = np.array([[False] * len(parts), *([part in absent for part in parts] for _, absent in _LAYOUTS)])
    shares = [share for share, _ in _LAYOUTS]
    return lacking[rng.choice(len(lacking), count, p=[1 - sum(shares), *shares])]


def _stretches(bank: Bank, count: int, frames: int, answered: slice, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Keypoints (N, F, 27, 3) of stretches of the bank, and joints (N, 2, 32, 3) of the answered frames; world axes."""
    lengths = np.diff(bank.starts)
    clip = rng.choice(len(lengths), count, p=lengths / lengths.sum())
    step = bank.frame_rate / 30.0 * rng.uniform(0.7, 1.4, count)
    span = step * (frames - 1)
    first = rng.uniform(-0.2, 1.0, count) * np.maximum(lengths[clip] - 1 - span, 0)
    time = np.clip(first[:, None] + step[:, None] * np.arange(frames), 0, lengths[clip, None] - 1.0)
    low = np.minimum(time.astype(int), lengths[clip, None] - 2)
    fraction = (time - low).astype(np.float32)[..., None, None]
    row, body = bank.starts[clip, None] + low, rng.integers(0, len(bank.points), count)[:, None]

    def between(points: Floats, part: slice) -> Floats:
        share, at = fraction[:, part], row[:, part]
        return points[body, at] * (1 - share) + points[body, at + 1] * share

    split = len(LIFTER_KEYPOINTS)
    return between(bank.points[:, :, :split], slice(None)), between(bank.points[:, :, split:], answered)


_CLOSE = 0.12
"""Share of cameras that show somebody to about the hips."""


def _mirror(points: Floats, other: NDArray[np.int64]) -> Floats:
    return points[:, :, other] * np.array([-1, 1, 1], dtype=np.float32)


def _cameras(target: Floats, frames: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats, Floats]:
    """Cameras as users hold them, one in five in motion.

    Args:
        target: (N, 3) what they look at.
        frames: F.
        rng: source of chance.

    Returns:
        R_world_camera (N, F, 3, 3), positions (N, 3), focal lengths in half long sides (N,), half sizes (N, 2).
    """
    count = len(target)
    fov = np.radians(np.where(rng.random(count) < 0.8, rng.uniform(42, 80, count), rng.uniform(25, 100, count)))
    focal = 1.0 / np.tan(fov / 2)
    aspect = rng.choice([9 / 16, 3 / 4, 1.0], count)
    portrait = rng.random(count) < 0.4
    half_size = np.where(
        portrait[:, None], np.stack([aspect, np.ones(count)], 1), np.stack([np.ones(count), aspect], 1)
    )
    yaw = rng.uniform(0, 2 * np.pi, count)
    usual, any_pitch = np.clip(rng.normal(-8, 13, count), -45, 32), rng.uniform(-42, 32, count)
    pitch = np.radians(np.where(rng.random(count) < 0.7, usual, any_pitch))  # negative looks down
    roll = np.radians(np.clip(rng.normal(0, 5, count) * rng.choice([1, 3], count, p=[0.8, 0.2]), -30, 30))
    level = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # camera axes of a level camera that looks along +Y
    R = (
        axis_angle_to_matrix(np.array([0.0, 0, 1]), yaw)
        @ level
        @ axis_angle_to_matrix(np.array([1.0, 0, 0]), -pitch)
        @ axis_angle_to_matrix(np.array([0.0, 0, 1]), roll)
    )
    # distance such that the person fills 25 % to 130 % of the picture's height, or that it shows an upper body
    close = rng.random(count) < _CLOSE
    fill = np.where(close, rng.uniform(1.2, 2.2, count), np.exp(rng.uniform(np.log(0.25), np.log(1.3), count)))
    distance = np.clip(1.7 * focal / (2 * fill * half_size[:, 1]), np.where(close, 0.8, 1.3), 12.0)
    aim = rng.normal(0, 0.25, (count, 2))
    aim[:, 1] = np.where(close, rng.uniform(0.5, 1.3, count), aim[:, 1])  # where the pelvis is, down the picture
    aim *= half_size / focal[:, None] * distance[:, None]
    position = target - np.einsum("nij,nj->ni", R, np.concatenate([aim, distance[:, None]], axis=1))

    moves = rng.random((count, 1)) < 0.2
    pan = rng.normal(0, 6, (count, 1)) * np.linspace(-1, 1, frames) + 4 * _lasting(rng.normal(size=(count, frames)), 15)
    turn = axis_angle_to_matrix(np.array([0.0, 0, 1]), np.radians(np.where(moves, pan, 0.0)))
    return tuple(value.astype(np.float32) for value in (turn @ R[:, None], position, focal, half_size))  # type: ignore[return-value]


def _lasting(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Moving average over frames (axis 1), so that a value lasts about `width` frames."""
    padded = np.concatenate([values[:, :1].repeat(width // 2, 1), values, values[:, -1:].repeat(width // 2, 1)], axis=1)
    total = np.cumsum(np.concatenate([np.zeros_like(padded[:, :1]), padded], axis=1), axis=1)
    return (total[:, width:] - total[:, :-width]) / width

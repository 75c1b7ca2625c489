# SPDX-License-Identifier: GPL-3.0-or-later
"""Endless training samples: captured motion on bodies of many proportions, seen by cameras as users hold them.

A `Bank` holds landmarks and joints of every clip for a few bodies. `draw` cuts random stretches out of it, puts a
camera before each, projects, and adds what detectors do to keypoints: jitter that lasts, outliers, side swaps,
scores that tell of the error, points outside the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..lift.normalize import LIFTER_KEYPOINTS, normalize_keypoints
from ..rotation import axis_angle_to_matrix
from ..skeleton import BODY_22, mirror_indices
from . import body as bodies
from .mocap import load

Floats = NDArray[np.float32]

PARTS = ("legs", "feet", "hips", "torso", "neck", "head", "arms", "hands", "shoulders")


@dataclass(frozen=True, eq=False)
class Bank:
    """Landmarks and joints of many clips, 60 frames a second.

    Attributes:
        points: (bodies, frames, 25 + 22, 3) landmarks (`LIFTER_KEYPOINTS`) then joints (`BODY_22`), metres, Z up.
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
    """Pose `body_count` bodies through every clip of a folder. The first body has the rest proportions."""
    rng = np.random.default_rng(seed)
    body = bodies.load_body(human)
    proportions = [dict.fromkeys(PARTS, 1.0), *(random_proportions(rng) for _ in range(body_count - 1))]
    order = [bodies.LANDMARKS.index(name) for name in LIFTER_KEYPOINTS]
    clips = [load(path) for path in sorted(mocap.glob("*.bvh")) if names is None or path.stem in names]
    starts = np.cumsum([0, *(clip.frame_count for clip in clips)])
    points = np.empty((body_count, starts[-1], len(order) + BODY_22.joint_count, 3), dtype=np.float32)
    for clip, start in zip(clips, starts, strict=False):
        for b, scales in enumerate(proportions):
            posed = bodies.pose(body, clip, scales=scales)
            both = np.concatenate([bodies.landmarks(body, posed)[:, order], bodies.joints(body, posed)], axis=1)
            points[b, start : start + clip.frame_count] = both
    return Bank(points, starts, clips[0].frame_rate)


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples ready for a network.

    Attributes:
        features: (N, F, 78) from `normalize_keypoints`.
        joints: (N, F, 22, 3) relative to the pelvis, view axes, metres.
        up: (N, F, 3) against gravity, view axes.
    """

    features: Floats
    joints: Floats
    up: Floats


def draw(bank: Bank, count: int, frames: int, rng: np.random.Generator) -> Batch:
    """`count` random samples of `frames` frames at 30 frames a second, motion speed 0.7 to 1.4, half of them mirrored.

    A clip shorter than the stretch is held at its last frame.
    """
    points = _stretches(bank, count, frames, rng)
    mirrored = rng.random(count) < 0.5
    points[mirrored] = _mirror(points[mirrored])
    keypoint_count = len(LIFTER_KEYPOINTS)
    camera_points, R_world_camera, focal, half_size = _see(points, rng)
    keypoints, joints = camera_points[:, :, :keypoint_count], camera_points[:, :, keypoint_count:]
    pixels = focal[:, None, None, None] * keypoints[..., :2] / np.maximum(keypoints[..., 2:], 0.05)
    pixels, scores = _detect(pixels, keypoints, half_size, rng)
    # the user rarely knows the lens: half of the time the lifter is told the common one
    told = np.where(rng.random(count) < 0.5, 1.0 / np.tan(np.radians(30)), focal * rng.normal(1, 0.03, count))
    features, R_camera_view = normalize_keypoints(pixels, scores, told[:, None], np.zeros(2))
    view_joints = (joints - joints[:, :, :1]) @ R_camera_view
    up = np.einsum("nfij,ni->nfj", R_camera_view, R_world_camera[:, 2])
    return Batch(features, view_joints.astype(np.float32), up.astype(np.float32))


def _stretches(bank: Bank, count: int, frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    lengths = np.diff(bank.starts)
    clip = rng.choice(len(lengths), count, p=lengths / lengths.sum())
    step = bank.frame_rate / 30.0 * rng.uniform(0.7, 1.4, count)
    span = step * (frames - 1)
    first = rng.uniform(-0.2, 1.0, count) * np.maximum(lengths[clip] - 1 - span, 0)
    time = np.clip(first[:, None] + step[:, None] * np.arange(frames), 0, lengths[clip, None] - 1.0)
    low = np.minimum(time.astype(int), lengths[clip, None] - 2)
    fraction = (time - low)[..., None, None]
    row = bank.starts[clip, None] + low
    body = rng.integers(0, len(bank.points), count)[:, None]
    return bank.points[body, row] * (1 - fraction) + bank.points[body, row + 1] * fraction


_MIRROR = np.concatenate([mirror_indices(LIFTER_KEYPOINTS), len(LIFTER_KEYPOINTS) + BODY_22.mirror])


def _mirror(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points[:, :, _MIRROR] * np.array([-1.0, 1.0, 1.0])


def _see(points: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    """Camera-space points, R_world_camera (N, 3, 3), focal in half long sides, half size of the picture (N, 2)."""
    count = len(points)
    fov = np.radians(np.where(rng.random(count) < 0.8, rng.uniform(42, 80, count), rng.uniform(25, 100, count)))
    focal = 1.0 / np.tan(fov / 2)
    aspect = rng.choice([9 / 16, 3 / 4, 1.0], count)
    portrait = rng.random(count) < 0.4
    half_size = np.where(
        portrait[:, None], np.stack([aspect, np.ones(count)], 1), np.stack([np.ones(count), aspect], 1)
    )

    yaw = rng.uniform(0, 2 * np.pi, count)
    pitch = np.radians(np.clip(rng.normal(-8, 13, count), -45, 32))  # negative looks down
    roll = np.radians(np.clip(rng.normal(0, 5, count) * rng.choice([1, 3], count, p=[0.8, 0.2]), -30, 30))
    level = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # camera axes of a level camera that looks along +Y
    R = (
        axis_angle_to_matrix(np.array([0.0, 0, 1]), yaw)
        @ level
        @ axis_angle_to_matrix(np.array([1.0, 0, 0]), -pitch)
        @ axis_angle_to_matrix(np.array([0.0, 0, 1]), roll)
    )
    # distance such that the person fills 25 % to 130 % of the picture's height
    fill = np.exp(rng.uniform(np.log(0.25), np.log(1.3), count))
    distance = np.clip(1.7 * focal / (2 * fill * half_size[:, 1]), 1.3, 12.0)
    joints = points[:, :, len(LIFTER_KEYPOINTS) :]
    target = joints[:, :, 0].mean(axis=1)
    aim = rng.normal(0, 0.25, (count, 2)) * half_size / focal[:, None] * distance[:, None]
    offset = np.einsum("nij,nj->ni", R, np.concatenate([aim, distance[:, None]], axis=1))
    position = target - offset
    camera = (points - position[:, None, None]) @ R[:, None]
    return camera, R, focal, half_size


def _detect(
    pixels: NDArray[np.float64],
    keypoints: NDArray[np.float64],
    half_size: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a detector makes of exact projections: (N, F, 25, 2) positions and (N, F, 25) scores."""
    count, frames, k, _ = pixels.shape
    centre = pixels.mean(axis=2, keepdims=True)
    size = np.sqrt(np.mean(np.sum((pixels - centre) ** 2, axis=-1), axis=2))[..., None, None]  # (N, F, 1, 1)
    limb = np.array([0.6 if name.split("_")[-1] in ("nose", "eye", "ear") else 1.0 for name in LIFTER_KEYPOINTS])
    level = rng.gamma(2.0, 0.5, (count, 1, 1)) * limb  # some videos are far worse than others
    # self-occlusion: points behind the trunk or far behind their counterpart are guessed
    depth = keypoints[..., 2] - keypoints[..., 2].mean(axis=2, keepdims=True)
    hidden = rng.random((count, frames, k)) < 0.08 + 0.35 * (depth > 0.12)
    hidden = _lasting(hidden.astype(float), 7) > 0.5
    outside = (np.abs(pixels) > half_size[:, None, None]).any(axis=-1)
    error = level * np.where(outside, 4.0, np.where(hidden, 2.2, 1.0))

    slow = _lasting(rng.normal(size=(count, frames, k, 2)), 15) * 3.0
    fast = rng.normal(size=(count, frames, k, 2))
    constant = rng.normal(size=(count, 1, k, 2))
    outlier = (rng.random((count, frames, k, 1)) < 0.01) * rng.normal(0, 12, (count, frames, k, 2))
    noise = 0.04 * slow + 0.012 * fast + 0.035 * constant + 0.01 * outlier
    noisy = pixels + noise * error[..., None] * size

    swap = _lasting(rng.random((count, frames, 1)), 5) < 0.30  # rare, lasts some frames
    swap &= rng.random((count, 1, 1)) < 0.15
    legs = np.array(["hip" in n or "knee" in n or "ankle" in n or "heel" in n or "foot" in n for n in LIFTER_KEYPOINTS])
    part = np.where(rng.random((count, 1, 1)) < 0.5, legs, ~legs)
    swapped = noisy[:, :, mirror_indices(LIFTER_KEYPOINTS)]
    noisy = np.where((swap & part)[..., None], swapped, noisy)

    scores = np.clip(rng.normal(0.97, 0.03, (count, frames, k)), 0, 1)
    guessed = _lasting(rng.random((count, frames, k)), 9)
    scores = np.where(hidden, np.clip(guessed + rng.normal(0, 0.2, (count, 1, k)), 0.05, 1), scores)
    scores = np.where(outside, 0.25 * guessed, scores)
    dropped = rng.random((count, 1, 1)) < 0.1  # whole stretches without legs, arms or hands
    missing = dropped & rng.permuted(np.broadcast_to(np.arange(k) < 3, (count, 1, k)), axis=2)
    scores = np.where(missing, 0.0, scores)
    return noisy, scores


def _lasting(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Moving average over frames (axis 1), so that a value lasts about `width` frames."""
    padded = np.concatenate([values[:, :1].repeat(width // 2, 1), values, values[:, -1:].repeat(width // 2, 1)], axis=1)
    total = np.cumsum(np.concatenate([np.zeros_like(padded[:, :1]), padded], axis=1), axis=1)
    return (total[:, width:] - total[:, :-width]) / width

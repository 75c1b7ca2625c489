# SPDX-License-Identifier: GPL-3.0-or-later
"""Free captured motion as a benchmark: bodies of known joints in front of still virtual cameras.

Every performer gets a body of their own proportions and every clip some cameras around it, drawn from the seed and
the names alone: the same files give the same sequences, whichever of them are asked for.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..lift.joint_keypoints import joint_keypoints
from ..lift.normalize import LIFTER_KEYPOINTS
from ..rotation import axis_angle_to_matrix
from ..skeleton import BODY_22, H36M_17, Skeleton
from . import body as bodies
from .lens import LensCamera
from .mocap import load
from .sequences import Sequence2D3D
from .synthetic import random_proportions

Array = NDArray[np.floating]

_LEVEL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""Camera axes of a level camera that looks along +Y."""


@dataclass(frozen=True)
class VirtualCameras:
    """What cameras are drawn for each clip. They stand around it at even angles, all of it in the picture.

    Attributes:
        count: cameras for each clip.
        image_size: width, height in pixels.
        fov_degrees: smallest and largest horizontal angle of view.
        pitch_degrees: lowest and highest look; negative looks down.
        roll_degrees: standard deviation of the roll.
        room: smallest and largest distance, against the nearest from which the whole clip is in the picture.
        nearest_m: never nearer than this to the middle of the path.
    """

    count: int = 4
    image_size: tuple[int, int] = (1000, 1000)
    fov_degrees: tuple[float, float] = (20.0, 65.0)
    pitch_degrees: tuple[float, float] = (-25.0, 5.0)
    roll_degrees: float = 3.0
    room: tuple[float, float] = (1.05, 1.7)
    nearest_m: float = 2.0


def virtual_sequences(
    mocap: Path,
    human: Path,
    *,
    skeleton: Skeleton = H36M_17,
    keypoint_names: tuple[str, ...] | None = None,
    cameras: VirtualCameras | None = None,
    rate: float = 30.0,
    seed: int = 0,
    subjects: Collection[str] | None = None,
    names: Collection[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Sequence2D3D]:
    """A folder of captured motion, each clip seen by each of its cameras, with exact keypoints (all scores 1).

    Args:
        mocap: folder of BVH files, with or without ``index.csv`` (file, subject, description).
        human: folder of the skinned body (see `data.body`).
        skeleton: joints by names of `BODY_22`.
        keypoint_names: names of `body.LANDMARKS` (points on the skin) or of `BODY_22`; None: the joints themselves,
            as the benchmarks' exact keypoints are.
        cameras: how they are drawn; None: `VirtualCameras()`.
        rate: frames per second; motion is interpolated where the clips' own rate is no multiple.
        seed: another seed gives other proportions and cameras.
        subjects: performers wanted; None: all.
        names: clips wanted; None: all.
        progress: called with clips done and clips in all.

    Returns:
        For each clip and camera a sequence: subject of the index, action "description clip".

    Raises:
        InputError: no clip is left, an unknown subject or clip, or joints and keypoints the body does not have.
    """
    cameras = VirtualCameras() if cameras is None else cameras
    keypoint_names = skeleton.joints if keypoint_names is None else tuple(keypoint_names)
    exact = keypoint_names == skeleton.joints
    unknown = [joint for joint in skeleton.joints if joint not in BODY_22.joints]
    unknown += [name for name in keypoint_names if name not in BODY_22.joints + bodies.LANDMARKS]
    if unknown:
        raise InputError(
            f"The body has no {', '.join(sorted(set(unknown)))}.",
            "Choose a skeleton by names of BODY_22 and keypoints by those or names of LANDMARKS.",
            "benchmark-joints",
        )
    body = bodies.load_body(Path(human))
    clips = _clips(Path(mocap), subjects, names)
    sequences = []
    for done, (path, subject, description) in enumerate(clips):
        clip = load(path)
        proportions = random_proportions(np.random.default_rng([seed, zlib.crc32(subject.encode())]))
        posed = bodies.pose(body, clip, scales=proportions)
        all_joints = bodies.joints(body, posed)
        joints = all_joints[:, [BODY_22.index(joint) for joint in skeleton.joints]]
        if exact:
            keypoints = joints
        else:
            skin = bodies.landmarks(body, posed)
            keypoints = np.stack(
                [
                    skin[:, bodies.LANDMARKS.index(name)]
                    if name in bodies.LANDMARKS
                    else all_joints[:, BODY_22.index(name)]
                    for name in keypoint_names
                ],
                axis=1,
            )
        joints, keypoints = (_resampled(points, clip.frame_rate, rate) for points in (joints, keypoints))
        rng = np.random.default_rng([seed, zlib.crc32(clip.name.encode())])
        for number, lens in enumerate(place_cameras(np.concatenate([joints, keypoints], axis=1), cameras, rng)):
            pixels = lens.project(lens.to_camera(keypoints))
            sequences.append(
                Sequence2D3D(
                    subject=subject,
                    action=f"{description} {clip.name}",
                    camera=str(number),
                    rate=rate,
                    skeleton=skeleton,
                    keypoint_names=keypoint_names,
                    keypoints=pixels,
                    scores=np.broadcast_to(np.float32(1.0), pixels.shape[:2]),
                    joints=lens.to_camera(joints),
                    image_size=cameras.image_size,
                    lens=lens,
                )
            )
        if progress is not None:
            progress(done + 1, len(clips))
    return sequences


def _clips(mocap: Path, subjects: Collection[str] | None, names: Collection[str] | None) -> list[tuple[Path, str, str]]:
    """Path, subject and description of each clip wanted, sorted by name."""
    paths = sorted(mocap.glob("*.bvh"))
    told: dict[str, tuple[str, str]] = {}
    index = mocap / "index.csv"
    if index.is_file():
        with index.open(encoding="utf-8", newline="") as file:
            told = {row["file"]: (row["subject"], row["description"]) for row in csv.DictReader(file)}
    clips = [(path, *told.get(path.name, (path.stem.partition("_")[0], "motion"))) for path in paths]
    for what, wanted, have in (
        ("performer", subjects, {subject for _, subject, _ in clips}),
        ("clip", names, {path.stem for path in paths}),
    ):
        missing = sorted(set(wanted or ()) - have)
        if missing or not have:
            raise InputError(
                f"{mocap} holds no {what}{' ' + ', '.join(missing) if missing else ''}.",
                f"It holds {', '.join(sorted(have)) or 'no BVH files'}.",
                "benchmark-subject-unknown",
            )
    return [
        (path, subject, description)
        for path, subject, description in clips
        if (subjects is None or subject in subjects) and (names is None or path.stem in names)
    ]


def _resampled(points: Array, source_rate: float, rate: float) -> Array:
    """(F, P, 3) at another rate, between frames on a straight line."""
    duration = (len(points) - 1) / source_rate
    time = np.arange(int(duration * rate + 1e-6) + 1) * (source_rate / rate)
    low = np.minimum(np.floor(time + 1e-6).astype(int), len(points) - 1)
    high, fraction = np.minimum(low + 1, len(points) - 1), np.maximum(time - low, 0.0)[:, None, None]
    return points[low] * (1 - fraction) + points[high] * fraction


def place_cameras(points: Array, cameras: VirtualCameras, rng: np.random.Generator) -> list[LensCamera]:
    """Still cameras around a clip that keep all of it in the picture.

    Args:
        points: (F, P, 3) everything that must be seen, world axes (Z up), metres.
        cameras: what is drawn.
        rng: source of chance.
    """
    flat = points.reshape(-1, 3)
    target = (flat.min(axis=0) + flat.max(axis=0)) / 2
    width, height = cameras.image_size
    first = rng.uniform(0, 2 * np.pi)
    placed = []
    for number in range(cameras.count):
        yaw = first + 2 * np.pi * (number + rng.uniform(-0.25, 0.25)) / cameras.count
        pitch, roll = np.radians(rng.uniform(*cameras.pitch_degrees)), np.radians(rng.normal(0, cameras.roll_degrees))
        focal = width / 2 / np.tan(np.radians(rng.uniform(*cameras.fov_degrees)) / 2)
        R = (
            axis_angle_to_matrix(np.array([0.0, 0, 1]), yaw)
            @ _LEVEL
            @ axis_angle_to_matrix(np.array([1.0, 0, 0]), -pitch)
            @ axis_angle_to_matrix(np.array([0.0, 0, 1]), roll)
        )
        local = (flat - target) @ R
        # |x| focal / (z + distance) must stay below half the picture, for every point
        needed = np.abs(local[:, :2]) * focal / (np.array([width, height]) / 2) - local[:, 2:]
        distance = max(float(needed.max()), float(-local[:, 2].min()) + 0.5) * rng.uniform(*cameras.room)
        distance = max(distance, cameras.nearest_m)
        placed.append(
            LensCamera(
                focal_px=np.full(2, focal),
                centre_px=np.array([width / 2, height / 2]),
                image_size=cameras.image_size,
                R_world_camera=R,
                position=target - R @ np.array([0.0, 0, distance]),
                radial=np.zeros(3),
                tangential=np.zeros(2),
            )
        )
    return placed


def detected(sequence: Sequence2D3D, *, seed: int = 0, level: float = 1.0) -> Sequence2D3D:
    """The sequence as a detector would see it: errors that last, worse on hidden limbs, and scores that tell of them.

    Args:
        sequence: with exact keypoints.
        seed: with the sequence's name, the source of chance.
        level: 1 errs by 1.5 % of the person's height on average (median 0.9 %); 0 gives the exact keypoints.

    Returns:
        The sequence with other keypoints and scores between 0.05 and 1.
    """
    rng = np.random.default_rng([seed, zlib.crc32(sequence.name.encode())])
    frames, count, _ = sequence.keypoints.shape
    pixels = sequence.keypoints.astype(np.float64)
    centre = pixels.mean(axis=1, keepdims=True)
    size = np.sqrt(np.mean(np.sum((pixels - centre) ** 2, axis=-1), axis=1))[:, None, None]
    depth = np.zeros((frames, count))
    for k, name in enumerate(sequence.keypoint_names):
        if name in sequence.skeleton.joints:
            depth[:, k] = sequence.joints[:, sequence.skeleton.index(name), 2] - sequence.joints[..., 2].mean(axis=1)
    behind = depth > 0.12
    hidden = _lasting((rng.random((frames, count)) < 0.04 + 0.25 * behind).astype(float), sequence.rate / 4)
    trouble = rng.gamma(2.0, 0.5) * (0.6 + 3.0 * hidden)  # (F, K): how wrong this detection tends to be
    step = sequence.rate / 30.0
    slow = _lasting(rng.normal(size=(frames, count, 2)), 15 * step) * np.sqrt(15 * step)
    fast = rng.normal(size=(frames, count, 2))
    constant = rng.normal(size=(1, count, 2))
    error = (0.035 * slow + 0.012 * fast + 0.02 * constant) * trouble[..., None]
    scores = np.clip(1.0 - 0.25 * trouble * rng.uniform(0.6, 1.4, (frames, count)), 0.05, 1.0)
    return sequence.with_keypoints(pixels + level * error * size, scores)


def as_joints(sequence: Sequence2D3D) -> Sequence2D3D:
    """A detector's landmarks (`LIFTER_KEYPOINTS`) taken for the skeleton's joints, as when videos are converted."""
    chosen = sequence.select(sequence.skeleton, LIFTER_KEYPOINTS)
    keypoints, scores = joint_keypoints(chosen.keypoints, chosen.scores, chosen.skeleton)
    return replace(sequence, keypoint_names=sequence.skeleton.joints, keypoints=keypoints, scores=scores)


def _lasting(values: Array, frames: float) -> Array:
    """Moving average over about that many frames (axis 0)."""
    half = max(round(frames) // 2, 0)
    padded = np.concatenate([values[:1].repeat(half, 0), values, values[-1:].repeat(half, 0)])
    total = np.cumsum(np.concatenate([np.zeros_like(padded[:1]), padded]), axis=0)
    return (total[2 * half + 1 :] - total[: -2 * half - 1]) / (2 * half + 1)

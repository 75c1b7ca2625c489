# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered clips with exact truth, as a real detector sees them: true pairs to train and to measure on.

A clip is a video and an ``.npz`` of the same name, as ``tools/render_clip.py`` writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..lift.normalize import LIFTER_KEYPOINTS, normalize_keypoints
from ..rotation import axis_angle_to_matrix
from ..settings import CaptureSettings
from ..skeleton import BODY_32, mirror_indices
from ..types import KeypointTrack
from .clips import load_truth, watch
from .synthetic import Batch

Array = NDArray[np.floating]

JOINTS: tuple[str, ...] = tuple(
    f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
)
"""The 12 limb joints that this project and detectors with a 3D guess of their own both give."""


@dataclass(frozen=True, eq=False)
class Detected:
    """What the detector says of a clip, and the truth at the same frames.

    Attributes:
        name: of the clip.
        track: keypoints of the person.
        world: (F, 12, 3) the detector's own 3D of `JOINTS`, metres, camera axes; NaN where it found nobody.
        joints: (F, J, 3) true joints, camera space, metres.
        joint_names: of `joints`.
        focal_px: the true focal length.
        up: (3,) against gravity, camera axes.
    """

    name: str
    track: KeypointTrack
    world: Array
    joints: Array
    joint_names: tuple[str, ...]
    focal_px: float
    up: Array


def detect_clip(path: Path, settings: CaptureSettings, cache: Path | None = None) -> Detected:
    """Run the detector over a rendered clip, or take what it said from `cache`, and read the clip's truth."""
    watched = watch(path, settings, cache)
    truth = load_truth(path).at(watched.track.timestamps)
    limbs = [watched.track.names.index(joint) for joint in JOINTS]
    return Detected(
        name=watched.name,
        track=watched.track,
        world=watched.world[:, limbs],
        joints=truth.joints.astype(np.float32),
        joint_names=truth.joint_names,
        focal_px=truth.camera.focal_px,
        up=truth.up,
    )


def draw_pairs(clips: Sequence[Detected], count: int, frames: int, answered: int, rng: np.random.Generator) -> Batch:
    """Random stretches of what the detector said and the truth, as samples for training (see `synthetic.draw`).

    Half are mirrored, the picture is rolled a little, and the lens told is the true one or the common one. Clips
    shorter than a stretch are left out.

    Args:
        clips: of one detector, all with the joints of `BODY_32`.
        count, frames: of samples, and of each.
        answered: the truth is that of this frame and the next.
        rng: source of chance.
    """
    usable = [clip for clip in clips if clip.track.frame_count >= frames]
    index = [usable[0].track.names.index(name) for name in LIFTER_KEYPOINTS]
    order = [usable[0].joint_names.index(joint) for joint in BODY_32.joints]
    positions, scores = np.empty((count, frames, len(index), 2)), np.empty((count, frames, len(index)))
    joints, up, focal = np.empty((count, 2, BODY_32.joint_count, 3)), np.empty((count, 3)), np.empty(count)
    for n, choice in enumerate(rng.integers(0, len(usable), count)):
        clip = usable[choice]
        start = rng.integers(0, clip.track.frame_count - frames + 1)
        part = slice(start, start + frames)
        centre, half = np.array(clip.track.image_size) / 2, max(clip.track.image_size) / 2
        positions[n] = (clip.track.positions[part][:, index] - centre) / half
        scores[n] = clip.track.scores[part][:, index]
        joints[n] = clip.joints[start + answered : start + answered + 2][:, order]
        up[n], focal[n] = clip.up, clip.focal_px / half
    mirrored = rng.random(count) < 0.5
    flip = mirror_indices(LIFTER_KEYPOINTS)
    positions[mirrored] = positions[mirrored][:, :, flip] * [-1, 1]
    scores[mirrored] = scores[mirrored][:, :, flip]
    joints[mirrored] = joints[mirrored][:, :, BODY_32.mirror] * [-1, 1, 1]
    up[mirrored] *= [-1, 1, 1]
    R = axis_angle_to_matrix(np.array([0.0, 0.0, 1.0]), np.radians(rng.normal(0, 6, count)))
    positions = np.einsum("nij,nfkj->nfki", R[:, :2, :2], positions)
    joints = np.einsum("nij,nfkj->nfki", R, joints)
    up = np.einsum("nij,nj->ni", R, up)
    told = np.where(rng.random(count) < 0.5, 1.0 / np.tan(np.radians(30)), focal)
    features, R_camera_view = normalize_keypoints(positions, scores, told[:, None], np.zeros(2))
    R_camera_view = R_camera_view[:, answered : answered + 2]
    view_joints = (joints - joints[:, :, :1]) @ R_camera_view
    view_up = np.einsum("nfij,ni->nfj", R_camera_view, up)
    return Batch(features, view_joints.astype(np.float32), view_up.astype(np.float32))

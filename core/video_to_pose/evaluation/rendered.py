# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure on rendered clips with exact truth: this project's lifter against the detector's own 3D guess.

A clip is a video and an ``.npz`` of the same name, as ``tools/render_clip.py`` writes them. Both contenders see the
same detections. Protocol: 12 limb joints (shoulders, elbows, wrists, hips, knees, ankles) in camera axes, relative to
the middle of the hips; frames where the detector found the person; the lifter is told no field of view unless
`fov` is true.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import bones, lift, motion
from ..data.rendered import JOINTS, Detected
from ..settings import CameraSettings, CaptureSettings
from ..types import Camera
from . import metrics

Array = NDArray[np.floating]

_BONES = [(0, 2), (1, 3), (2, 4), (3, 5), (6, 8), (7, 9), (8, 10), (9, 11), (6, 7)]


def compare(clip: Detected, lifter: lift.Lifter, settings: CaptureSettings, *, fov: bool = False) -> dict[str, Any]:
    """Figures of both contenders on one clip; the lifter with and without the motion stage's smoothing."""
    long_side = max(clip.track.image_size)
    true_fov = float(np.degrees(2 * np.arctan(long_side / 2 / clip.focal_px)))
    camera = CameraSettings(fov_degrees=true_fov if fov else None)
    focal, centre = motion.intrinsics(clip.track.image_size, camera)
    lifted = lifter(clip.track, focal, centre)
    raw = bones.compose(lifted.skeleton, lifted.directions, lifted.lengths)
    solved, placed = motion.solve(clip.track, lifted, camera, settings.motion)
    smooth = _camera_joints(placed, bones.compose(solved.skeleton, solved.directions, solved.lengths, solved.root))
    found = np.isfinite(clip.world).all(axis=(1, 2))
    index = [lifted.skeleton.index(joint) for joint in JOINTS]
    true = _rooted(clip.joints[:, [clip.joint_names.index(joint) for joint in JOINTS]])
    rate = (len(true) - 1) / (clip.track.timestamps[-1] - clip.track.timestamps[0])
    contenders = {"detector": clip.world, "lifter": raw[:, index], "solved": smooth[:, index]}
    up = placed.R_world_camera.T @ [0, 0, 1]
    result: dict[str, Any] = {"clip": clip.name, "frames": int(found.sum()), "up": up}
    for name, joints in contenders.items():
        result[name] = _figures(_rooted(joints)[found], true[found], float(rate))
    return result


def _camera_joints(camera: Camera, joints: Array) -> Array:
    return camera.to_camera(joints)


def _rooted(joints: Array) -> Array:
    return joints - joints[:, 6:8].mean(axis=1, keepdims=True)


def _figures(predicted: Array, true: Array, rate: float) -> dict[str, float]:
    return {
        "mpjpe_mm": metrics.mpjpe(predicted, true),
        "p_mpjpe_mm": metrics.p_mpjpe(predicted, true),
        "acceleration_m_s2": metrics.acceleration_error(predicted, true, rate),
        "bone_std_mm": metrics.bone_length_deviation(predicted, _BONES),
    }


def table(results: Iterable[dict[str, Any]]) -> str:
    """Frame-weighted means over clips, as a Markdown table."""
    rows = list(results)
    weights = np.array([row["frames"] for row in rows], dtype=float)
    lines = ["| | MPJPE mm | P-MPJPE mm | acceleration error m/s² | bone length std mm |", "|---|---|---|---|---|"]
    for contender in ("detector", "lifter", "solved"):
        keys = ("mpjpe_mm", "p_mpjpe_mm", "acceleration_m_s2", "bone_std_mm")
        means = [np.average([row[contender][key] for row in rows], weights=weights) for key in keys]
        lines.append(f"| {contender} | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")
    return "\n".join(lines)

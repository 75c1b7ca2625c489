# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a detector's landmarks tell of a skeleton's joints: where they are in the picture, and how surely.

The papers' networks read one keypoint for each joint they answer. Detectors see landmarks on the skin instead, and none
at all of pelvis, spine or crown. This one rule stands in for them both in training and in use, so that a network learns
what it will be given.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..skeleton import Skeleton
from ..types import KeypointTrack
from .normalize import LIFTER_KEYPOINTS

Floats = NDArray[np.floating]

_HIPS = {"left_hip": 0.5, "right_hip": 0.5}
_SHOULDERS = {"left_shoulder": 0.5, "right_shoulder": 0.5}
_EARS = {"left_ear": 0.5, "right_ear": 0.5}
_CROWN = 0.4  # of the way from shoulders to ears, beyond the ears


def _mixed(*parts: tuple[float, dict[str, float]]) -> dict[str, float]:
    mixed: dict[str, float] = {}
    for share, weights in parts:
        for name, weight in weights.items():
            mixed[name] = mixed.get(name, 0.0) + share * weight
    return mixed


FROM_LANDMARKS: dict[str, dict[str, float]] = {
    **{name: {name: 1.0} for name in LIFTER_KEYPOINTS},
    "pelvis": _HIPS,
    "spine": _mixed((0.6, _HIPS), (0.4, _SHOULDERS)),
    "thorax": _SHOULDERS,
    "head": _EARS,
    "head_top": _mixed((1 + _CROWN, _EARS), (-_CROWN, _SHOULDERS)),
    **{f"{side}_toe": {f"{side}_foot_index": 1.0} for side in ("left", "right")},
    **{f"{side}_hand": {f"{side}_index": 0.5, f"{side}_pinky": 0.5} for side in ("left", "right")},
    **{f"{side}_little": {f"{side}_pinky": 1.0} for side in ("left", "right")},
}
"""Joint -> weights of landmarks whose mean is where it is taken to be."""


def check_joints(skeleton: Skeleton) -> None:
    """Refuse skeletons with joints that no landmark tells of.

    Raises:
        InputError: which joints.
    """
    unknown = [joint for joint in skeleton.joints if joint not in FROM_LANDMARKS]
    if unknown:
        raise InputError(
            f"No detector's landmarks tell where {', '.join(unknown)} of {skeleton.name} are.",
            f"Use a network for a skeleton of these joints: {', '.join(FROM_LANDMARKS)}.",
            "joints-unseen",
        )


def joint_keypoints(positions: Floats, scores: Floats, skeleton: Skeleton) -> tuple[Floats, Floats]:
    """Positions (..., J, 2) and scores (..., J) of a skeleton's joints in the picture.

    Args:
        positions: (..., 27, 2) of `LIFTER_KEYPOINTS`, no gaps.
        scores: (..., 27); a joint's is the mean over its landmarks.
        skeleton: its joints (`check_joints`).
    """
    weights = landmark_weights(skeleton)
    trust = np.abs(weights) / np.abs(weights).sum(axis=1, keepdims=True)
    return np.einsum("jk,...kc->...jc", weights, positions), np.einsum("jk,...k->...j", trust, scores)


def landmark_weights(skeleton: Skeleton) -> Floats:
    """(J, 27) weights of `LIFTER_KEYPOINTS` whose sum is where each joint is taken to be (`check_joints`)."""
    check_joints(skeleton)
    weights = np.zeros((skeleton.joint_count, len(LIFTER_KEYPOINTS)))
    for row, joint in enumerate(skeleton.joints):
        for name, weight in FROM_LANDMARKS[joint].items():
            weights[row, LIFTER_KEYPOINTS.index(name)] = weight
    return weights


def joint_confidence(skeleton: Skeleton, track: KeypointTrack) -> NDArray[np.float32]:
    """(F, J) mean score of the keypoints that show each joint; 0 for joints that none of the track's shows."""
    columns = []
    for joint in skeleton.joints:
        shown_by = [name for name, weight in FROM_LANDMARKS.get(joint, {}).items() if weight > 0]
        index = [track.names.index(name) for name in shown_by if name in track.names]
        columns.append(track.scores[:, index].mean(axis=1) if index else np.zeros(track.frame_count))
    return np.stack(columns, axis=1).astype(np.float32)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoints as a lifter wants them: seen by a virtual camera that looks straight at the person.

The same pixels mean another pose at another place in the picture, under another lens and at another distance.
So every frame is turned to a virtual view whose axis goes through the person's trunk and whose unit is the
person's size; where the person was in the picture and how large stays known through three extra features.
The lifter answers in view axes; `R_camera_view` brings its answer back to camera axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..rotation import between, normalize

LIFTER_KEYPOINTS: tuple[str, ...] = (
    "nose",
    *(
        f"{side}_{part}"
        for part in (
            *("eye", "ear", "shoulder", "elbow", "wrist", "pinky", "index"),
            *("hip", "knee", "ankle", "heel", "foot_index"),
        )
        for side in ("left", "right")
    ),
    *("left_thumb", "right_thumb"),
)
"""The 27 keypoints lifters read, a subset of `skeleton.MEDIAPIPE_33`."""

MIN_SCORE = 0.01
"""Keypoints below this score count as not known: their place is not given to the lifter. It is low because a detector's
guess of what the picture cuts off, which it trusts least, is better than none."""

SURE_SCORE = 0.5
"""Keypoints with this score and more are all taken for certain. What scores between a half and one mean differs from
detector to detector, and a lifter that learnt one detector's habit must not stumble over another's."""

EXTRA_FEATURES = 3

_TRUNK = [LIFTER_KEYPOINTS.index(f"{side}_{part}") for side in ("left", "right") for part in ("shoulder", "hip")]


def feature_count(keypoint_count: int) -> int:
    """Features of one frame: x, y and score of each keypoint, then centre x, centre y and log size."""
    return 3 * keypoint_count + EXTRA_FEATURES


def normalize_keypoints(
    positions: ArrayLike, scores: ArrayLike, focal_px: ArrayLike, centre_px: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.floating]]:
    """Features of every frame and the rotation back to the camera.

    Args:
        positions: (..., 27, 2) pixels of `LIFTER_KEYPOINTS`; NaN where missing.
        scores: (..., 27) 0 … 1.
        focal_px: focal length in pixels, a number or one that broadcasts against (...).
        centre_px: (2,) or (..., 2) principal point.

    Returns:
        features (..., 84) and R_camera_view (..., 3, 3), which maps view axes to camera axes.
        A frame without any keypoint gives zeros and the identity.
    """
    positions = np.asarray(positions, dtype=np.float64)
    scores = np.minimum(np.asarray(scores, dtype=np.float64) / SURE_SCORE, 1.0)
    seen = (scores >= MIN_SCORE) & np.isfinite(positions[..., 0]) & np.isfinite(positions[..., 1])
    focal = np.asarray(focal_px, dtype=np.float64)[..., None, None]
    rays = np.where(seen[..., None], positions - np.asarray(centre_px)[..., None, :], 0.0) / focal

    weights = np.where(seen, np.clip(scores, MIN_SCORE, 1.0), 0.0)
    trunk = np.zeros_like(weights)
    trunk[..., _TRUNK] = weights[..., _TRUNK]
    trunk_seen = trunk.sum(axis=-1, keepdims=True) > 0
    centre = _weighted_mean(rays, np.where(trunk_seen, trunk, weights))  # (..., 2)

    axis = normalize(np.concatenate([centre, np.ones_like(centre[..., :1])], axis=-1))
    R_camera_view = between(np.array([0.0, 0.0, 1.0]), axis)
    # row vectors: R_camera_view^T applied to each ray (x, y, 1)
    view = rays @ R_camera_view[..., :2, :] + R_camera_view[..., 2:, :]
    view = view[..., :2] / np.maximum(view[..., 2:], 1e-3)

    size = np.sqrt(_weighted_mean((view[..., :1] ** 2 + view[..., 1:] ** 2), weights))  # (..., 1)
    size = np.where(size > 1e-6, size, 1.0)
    view = np.where(seen[..., None], view / size[..., None], 0.0)
    features = np.concatenate(
        [
            np.concatenate([view, np.where(seen, scores, 0.0)[..., None]], axis=-1).reshape(*scores.shape[:-1], -1),
            centre,
            np.log(size),
        ],
        axis=-1,
    )
    return features.astype(np.float32), R_camera_view


def _weighted_mean(values: NDArray[np.floating], weights: NDArray[np.floating]) -> NDArray[np.floating]:
    total = weights.sum(axis=-1)[..., None]
    return np.einsum("...k,...kc->...c", weights, values) / np.maximum(total, 1e-9)


def mirror_features(features: NDArray[np.float32], mirror: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features of the picture seen in a mirror: x negated, left and right keypoints exchanged.

    Args:
        features: (..., 3 K + 3).
        mirror: (K,) counterpart of each keypoint, from `skeleton.mirror_indices`.
    """
    keypoints = features[..., :-EXTRA_FEATURES].reshape(*features.shape[:-1], len(mirror), 3)
    flipped = keypoints[..., mirror, :] * np.array([-1, 1, 1], dtype=np.float32)
    extra = features[..., -EXTRA_FEATURES:] * np.array([-1, 1, 1], dtype=np.float32)
    return np.concatenate([flipped.reshape(*features.shape[:-1], -1), extra], axis=-1)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the person is: the root's path in camera space by reprojection."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..skeleton import Skeleton
from ..types import KeypointTrack
from .smooth import smooth

Array = NDArray[np.floating]

_HUBER_PX = 0.004  # of the picture's long side: larger residuals count linearly
_ITERATIONS = 12  # three wild keypoints in thirteen need so many to lose their pull
_NEAREST_M = 0.3
_MIN_SCORE = 0.1


def root_path(
    skeleton: Skeleton,
    joints: ArrayLike,
    track: KeypointTrack,
    focal_px: float,
    centre_px: ArrayLike,
    *,
    depth_cutoff_hz: float,
    cutoff_hz: float,
) -> Array:
    """Camera-space position of joint 0 (F, 3), metres.

    For every frame the translation t that minimises the reprojection error of the joints that are keypoints too:
    (X + t_x) - u (Z + t_z) = 0 and likewise for y, linear in t, reweighted for outliers. A single camera sees depth
    far worse than the sides, so log depth is smoothed first and the sides are then solved again at that depth.

    Args:
        skeleton: of `joints`.
        joints: (F, J, 3) relative to the root, camera axes, metres.
        track: the keypoints of the same frames.
        focal_px, centre_px: intrinsics.
        depth_cutoff_hz, cutoff_hz: smoothing of depth and of the sides.
    """
    names = [name for name in skeleton.joints if name in track.names]
    points = np.asarray(joints, dtype=np.float64)[:, [skeleton.index(name) for name in names]]
    columns = [track.names.index(name) for name in names]
    pixels, scores = track.positions[:, columns].astype(np.float64), track.scores[:, columns].astype(np.float64)
    seen = (scores >= _MIN_SCORE) & np.isfinite(pixels).all(axis=-1)
    rays = np.where(seen[..., None], pixels - np.asarray(centre_px), 0.0) / focal_px
    confidence = np.where(seen, scores, 0.0)
    usable = seen.sum(axis=1) >= 4

    weight = confidence.copy()
    limit = _HUBER_PX * max(track.image_size) / focal_px
    root = np.tile([0.0, 0.0, 3.0], (len(points), 1))
    for _ in range(_ITERATIONS):
        root[usable] = _translation(points[usable], rays[usable], weight[usable])
        root[:, 2] = np.maximum(root[:, 2], _NEAREST_M - points[..., 2].min(axis=1))
        depth = np.maximum(points[..., 2] + root[:, None, 2], _NEAREST_M)
        error = np.linalg.norm((points[..., :2] + root[:, None, :2]) / depth[..., None] - rays, axis=-1)
        weight = confidence * np.minimum(1.0, limit / np.maximum(error, 1e-9)) / depth**2

    if not usable.any():
        return root
    frames = np.arange(len(root))
    rate = track.frame_rate
    quality = weight.sum(axis=1) * root[:, 2] ** 2 * usable
    log_depth = np.interp(frames, frames[usable], np.log(root[usable, 2]))
    root[:, 2] = np.exp(smooth(log_depth, rate, depth_cutoff_hz, quality))
    target = rays * (points[..., 2:] + root[:, None, 2:]) - points[..., :2]
    total = np.maximum(weight.sum(axis=1), 1e-12)
    for axis in range(2):
        side = (weight * target[..., axis]).sum(axis=1) / total / root[:, 2]
        side = np.interp(frames, frames[usable], side[usable])
        root[:, axis] = smooth(side, rate, cutoff_hz, quality) * root[:, 2]
    return root


def _translation(points: Array, rays: Array, weight: Array) -> Array:
    """(F, 3) weighted least squares of (X + t_x) - u (Z + t_z) = 0, (Y + t_y) - v (Z + t_z) = 0."""
    u, v = rays[..., 0], rays[..., 1]
    bx, by = u * points[..., 2] - points[..., 0], v * points[..., 2] - points[..., 1]
    s = (weight).sum(axis=1)
    su, sv = (weight * u).sum(axis=1), (weight * v).sum(axis=1)
    suv = (weight * (u * u + v * v)).sum(axis=1)
    zero = np.zeros_like(s)
    normal = np.stack(
        [np.stack([s, zero, -su], -1), np.stack([zero, s, -sv], -1), np.stack([-su, -sv, suv], -1)], axis=-2
    )
    right = np.stack(
        [(weight * bx).sum(axis=1), (weight * by).sum(axis=1), -(weight * (u * bx + v * by)).sum(axis=1)], axis=-1
    )
    normal += 1e-9 * np.eye(3)
    return np.linalg.solve(normal, right[..., None])[..., 0]

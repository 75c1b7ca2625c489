# SPDX-License-Identifier: GPL-3.0-or-later
"""The papers' error measures. Positions in metres in, millimetres out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]


def mpjpe(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean per-joint position error (protocol 1), mm, of (F, J, 3) root-relative joints."""
    return 1000 * float(np.linalg.norm(np.asarray(predicted) - true, axis=-1).mean())


def p_mpjpe(predicted: ArrayLike, true: ArrayLike) -> float:
    """MPJPE after aligning each frame by scale, rotation and translation (protocol 2), mm."""
    return mpjpe(procrustes(np.asarray(predicted), np.asarray(true)), true)


def procrustes(predicted: Array, true: Array) -> Array:
    """Each frame of (F, J, 3) moved onto `true` by the best similarity transform (Umeyama 1991)."""
    mean_p, mean_t = predicted.mean(axis=-2, keepdims=True), true.mean(axis=-2, keepdims=True)
    p, t = predicted - mean_p, true - mean_t
    u, s, vt = np.linalg.svd(np.swapaxes(p, -1, -2) @ t)
    sign = np.ones_like(s)
    sign[..., -1] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[..., None, :]) @ vt  # row vectors: p @ rotation
    scale = (s * sign).sum(axis=-1) / (p**2).sum(axis=(-1, -2))
    return scale[..., None, None] * (p @ rotation) + mean_t


def acceleration_error(predicted: ArrayLike, true: ArrayLike, frame_rate: float) -> float:
    """Mean norm of the difference of second differences over time, m/s² (as in HMMR and VIBE, per second²)."""
    difference = np.asarray(predicted) - np.asarray(true)
    second = difference[2:] - 2 * difference[1:-1] + difference[:-2]
    return float(np.linalg.norm(second, axis=-1).mean()) * frame_rate**2


def bone_length_deviation(joints: ArrayLike, bones: ArrayLike) -> float:
    """Standard deviation over time of bone lengths, mean over bones, mm.

    Args:
        joints: (F, J, 3).
        bones: (B, 2) joint index pairs.
    """
    joints, bones = np.asarray(joints), np.asarray(bones)
    lengths = np.linalg.norm(joints[:, bones[:, 0]] - joints[:, bones[:, 1]], axis=-1)
    return 1000 * float(lengths.std(axis=0).mean())

# SPDX-License-Identifier: GPL-3.0-or-later
"""The papers' error measures. Positions in metres in, millimetres out; (F, J, 3) joints, one clip at a time.

Joints are relative to the root where the paper's are; nothing here moves them, unless a measure's name says so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]

PCK_THRESHOLD_MM = 150.0
"""MPI-INF-3DHP's threshold (Mehta et al. 2017): about half the size of a head."""

AUC_THRESHOLDS_MM = np.arange(0.0, 151.0, 5.0)
"""MPI-INF-3DHP's 31 thresholds; the first is zero, so that a perfect answer has an area of 30/31."""


def mpjpe(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean per-joint position error (protocol 1), mm, of (F, J, 3) root-relative joints."""
    return 1000 * float(joint_errors(predicted, true).mean())


def joint_errors(predicted: ArrayLike, true: ArrayLike) -> Array:
    """(F, J) distances between predicted and true joints (F, J, 3), in their unit.

    Raises:
        ValueError: the shapes differ.
    """
    predicted, true = _pair(predicted, true)
    return np.linalg.norm(predicted - true, axis=-1)


def p_mpjpe(predicted: ArrayLike, true: ArrayLike) -> float:
    """MPJPE after aligning each frame by scale, rotation and translation (protocol 2), mm."""
    predicted, true = _pair(predicted, true)
    return mpjpe(procrustes(predicted, true), true)


def procrustes(predicted: Array, true: Array) -> Array:
    """Each frame of (F, J, 3) moved onto `true` by the best similarity transform (Umeyama 1991)."""
    mean_p, mean_t = predicted.mean(axis=-2, keepdims=True), true.mean(axis=-2, keepdims=True)
    p, t = predicted - mean_p, true - mean_t
    u, s, vt = np.linalg.svd(np.swapaxes(p, -1, -2) @ t)
    sign = np.ones_like(s)
    sign[..., -1] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[..., None, :]) @ vt  # row vectors: p @ rotation
    size = (p**2).sum(axis=(-1, -2))
    scale = (s * sign).sum(axis=-1) / np.maximum(size, np.finfo(p.dtype).tiny)  # a collapsed pose stays one point
    return scale[..., None, None] * (p @ rotation) + mean_t


def n_mpjpe(predicted: ArrayLike, true: ArrayLike) -> float:
    """MPJPE after scaling each frame by the best factor about the root (Rhodin et al. 2018), mm.

    Joints (F, J, 3) are relative to the root; the factor is <predicted, true> / <predicted, predicted>.
    """
    predicted, true = _pair(predicted, true)
    size = (predicted**2).sum(axis=(-1, -2), keepdims=True)
    factor = (predicted * true).sum(axis=(-1, -2), keepdims=True) / np.maximum(size, np.finfo(predicted.dtype).tiny)
    return mpjpe(factor * predicted, true)


def mpjve(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean per-joint velocity error (Pavllo et al. 2019): MPJPE of first differences, mm per frame.

    It depends on the frame rate; compare at equal rates. A clip of one frame gives NaN.
    """
    predicted, true = _pair(predicted, true)
    if len(true) < 2:
        return float("nan")
    return mpjpe(np.diff(predicted, axis=0), np.diff(true, axis=0))


def acceleration_error(predicted: ArrayLike, true: ArrayLike, frame_rate: float) -> float:
    """Mean norm of the difference of second differences over time, m/s² (as in HMMR and VIBE, per second²).

    A clip of less than three frames gives NaN.
    """
    predicted, true = _pair(predicted, true)
    if len(true) < 3:
        return float("nan")
    second = np.diff(predicted - true, n=2, axis=0)
    return float(np.linalg.norm(second, axis=-1).mean()) * frame_rate**2


def pck(predicted: ArrayLike, true: ArrayLike, threshold_mm: float = PCK_THRESHOLD_MM) -> float:
    """Share of joints nearer than `threshold_mm` to the truth (3D PCK, Mehta et al. 2017), percent.

    The data set scores the 14 joints of `skeleton.MPI_INF_3DHP_14`, relative to the pelvis: select them before.
    """
    return 100 * float((1000 * joint_errors(predicted, true) < threshold_mm).mean())


def auc(predicted: ArrayLike, true: ArrayLike) -> float:
    """Area under the PCK curve: mean PCK over `AUC_THRESHOLDS_MM` (Mehta et al. 2017), percent; at most 96.8."""
    errors = np.sort(1000 * joint_errors(predicted, true), axis=None)
    return 100 * float(np.searchsorted(errors, AUC_THRESHOLDS_MM, side="left").mean()) / errors.size


def bone_length_deviation(joints: ArrayLike, bones: ArrayLike) -> float:
    """Standard deviation over time of bone lengths, mean over bones, mm.

    Args:
        joints: (F, J, 3).
        bones: (B, 2) joint index pairs.
    """
    return 1000 * float(_lengths(joints, bones).std(axis=0).mean())


def bone_length_error(predicted: ArrayLike, true: ArrayLike, bones: ArrayLike) -> float:
    """Mean absolute error of bone lengths over frames and bones, mm.

    Args:
        predicted: (F, J, 3).
        true: (F, J, 3).
        bones: (B, 2) joint index pairs.
    """
    predicted, true = _pair(predicted, true)
    return 1000 * float(np.abs(_lengths(predicted, bones) - _lengths(true, bones)).mean())


def _lengths(joints: ArrayLike, bones: ArrayLike) -> Array:
    joints, bones = np.asarray(joints), np.asarray(bones)
    return np.linalg.norm(joints[:, bones[:, 0]] - joints[:, bones[:, 1]], axis=-1)


def _pair(predicted: ArrayLike, true: ArrayLike) -> tuple[Array, Array]:
    """Both as floats of one shape: a silent broadcast would measure something else."""
    predicted, true = np.asarray(predicted), np.asarray(true)
    if predicted.shape != true.shape or predicted.ndim != 3 or predicted.shape[-1] != 3:
        raise ValueError(f"expected two equal shapes (F, J, 3), got {predicted.shape} and {true.shape}")
    dtype = np.result_type(predicted, true, np.float32)
    return predicted.astype(dtype, copy=False), true.astype(dtype, copy=False)

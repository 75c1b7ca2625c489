# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations as the numbers a bone's own rotation mode is keyed in (numpy only)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .core.video_to_pose.rotation import make_continuous, quat_to_matrix

Array = NDArray[np.floating]

PATHS = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}
"""Rotation mode -> property of a pose bone; every other mode is an Euler order."""


def rotation_path(mode: str) -> str:
    """The property of a pose bone that a rotation mode is keyed on."""
    return PATHS.get(mode, "rotation_euler")


def rotation_values(quaternions: ArrayLike, mode: str) -> Array:
    """(F, 4) unit quaternions w x y z as (F, 4) or, for Euler orders, (F, 3) values without jumps.

    Args:
        mode: ``PoseBone.rotation_mode``: ``QUATERNION``, ``AXIS_ANGLE`` or an order like ``XYZ``.
    """
    q = make_continuous(np.asarray(quaternions, dtype=np.float64))
    if mode == "QUATERNION":
        return q
    if mode == "AXIS_ANGLE":
        return axis_angles(q)
    return eulers(quat_to_matrix(q), mode)


def axis_angles(q: ArrayLike) -> Array:
    """(F, 4) sign-continuous unit quaternions to (F, 4) angle, x, y, z; where nothing turns the axis is kept."""
    q = np.asarray(q, dtype=np.float64)
    sine = np.linalg.norm(q[:, 1:], axis=-1)
    axis = np.where(sine[:, None] > 1e-7, q[:, 1:] / np.maximum(sine, 1e-12)[:, None], np.nan)
    angle = 2 * np.arctan2(sine, q[:, 0])
    kept = np.array([0.0, 1.0, 0.0])  # Blender's own default axis
    turning = np.flatnonzero(np.isfinite(axis[:, 0]))
    if len(turning):
        kept = axis[turning[0]]
    for f in range(len(q)):
        if not np.isfinite(axis[f, 0]):
            axis[f] = kept
        elif axis[f] @ kept < 0:
            axis[f], angle[f] = -axis[f], -angle[f]
        kept = axis[f]
    return np.concatenate([np.unwrap(angle)[:, None], axis], axis=1)


def eulers(matrices: ArrayLike, order: str) -> Array:
    """(F, 3, 3) rotation matrices to (F, 3) radians about x, y, z, each frame the solution nearest the last.

    Args:
        order: Blender's: the first letter's rotation comes first, ``XYZ`` is Rz · Ry · Rx.
    """
    R = np.asarray(matrices, dtype=np.float64)
    i, j, k = ("XYZ".index(letter) for letter in order)
    sign = 1.0 if (i, j, k) in {(0, 1, 2), (1, 2, 0), (2, 0, 1)} else -1.0
    level = np.hypot(R[:, i, i], R[:, j, i])
    locked = level < 1e-6  # first and last axis fall together: the last one rests
    first = np.where(locked, np.arctan2(-sign * R[:, j, k], R[:, j, j]), np.arctan2(sign * R[:, k, j], R[:, k, k]))
    last = np.where(locked, 0.0, np.arctan2(sign * R[:, j, i], R[:, i, i]))
    middle = np.arctan2(-sign * R[:, k, i], level)
    one = np.empty((len(R), 3))
    one[:, i], one[:, j], one[:, k] = first, middle, last
    other = np.empty_like(one)
    other[:, i], other[:, j], other[:, k] = first + np.pi, np.pi - middle, last + np.pi
    other = np.remainder(other + np.pi, 2 * np.pi) - np.pi
    out = one.copy()
    out[0] = one[0] if np.abs(one[0]).sum() <= np.abs(other[0]).sum() else other[0]
    for f in range(1, len(R)):
        candidates = np.stack([one[f], other[f]])
        candidates += 2 * np.pi * np.round((out[f - 1] - candidates) / (2 * np.pi))
        out[f] = candidates[np.abs(candidates - out[f - 1]).sum(axis=1).argmin()]
    return out

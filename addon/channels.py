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
    """(F, M, 4) unit quaternions w x y z of M bones as (F, M, 4) or, for Euler orders, (F, M, 3) values without jumps.

    Args:
        quaternions: F moments.
        mode: ``PoseBone.rotation_mode``: ``QUATERNION``, ``AXIS_ANGLE`` or an order like ``XYZ``.
    """
    q = make_continuous(np.asarray(quaternions, dtype=np.float64))
    if mode == "QUATERNION":
        return q
    if mode == "AXIS_ANGLE":
        return axis_angles(q)
    return eulers(quat_to_matrix(q), mode)


def axis_angles(q: ArrayLike) -> Array:
    """(F, M, 4) sign-continuous unit quaternions to (F, M, 4) angle, x, y, z.

    Where nothing turns the axis is kept, and an axis never jumps to its opposite.
    """
    q = np.asarray(q, dtype=np.float64)
    sine = np.linalg.norm(q[..., 1:], axis=-1)
    turning = sine > 1e-7
    axis = q[..., 1:] / np.maximum(sine, 1e-12)[..., None]
    angle = 2 * np.arctan2(sine, q[..., 0])
    first = np.argmax(turning, axis=0)
    kept = np.take_along_axis(axis, first[None, :, None], axis=0)[0]
    kept[~turning.any(axis=0)] = (0.0, 1.0, 0.0)  # Blender's own axis of a bone that never turns
    for f in range(len(q)):
        axis[f] = np.where(turning[f, :, None], axis[f], kept)
        flip = np.sum(axis[f] * kept, axis=-1) < 0
        axis[f, flip] *= -1
        angle[f, flip] *= -1
        kept = axis[f]
    return np.concatenate([np.unwrap(angle, axis=0)[..., None], axis], axis=-1)


def eulers(matrices: ArrayLike, order: str) -> Array:
    """(F, M, 3, 3) rotation matrices to (F, M, 3) radians about x, y, z, each frame the solution nearest the last.

    Args:
        matrices: F moments of M bones.
        order: Blender's: the first letter's rotation comes first, ``XYZ`` is Rz · Ry · Rx.
    """
    R = np.asarray(matrices, dtype=np.float64)
    i, j, k = ("XYZ".index(letter) for letter in order)
    sign = 1.0 if (i, j, k) in {(0, 1, 2), (1, 2, 0), (2, 0, 1)} else -1.0
    level = np.hypot(R[..., i, i], R[..., j, i])
    locked = level < 1e-6  # first and last axis fall together: the last one rests
    free_first = np.arctan2(sign * R[..., k, j], R[..., k, k])
    first = np.where(locked, np.arctan2(-sign * R[..., j, k], R[..., j, j]), free_first)
    last = np.where(locked, 0.0, np.arctan2(sign * R[..., j, i], R[..., i, i]))
    middle = np.arctan2(-sign * R[..., k, i], level)
    both = np.empty((2, *level.shape, 3))
    both[0][..., i], both[0][..., j], both[0][..., k] = first, middle, last
    both[1][..., i], both[1][..., j], both[1][..., k] = first + np.pi, np.pi - middle, last + np.pi
    both = np.remainder(both + np.pi, 2 * np.pi) - np.pi
    out = np.empty_like(both[0])
    before = np.zeros_like(out[0])
    for f in range(len(R)):
        candidates = both[:, f] + 2 * np.pi * np.round((before - both[:, f]) / (2 * np.pi))
        nearer = np.abs(candidates - before).sum(axis=-1)
        before = out[f] = np.where((nearer[0] <= nearer[1])[:, None], candidates[0], candidates[1])
    return out

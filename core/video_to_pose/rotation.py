# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations on arrays: quaternions (..., 4) as w x y z, matrices (..., 3, 3) acting on columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]

_EPS = 1e-9


def normalize(vectors: ArrayLike, axis: int = -1) -> Array:
    """Unit vectors along `axis`; a vector shorter than 1e-9 becomes zero, never NaN."""
    vectors = np.asarray(vectors)
    norm = np.linalg.norm(vectors, axis=axis, keepdims=True)
    return np.where(norm > _EPS, vectors / np.maximum(norm, _EPS), 0.0)


def quat_multiply(a: ArrayLike, b: ArrayLike) -> Array:
    """Hamilton product a * b: rotate by b first, then by a."""
    aw, ax, ay, az = np.moveaxis(np.asarray(a), -1, 0)
    bw, bx, by, bz = np.moveaxis(np.asarray(b), -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def quat_conjugate(q: ArrayLike) -> Array:
    """Inverse of a unit quaternion."""
    return np.asarray(q) * np.array([1.0, -1.0, -1.0, -1.0])


def quat_to_matrix(q: ArrayLike) -> Array:
    """(..., 4) unit quaternions to (..., 3, 3) matrices."""
    q = np.asarray(q)
    w, x, y, z = (q[..., n] for n in range(4))
    out = np.empty((*q.shape[:-1], 3, 3), dtype=np.result_type(q, np.float32))
    out[..., 0, 0], out[..., 0, 1], out[..., 0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    out[..., 1, 0], out[..., 1, 1], out[..., 1, 2] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    out[..., 2, 0], out[..., 2, 1], out[..., 2, 2] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)
    return out


def matrix_to_quat(m: ArrayLike) -> Array:
    """(..., 3, 3) rotation matrices to (..., 4) unit quaternions with w >= 0.

    Each quaternion is the largest column of the 4 x 4 matrix 4 q qᵀ, which is stable for every angle.
    """
    m = np.asarray(m)
    m00, m01, m02 = m[..., 0, 0], m[..., 0, 1], m[..., 0, 2]
    m10, m11, m12 = m[..., 1, 0], m[..., 1, 1], m[..., 1, 2]
    m20, m21, m22 = m[..., 2, 0], m[..., 2, 1], m[..., 2, 2]
    columns = [
        [1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01],
        [m21 - m12, 1 + m00 - m11 - m22, m10 + m01, m02 + m20],
        [m02 - m20, m10 + m01, 1 - m00 + m11 - m22, m21 + m12],
        [m10 - m01, m02 + m20, m21 + m12, 1 - m00 - m11 + m22],
    ]
    outer = np.stack([np.stack(column, axis=-1) for column in columns], axis=-2)  # (..., 4 columns, 4)
    largest = np.argmax(np.stack([outer[..., i, i] for i in range(4)], axis=-1), axis=-1)
    q = np.take_along_axis(outer, largest[..., None, None], axis=-2)[..., 0, :]
    q = normalize(q)
    return np.where(q[..., :1] < 0, -q, q)


def axis_angle_to_matrix(axis: ArrayLike, angle: ArrayLike) -> Array:
    """Rotation by `angle` radians (...) about unit `axis` (..., 3) (Rodrigues' formula)."""
    axis = np.asarray(axis, dtype=float)
    angle = np.asarray(angle, dtype=float)
    half = angle[..., None] / 2
    return quat_to_matrix(np.concatenate([np.cos(half), np.sin(half) * axis], axis=-1))


def between(a: ArrayLike, b: ArrayLike) -> Array:
    """(..., 3, 3) shortest rotation that carries unit vectors `a` onto unit vectors `b`.

    For opposite vectors any half turn is shortest; one about an axis orthogonal to `a` is returned.
    """
    a, b = np.broadcast_arrays(np.asarray(a, dtype=float), np.asarray(b, dtype=float))
    w = 1.0 + np.sum(a * b, axis=-1, keepdims=True)
    smallest = np.argmin(np.abs(a), axis=-1)
    fallback = np.cross(a, np.eye(3)[smallest])
    opposite = w < 1e-8
    q = np.concatenate([np.where(opposite, 0.0, w), np.where(opposite, fallback, np.cross(a, b))], axis=-1)
    return quat_to_matrix(normalize(q))


def make_continuous(q: ArrayLike) -> Array:
    """Flip signs of quaternions (F, ..., 4) so that neighbours in time never jump to the antipode."""
    q = np.asarray(q)
    if len(q) < 2:
        return q.copy()
    flips = np.sum(q[1:] * q[:-1], axis=-1) < 0
    signs = np.where(np.cumsum(flips, axis=0) % 2, -1.0, 1.0)
    out = q.copy()
    out[1:] *= signs[..., None]
    return out


def frame_from_axes(primary: ArrayLike, secondary: ArrayLike) -> Array:
    """(..., 3, 3) right-handed frames: column 1 (y) along `primary`, column 0 (x) near `secondary`.

    `secondary` is made orthogonal to `primary`; z completes the frame. y is the bone's own axis in
    Blender, hence the order.
    """
    y = normalize(primary)
    secondary = np.asarray(secondary)
    x = normalize(secondary - np.sum(secondary * y, axis=-1, keepdims=True) * y)
    return np.stack([x, y, np.cross(x, y)], axis=-1)

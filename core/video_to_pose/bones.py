# SPDX-License-Identifier: GPL-3.0-or-later
"""Joints <-> bone directions and bone lengths. Bones never stretch: a clip has one set of lengths."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .rotation import normalize
from .skeleton import Skeleton


def compose(
    skeleton: Skeleton, directions: ArrayLike, lengths: ArrayLike, root: ArrayLike | None = None
) -> NDArray[np.floating]:
    """Joint positions as sums of direction times length down the tree.

    Args:
        skeleton: J joints, B = J - 1 bones.
        directions: (..., B, 3) unit vectors parent -> child.
        lengths: (..., B) metres; (B,) serves every frame.
        root: (..., 3) position of joint 0; None puts it at the origin.

    Returns:
        (..., J, 3) positions in the directions' axes.
    """
    directions = np.asarray(directions)
    vectors = directions * np.asarray(lengths)[..., None]
    joints = np.zeros((*vectors.shape[:-2], skeleton.joint_count, 3), dtype=vectors.dtype)
    if root is not None:
        joints[..., 0, :] = root
    for bone, parent in enumerate(skeleton.parents[1:]):
        joints[..., bone + 1, :] = joints[..., parent, :] + vectors[..., bone, :]
    return joints


def decompose(skeleton: Skeleton, joints: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """(..., J, 3) joint positions to unit directions (..., B, 3) and per-frame lengths (..., B)."""
    joints = np.asarray(joints)
    vectors = joints[..., skeleton.bone_children, :] - joints[..., skeleton.bone_parents, :]
    return normalize(vectors), np.linalg.norm(vectors, axis=-1)

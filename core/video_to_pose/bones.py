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


_HEIGHT_PER_CHAIN = 1.03
"""Standing height against ankle-knee-hip plus pelvis-spine-thorax-head-crown: soles, scalp, less the spine's curve."""


def height_bones(skeleton: Skeleton) -> list[int]:
    """Bones that a person stands as tall as: shank, thigh, trunk, neck and head; of limbs the left ones."""
    middle = ("spine", "thorax", "head" if "head" in skeleton.joints else "nose", "head_top")
    return [skeleton.index(joint) - 1 for joint in ("left_knee", "left_ankle", *middle)]


def standing_height(skeleton: Skeleton, lengths: ArrayLike) -> NDArray[np.floating]:
    """Heights (...,) in metres, sole to scalp, of people with bone lengths (..., B), as tall as both legs allow."""
    lengths = np.asarray(lengths)
    both = (lengths + lengths[..., skeleton.mirror[1:] - 1]) / 2
    height: NDArray[np.floating] = both[..., height_bones(skeleton)].sum(axis=-1) * _HEIGHT_PER_CHAIN
    return height

# SPDX-License-Identifier: GPL-3.0-or-later
"""Forward kinematics of rig keys, as Blender evaluates them: the check of everything that is written."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .rotation import quat_to_matrix
from .types import RigAnimation

Array = NDArray[np.floating]


def pose_matrices(animation: RigAnimation, part: slice = slice(None)) -> Array:
    """(F, N, 4, 4) armature-space matrix of every bone (Blender's ``PoseBone.matrix``), for a part of the frames.

    pose = parent's pose · parent's rest⁻¹ · rest · basis, with basis = location and rotation keys.
    """
    rig, rotations, locations = animation.rig, animation.rotations[part], animation.locations[part]
    frames = len(rotations)
    out = np.empty((frames, len(rig.names), 4, 4))
    for b, parent in enumerate(rig.parents):
        basis = np.tile(np.eye(4), (frames, 1, 1))
        if b in animation.bones:
            basis[:, :3, :3] = quat_to_matrix(rotations[:, animation.bones.index(b)].astype(np.float64))
        if b in animation.located:
            basis[:, :3, 3] = locations[:, animation.located.index(b)]
        if parent < 0:
            out[:, b] = rig.rest[b] @ basis
        else:
            out[:, b] = out[:, parent] @ (np.linalg.inv(rig.rest[parent]) @ rig.rest[b]) @ basis
    return out


def bone_tails(animation: RigAnimation, matrices: Array) -> Array:
    """(F, N, 3) armature-space tails of posed bones."""
    return matrices[..., :3, 3] + matrices[..., :3, 1] * animation.rig.lengths[:, None]

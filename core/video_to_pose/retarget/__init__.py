# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion onto any rig, whatever its rest pose (numpy only: it runs inside Blender).

`rig_from_motion` makes a rig of the person's own proportions, `map_bones` finds out what a rig's bones are,
`solve` gives the keys, `limb_errors` says how true they are.
"""

from ..kinematics import pose_matrices
from .bone_map import BoneMap, map_bones
from .fidelity import end_errors, limb_errors
from .planted import planted
from .reduction import reduce_keys
from .repair import Repair, repair
from .rig import BONE_MAP, rig_from_motion
from .solve import origin_of, solve

__all__ = [
    "BONE_MAP",
    "BoneMap",
    "Repair",
    "end_errors",
    "limb_errors",
    "map_bones",
    "origin_of",
    "planted",
    "pose_matrices",
    "reduce_keys",
    "repair",
    "rig_from_motion",
    "solve",
]

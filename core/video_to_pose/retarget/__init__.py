# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion onto any rig, whatever its rest pose (numpy only: it runs inside Blender).

`rig_from_motion` makes a rig of the person's own proportions, `map_bones` finds out what a rig's bones are,
`solve` gives the keys.
"""

from ..kinematics import pose_matrices
from .bone_map import BoneMap, map_bones
from .rig import rig_from_motion
from .solve import solve

__all__ = ["BoneMap", "map_bones", "pose_matrices", "rig_from_motion", "solve"]

# SPDX-License-Identifier: GPL-3.0-or-later
"""How truly a rig does what the person did."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import bones
from ..kinematics import pose_matrices
from ..types import Motion, RigAnimation
from .bone_map import BoneMap
from .frames import SIDES

_LIMBS = {  # part -> the part that begins where it ends, joints of the person
    "upper_arm": ("forearm", "shoulder", "elbow"),
    "forearm": ("hand", "elbow", "wrist"),
    "upper_leg": ("lower_leg", "hip", "knee"),
    "lower_leg": ("foot", "knee", "ankle"),
    "foot": ("toe", "ankle", "toe"),
}


def limb_errors(motion: Motion, animation: RigAnimation, bone_map: BoneMap) -> dict[str, NDArray[np.floating]]:
    """Part, e.g. ``left_forearm`` -> (F,) degrees between where the rig's limb points and where the person's does.

    Limbs of which the rig lacks a bone are left out.
    """
    rig, skeleton = animation.rig, motion.skeleton
    heads = pose_matrices(animation)[..., :3, 3] @ rig.world[:3, :3].T
    joints = bones.compose(skeleton, motion.directions.astype(np.float64), motion.lengths.astype(np.float64))
    errors = {}
    for side in SIDES:
        for part, (following, start, end) in _LIMBS.items():
            names = [bone_map.single.get(f"{side}_{p}") for p in (part, following)]
            if None in names:
                continue
            first, second = (heads[:, rig.names.index(name)] for name in names if name)
            rigs = second - first
            persons = joints[:, skeleton.index(f"{side}_{end}")] - joints[:, skeleton.index(f"{side}_{start}")]
            errors[f"{side}_{part}"] = np.degrees(
                np.arctan2(np.linalg.norm(np.cross(rigs, persons), axis=-1), np.sum(rigs * persons, axis=-1))
            )
    return errors

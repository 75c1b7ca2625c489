# SPDX-License-Identifier: GPL-3.0-or-later
"""How truly a rig does what the person did."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kinematics import pose_matrices
from ..rotation import matrix_to_quat
from ..types import Motion, RigAnimation
from .bone_map import BoneMap
from .frames import SIDES
from .rig import rest_places
from .solve import joint_places, part_turns
from .target import read_target

Array = NDArray[np.floating]

_LIMBS = {  # part -> the part that begins where it ends, joints of the person
    "upper_arm": ("forearm", "shoulder", "elbow"),
    "forearm": ("hand", "elbow", "wrist"),
    "upper_leg": ("lower_leg", "hip", "knee"),
    "lower_leg": ("foot", "knee", "ankle"),
}
_ENDS = ("hand", "foot")


def limb_errors(motion: Motion, animation: RigAnimation, bone_map: BoneMap) -> dict[str, Array]:
    """Part, e.g. ``left_forearm`` -> (F,) degrees between where the rig's limb points and where the person's does.

    Limbs of which the rig lacks a bone are left out.
    """
    return limb_errors_of(motion, animation, bone_map, pose_matrices(animation))


def limb_errors_of(motion: Motion, animation: RigAnimation, bone_map: BoneMap, matrices: Array) -> dict[str, Array]:
    """`limb_errors` of a pose (F, N, 4, 4) in armature space, e.g. as Blender has it."""
    rig = animation.rig
    heads = np.einsum("...ij,...nj->...ni", _object_rotation(animation), matrices[..., :3, 3])
    places = joint_places(motion)
    errors = {}
    for side in SIDES:
        for part, (following, start, end) in _LIMBS.items():
            names = [bone_map.single.get(f"{side}_{p}") for p in (part, following)]
            if None in names:
                continue
            first, second = (heads[:, rig.names.index(name)] for name in names if name)
            rigs, persons = second - first, places[f"{side}_{end}"] - places[f"{side}_{start}"]
            errors[f"{side}_{part}"] = np.degrees(
                np.arctan2(np.linalg.norm(np.cross(rigs, persons), axis=-1), np.sum(rigs * persons, axis=-1))
            )
    return errors


def end_errors(motion: Motion, animation: RigAnimation, bone_map: BoneMap) -> dict[str, Array]:
    """``left_hand``, ``left_foot``, … -> (F,) degrees between how the rig's end of a limb is turned and the person's.

    Feet that are held on the floor differ from the person's on purpose.
    """
    rig = animation.rig
    places = joint_places(motion)
    target = read_target(rig, bone_map, knuckles="left_index" in places)
    ease = {name: p @ target.standing.T for name, p in rest_places(motion.skeleton, motion.lengths).items()}
    wanted = part_turns(places, target, ease, motion.frame_rate)
    R = _object_rotation(animation)
    poses = pose_matrices(animation)[..., :3, :3]
    errors = {}
    for part in (f"{side}_{end}" for side in SIDES for end in _ENDS):
        b = target.bone(part)
        if b is not None:
            turn = R @ poses[:, b] @ target.rotations[b].T
            quat = matrix_to_quat(np.swapaxes(wanted[part], -1, -2) @ turn)
            errors[part] = np.degrees(2 * np.arctan2(np.linalg.norm(quat[:, 1:], axis=-1), quat[:, 0]))
    return errors


def _object_rotation(animation: RigAnimation) -> Array:
    """(F or 1, 3, 3) of the armature object, without its scale."""
    world = animation.rig.world[None] if animation.object_world is None else animation.object_world
    return world[:, :3, :3] / np.linalg.norm(world[:, :3, :1], axis=1, keepdims=True)

# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion whose feet stay put, on the person's own bones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import bones
from ..kinematics import pose_matrices
from ..settings import RetargetSettings
from ..types import Motion
from .rig import BONE_JOINTS, BONE_MAP, rig_from_motion
from .solve import joint_places, solve

_FRAMES = 4096  # at once: all bones' matrices take far more memory than the motion, and clips may last an hour


def planted(motion: Motion) -> Motion:
    """The motion with heels and balls of the feet held where its contacts say; bone lengths stay what they are.

    Hips and legs move for it, all above the hips goes along. A clip without contacts is only lifted out of the floor.
    """
    rig = rig_from_motion(motion)
    before, after = (
        solve(motion, rig, BONE_MAP, RetargetSettings(feet=feet, start="world", repair=False), contacts="found")
        for feet in ("never", "auto")
    )
    skeleton, places = motion.skeleton, joint_places(motion)
    carrier = {joint: rig.names.index(bone) for bone, (joint, _) in BONE_JOINTS.items()}
    stacked = np.empty((motion.frame_count, len(skeleton.joints), 3))
    for first in range(0, motion.frame_count, _FRAMES):
        part = slice(first, first + _FRAMES)
        moved = pose_matrices(after, part) @ np.linalg.inv(pose_matrices(before, part))
        for j, (joint, parent) in enumerate(zip(skeleton.joints, skeleton.parents, strict=True)):
            bone = carrier.get(joint, carrier[skeleton.joints[max(parent, 0)]])
            turned = np.einsum("fij,fj->fi", moved[:, bone, :3, :3], places[joint][part])
            stacked[part, j] = turned + moved[:, bone, :3, 3]
    directions, _ = bones.decompose(skeleton, stacked)
    return replace(motion, directions=directions, root=stacked[:, 0])

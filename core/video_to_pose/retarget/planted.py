# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion whose feet stay put, on the person's own bones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..settings import RetargetSettings
from ..types import Motion
from .rig import BONE_MAP, rig_from_motion
from .solve import plant_feet, solve_body

_TURNED_BY = {"hip": "upper_leg", "knee": "lower_leg", "ankle": "foot"}
"""Joint -> the part of the rig that turns what hangs on it; holding feet turns nothing else."""


def planted(motion: Motion) -> Motion:
    """The motion with heels and balls of the feet held where its contacts say; bone lengths stay what they are.

    Hips and legs move for it, all above the hips goes along. A clip without contacts is only lifted out of the floor.
    """
    loose = RetargetSettings(feet="never", start="world", repair=False)
    body = solve_body(motion, rig_from_motion(motion), BONE_MAP, loose, contacts="found")
    turns, pelvis = plant_feet(body, replace(loose, feet="auto"))
    skeleton, directions = motion.skeleton, motion.directions.astype(np.float64)
    for bone, parent in enumerate(skeleton.bone_parents):
        side, _, joint = skeleton.joints[parent].partition("_")
        if joint in _TURNED_BY:
            part = f"{side}_{_TURNED_BY[joint]}"
            turn = turns[part] @ np.swapaxes(body.turns[part], -1, -2)
            directions[:, bone] = (turn @ directions[:, bone, :, None])[..., 0]
    return replace(motion, directions=directions, root=motion.root + (pelvis - body.pelvis))

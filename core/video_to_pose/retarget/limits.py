# SPDX-License-Identifier: GPL-3.0-or-later
"""Soft joint limits: what is bent further than people's joints go is brought back, the more the further it is.

Limits are ranges of motion of healthy adults, rounded up (American Academy of Orthopaedic Surgeons' normal values),
taken from the rig's own rest and meant to catch what a camera misjudged, not to restrain a contortionist.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..rotation import axis_angle_to_matrix, matrix_to_quat, normalize
from .target import Target
from .twist import twist_angle

Array = NDArray[np.floating]

_LIMITS_DEG = {
    "forearm": ("upper_arm", 155.0),
    "hand": ("forearm", 80.0),
    "lower_leg": ("upper_leg", 155.0),
    "foot": ("lower_leg", 60.0),
}
"""Part -> the part it hangs on, and how far it may turn against that from rest; a hand's twist is free."""
_HEAD_DEG = 90.0
_SOFT = 0.15  # of the limit: where giving way begins


def soft(angle: Array, limit: float) -> Array:
    """`angle` as it is up to 85 % of `limit`, then ever less, never beyond `limit`; smooth to the first derivative."""
    begin, room = limit * (1 - _SOFT), limit * _SOFT
    return np.where(angle > begin, begin + room * np.tanh((angle - begin) / room), angle)


def within_limits(turns: dict[str, Array], target: Target) -> dict[str, Array]:
    """World turns from rest with hands, feet, elbows, knees and head within what joints allow."""
    out = dict(turns)
    for side in ("left", "right"):
        for part, (above, limit) in _LIMITS_DEG.items():
            relative = np.swapaxes(turns[f"{side}_{above}"], -1, -2) @ turns[f"{side}_{part}"]
            axis = normalize(target.places[f"{side}_wrist"][0] - target.places[f"{side}_elbow"][0])
            twist = axis_angle_to_matrix(axis, twist_angle(relative, axis)) if part == "hand" else np.eye(3)
            swing = relative @ np.swapaxes(twist, -1, -2)
            out[f"{side}_{part}"] = out[f"{side}_{above}"] @ _limited(swing, limit) @ twist
    if "head" in turns:
        chest = next((turns[part] for part in reversed(turns) if part.startswith("spine.")), turns["hips"])
        out["head"] = chest @ _limited(np.swapaxes(chest, -1, -2) @ turns["head"], _HEAD_DEG)
    return out


def _limited(turn: Array, limit_deg: float) -> Array:
    quat = matrix_to_quat(turn)
    angle = 2 * np.arctan2(np.linalg.norm(quat[:, 1:], axis=-1), quat[:, 0])
    return axis_angle_to_matrix(normalize(quat[:, 1:]), soft(angle, np.radians(limit_deg)))

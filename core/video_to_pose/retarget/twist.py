# SPDX-License-Identifier: GPL-3.0-or-later
"""Sharing a limb's twist among the bones that a rig has for it, so that no wrist looks like a candy wrapper.

A turn away from rest is swing · twist, the twist about the limb's own axis at rest. The angle is followed through the
clip, so that its shares never jump where it passes a half turn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..rotation import axis_angle_to_matrix, between, matrix_to_quat, normalize

Array = NDArray[np.floating]


def twist_angle(turn: Array, axis: Array) -> Array:
    """(F,) radians that `turn` (F, 3, 3) twists about the unit `axis` (3,), continuous, near zero to begin with."""
    quat = matrix_to_quat(turn)
    along = quat[:, 1:] @ axis
    return np.unwrap(2 * np.arctan2(along, quat[:, 0]), period=2 * np.pi) if len(quat) else along


def near_joint(above: Array, turn: Array, axis: Array, shares: Array) -> list[Array]:
    """Turns (F, 3, 3) along an upper part: swing at its head, all of its twist at its end.

    Args:
        above: (F, 3, 3) turn from rest of the part it hangs on.
        turn: (F, 3, 3) turn from rest of the part itself.
        axis: (3,) the part's direction at rest.
        shares: (n,) 0 at the head … 1 at the end.
    """
    relative = np.swapaxes(above, -1, -2) @ turn
    angle = twist_angle(relative, axis)
    return [turn @ axis_angle_to_matrix(axis, (share - 1) * angle) for share in shares]


def near_end(turn: Array, below: Array, axis: Array, shares: Array) -> list[Array]:
    """Turns (F, 3, 3) along a lower part: its own at its head, twisted with what hangs on it at its end.

    Args:
        turn: (F, 3, 3) turn from rest of the part itself.
        below: (F, 3, 3) turn from rest of the hand or foot at its end.
        axis: (3,) the part's direction at rest.
        shares: (n,) 0 at the head … 1 at the end.
    """
    relative = np.swapaxes(turn, -1, -2) @ below
    angle = twist_angle(relative, axis)
    return [turn @ axis_angle_to_matrix(axis, share * angle) for share in shares]


def pointing(turns: list[Array], segments: Array, direction: Array) -> list[Array]:
    """The turns of a limb's bones such that its end lies in a direction, though its bones do not lie on one line.

    Args:
        turns: n of (F, 3, 3), from rest.
        segments: (n, 3) from each bone's head to the next at rest.
        direction: (F, 3) unit.
    """
    whole = sum(turn @ segment for turn, segment in zip(turns, segments, strict=True))
    mend = between(normalize(whole), direction)
    return [mend @ turn for turn in turns]

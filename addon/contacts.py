# SPDX-License-Identifier: GPL-3.0-or-later
"""Foot contacts as markers of an action, which an animator can move, add and delete; and back again.

A marker ``left heel down`` begins a contact, ``left heel up`` ends it: the foot is down on the frames in between.
"""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
from numpy.typing import NDArray

from .core.video_to_pose.types import Motion

NAMES = ("left_heel", "left_toe", "right_heel", "right_toe")
_DOWN, _UP = "down", "up"


def write_markers(action: bpy.types.Action, motion: Motion, frames: NDArray[np.float64]) -> None:
    """Mark the motion's contacts at scene frames (F,); markers of contacts that were there go."""
    for marker in [m for m in action.pose_markers if _parsed(m.name) is not None]:
        action.pose_markers.remove(marker)
    for column, name in enumerate(motion.contact_names):
        mask = np.concatenate([[False], motion.contacts[:, column], [False]]).astype(int)
        for edge in np.flatnonzero(np.diff(mask)):
            kind, at = (_DOWN, edge) if mask[edge + 1] else (_UP, edge - 1)
            marker = action.pose_markers.new(f"{name.replace('_', ' ')} {kind}")
            marker.frame = round(float(frames[at]))


def with_markers(action: bpy.types.Action, motion: Motion, frames: NDArray[np.float64]) -> Motion:
    """The motion with the contacts that the action's markers say, at scene frames (F,)."""
    contacts = np.zeros((len(frames), len(NAMES)), dtype=bool)
    for column, name in enumerate(NAMES):
        marks = sorted(
            (m.frame, found[1]) for m in action.pose_markers if (found := _parsed(m.name)) and found[0] == name
        )
        began = None
        for frame, kind in [*marks, (frames[-1], _UP)]:
            if kind == _DOWN and began is None:
                began = frame
            elif kind == _UP and began is not None:
                contacts[(frames >= began - 0.5) & (frames <= frame + 0.5), column] = True
                began = None
    return replace(motion, contact_names=NAMES, contacts=contacts)


def same(one: Motion, other: Motion) -> bool:
    """Whether two motions have the same contacts, in whatever order they name them."""
    return all(np.array_equal(one.contact(name), other.contact(name)) for name in NAMES)


def _parsed(marker: str) -> tuple[str, str] | None:
    words = marker.lower().split()
    name = "_".join(words[:2])
    return (name, words[2]) if len(words) == 3 and name in NAMES and words[2] in (_DOWN, _UP) else None

# SPDX-License-Identifier: GPL-3.0-or-later
"""Foot contacts as markers of an action, which an animator can move, add and delete; and back again.

A marker ``left heel down`` begins a contact, ``left heel up`` ends it: the foot is down on the frames in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
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


def with_markers(
    action: bpy.types.Action, motion: Motion, frames: NDArray[np.float64], said: Collection[str] = NAMES
) -> Motion:
    """The motion with the contacts in `said` as the action's markers have them, at scene frames (F,)."""
    if not said:
        return motion
    contacts = np.stack([motion.contact(name) for name in NAMES], axis=1)
    for column, name in enumerate(NAMES):
        if name in said:
            contacts[:, column] = False
            for first, last in _marked(action, name, float(frames[-1])):
                contacts[(frames >= first - 0.5) & (frames <= last + 0.5), column] = True
    return replace(motion, contact_names=NAMES, contacts=contacts)


def _marked(action: bpy.types.Action, name: str, end: float) -> Iterator[tuple[float, float]]:
    """First and last frame of each contact that the markers say; one that is never lifted lasts to the end."""
    marks = sorted((m.frame, found[1]) for m in action.pose_markers if (found := _parsed(m.name)) and found[0] == name)
    began = None
    for frame, kind in [*marks, (end, _UP)]:
        if kind == _DOWN and began is None:
            began = frame
        elif kind == _UP and began is not None:
            yield began, frame
            began = None


def written(action: bpy.types.Action) -> dict[str, list[int]]:
    """Contact -> frames of its markers, where it goes down and up in turn; to see later whether they were edited."""
    return {name: _frames_of(action, name) for name in NAMES}


def edited(
    action: bpy.types.Action, before: dict[str, list[int]] | None, motion: Motion, frames: NDArray[np.float64]
) -> list[str]:
    """Names of the contacts whose markers somebody has changed.

    Args:
        action: with its markers.
        before: what `written` said of it; None in files of old, which are compared with the motion.
        motion, frames: of the action, (F,) scene frames.
    """
    if before is not None:
        return [name for name in NAMES if _frames_of(action, name) != before.get(name)]
    marked = with_markers(action, motion, frames)
    return [name for name in NAMES if not np.array_equal(marked.contact(name), motion.contact(name))]


def _frames_of(action: bpy.types.Action, name: str) -> list[int]:
    """Frames of a contact's markers; those that go up are negative and one lower, so that order and kind are told."""
    marks = [(m.frame, found[1]) for m in action.pose_markers if (found := _parsed(m.name)) and found[0] == name]
    return [frame if kind == _DOWN else -frame - 1 for frame, kind in sorted(marks)]


def _parsed(marker: str) -> tuple[str, str] | None:
    words = marker.lower().split()
    name = "_".join(words[:2])
    return (name, words[2]) if len(words) == 3 and name in NAMES and words[2] in (_DOWN, _UP) else None

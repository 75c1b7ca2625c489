# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions that came from a Take: what each says of itself, and where it plays, in an action or on an NLA track."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import bpy

STORED = "video_to_pose"
"""Custom property of our actions: where the Take is, how it was solved and laid on the rig, how true that is; JSON."""


@dataclass(frozen=True, eq=False)
class Played:
    """An action of ours that an armature plays.

    Attributes:
        armature: the object.
        action: of ours.
        strip: on an NLA track that plays it; None while it is the armature's own action.
    """

    armature: bpy.types.Object
    action: bpy.types.Action
    strip: bpy.types.NlaStrip | None = None

    def scene_frame(self, frame: float) -> float:
        """Frame of the scene at which a frame of the action is played."""
        if self.strip is None:
            return frame
        return self.strip.frame_start + (frame - self.strip.action_frame_start) * self.strip.scale

    def action_frame(self, frame: float) -> float:
        """Frame of the action that is played at a frame of the scene."""
        if self.strip is None:
            return frame
        return self.strip.action_frame_start + (frame - self.strip.frame_start) / (self.strip.scale or 1.0)


def told(action: bpy.types.Action) -> dict[str, Any] | None:
    """What an action says of itself; None of actions that are not ours."""
    text = action.get(STORED)
    return json.loads(text) if isinstance(text, str) else None


def played(armature: bpy.types.Object | None) -> Played | None:
    """The action of ours that an armature plays: its own, or that of the uppermost NLA strip that has one."""
    data = armature.animation_data if armature is not None and armature.type == "ARMATURE" else None
    if armature is None or data is None:
        return None
    if data.action is not None:
        return Played(armature, data.action) if STORED in data.action else None
    for track in reversed(data.nla_tracks):
        for strip in track.strips:
            if strip.action is not None and STORED in strip.action and not (track.mute or strip.mute):
                return Played(armature, strip.action, strip)
    return None


def shown(context: bpy.types.Context) -> Played | None:
    """What the selected armature plays, or else the one that is chosen in the panel."""
    for armature in (context.object, context.scene.video_to_pose.armature):
        found = played(armature)
        if found is not None:
            return found
    return None


def all_played(scene: bpy.types.Scene) -> list[Played]:
    """What every armature of a scene plays of ours."""
    return [found for armature in scene.objects if (found := played(armature)) is not None]

# SPDX-License-Identifier: GPL-3.0-or-later
"""A captured action on an NLA track of its own, and back; what others have there stays as it is."""

from __future__ import annotations

from typing import ClassVar

import bpy

from . import results
from .core.video_to_pose.errors import InputError
from .words import say


def push_down(armature: bpy.types.Object) -> bpy.types.NlaStrip:
    """Put an armature's action of ours on a new uppermost NLA track; where it does not play, tracks below show through.

    Raises:
        InputError: the armature plays no action of ours, or is being tweaked in the NLA Editor.
    """
    found = results.played(armature)
    data = armature.animation_data
    if found is None or found.strip is not None or data is None:
        raise InputError(
            f"{armature.name} has no action of its own that came from a Take.", "Select another one.", "action-foreign"
        )
    if data.use_tweak_mode:
        raise InputError(
            f"{armature.name} is being tweaked in the NLA Editor.",
            "Leave tweak mode (Tab in the NLA Editor).",
            "rig-tweak-mode",
        )
    action = found.action
    slot = data.action_slot if bpy.app.version >= (4, 4) else None
    start, end = action.frame_range
    track = data.nla_tracks.new()  # above all others
    track.name = action.name
    strip = track.strips.new(action.name, int(start), action)
    if slot is not None:
        strip.action_slot = slot
    strip.action_frame_start, strip.action_frame_end = start, end
    strip.frame_start, strip.frame_end = start, end
    strip.extrapolation, strip.blend_type = "NOTHING", "REPLACE"
    data.action = None
    return strip


def pull_up(armature: bpy.types.Object) -> bpy.types.Action:
    """Make the action of an armature's uppermost strip of ours its own action again; an empty track goes with it.

    The action plays at its own frames again, wherever the strip had been moved to.

    Raises:
        InputError: there is no such strip, or another action is in the way.
    """
    found = results.played(armature)
    data = armature.animation_data
    if found is None or found.strip is None or data is None:
        raise InputError(
            f"{armature.name} has no NLA strip that came from a Take.", "Select another one.", "strip-missing"
        )
    strip, action = found.strip, found.action
    slot = strip.action_slot if bpy.app.version >= (4, 4) else None
    track = next(track for track in data.nla_tracks if any(s == strip for s in track.strips))
    track.strips.remove(strip)
    if not len(track.strips):
        data.nla_tracks.remove(track)
    data.action = action
    if slot is not None:
        data.action_slot = slot
    return action


class _OnResult:
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    in_strip = False

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        found = results.shown(context)
        if found is None or (found.strip is not None) != cls.in_strip:
            wanted = "NLA strip" if cls.in_strip else "action"
            cls.poll_message_set(say("Select an armature whose {wanted} came from a take", wanted=wanted))
            return False
        return True


class PushDownOperator(_OnResult, bpy.types.Operator):
    """Put the motion on an NLA track of its own, above the others, so that the next one can be captured or keyed"""

    bl_idname = "video_to_pose.push_down"
    bl_label = "Push Down to NLA"

    def execute(self, context: bpy.types.Context) -> set[str]:
        found = results.shown(context)
        if found is None:
            return {"CANCELLED"}
        try:
            strip = push_down(found.armature)
        except InputError as error:
            self.report({"ERROR"}, f"{error.message} {error.hint}")
            return {"CANCELLED"}
        self.report({"INFO"}, say("{name} is on an NLA track of its own.", name=strip.name))
        return {"FINISHED"}


class PullUpOperator(_OnResult, bpy.types.Operator):
    """Take the motion off its NLA track, to edit it or to solve it again"""

    bl_idname = "video_to_pose.pull_up"
    bl_label = "Back from NLA"
    in_strip = True

    def execute(self, context: bpy.types.Context) -> set[str]:
        found = results.shown(context)
        if found is None:
            return {"CANCELLED"}
        try:
            pull_up(found.armature)
        except InputError as error:
            self.report({"ERROR"}, f"{error.message} {error.hint}")
            return {"CANCELLED"}
        return {"FINISHED"}


_CLASSES = (PushDownOperator, PullUpOperator)
register, unregister = bpy.utils.register_classes_factory(_CLASSES)

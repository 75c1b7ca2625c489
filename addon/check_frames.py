# SPDX-License-Identifier: GPL-3.0-or-later
"""The list "Check These Frames": what wants a look, kept with the action, and a click away from its frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from . import results
from .core.video_to_pose.review import Doubt
from .self_check import Check

_KINDS = [
    (
        "unseen",
        "Not Seen",
        "Nobody was found and the motion is bridged, or a limb was out of view and rests",
        "HIDE_ON",
        0,
    ),
    ("unsure", "Hardly Seen", "The detector was unsure; the pose may be off", "QUESTION", 1),
    (
        "swap",
        "Sides Mended",
        "Left and right were exchanged by the detector and have been put right",
        "ARROW_LEFTRIGHT",
        2,
    ),
    ("spike", "Leap Mended", "Something leapt away for a moment and has been bridged", "IPO_ELASTIC", 3),
    ("pose", "Off the Keys", "In Blender the character is not where the motion has it", "ERROR", 4),
]
_ICONS = {kind[0]: kind[3] for kind in _KINDS}


class CheckItem(bpy.types.PropertyGroup):
    """A span of frames that wants a look."""

    kind: EnumProperty(name="Kind", description="Why it wants a look", items=_KINDS)
    part: StringProperty(name="Part", description="What of the person it is about")
    note: StringProperty(name="Note", description="What was found")
    frame_start: FloatProperty(name="First Frame", description="The action's frame at which it begins")
    frame_end: FloatProperty(name="Last Frame", description="The action's frame at which it ends")
    confidence: FloatProperty(name="Confidence", description="How sure the detector was", min=0.0, max=1.0)
    seen: BoolProperty(name="Looked At", description="Tick it off: you have looked at these frames")


def write(
    action: bpy.types.Action, doubts: Iterable[Doubt], check: Check, first_s: float, first_frame: float, rate: float
) -> None:
    """Fill an action's list; what was ticked off and is found again stays so.

    Args:
        action: of ours.
        doubts: of its Take, in order of time.
        check: of the bake.
        first_s: the Take's first moment.
        first_frame: the action's frame of that moment.
        rate: frames per second.
    """
    items = getattr(action, "video_to_pose_checks", None)
    if items is None:  # a script may use us without registering anything
        return
    ticked = {_key(item) for item in items if item.seen}
    items.clear()
    for frame, note in check.findings:
        _add(items, "pose", "", note, frame, frame, 0.0)
    for doubt in doubts:
        start, end = (first_frame + (second - first_s) * rate for second in (doubt.start_s, doubt.end_s))
        _add(items, doubt.kind, doubt.part, _note(doubt), start, end, doubt.confidence)
    for item in items:
        item.seen = _key(item) in ticked
    if action.video_to_pose_check >= len(items):
        action.video_to_pose_check = -1


def _add(items: Any, kind: str, part: str, note: str, start: float, end: float, confidence: float) -> None:
    item = items.add()
    item.name = item.note = note
    item.kind, item.part, item.confidence = kind, part, confidence
    item.frame_start, item.frame_end = start, end


def _key(item: CheckItem) -> tuple[str, str, int]:
    return item.kind, item.part, round(item.frame_start)


def _note(doubt: Doubt) -> str:
    part = doubt.part.capitalize()
    return {
        "unseen": "Nobody seen" if doubt.part == "body" else f"{part} out of view",
        "unsure": f"{part} unsure",
        "swap": f"{part} swapped",
        "spike": f"{part} leapt",
    }[doubt.kind]


def _jump(action: bpy.types.Action, context: bpy.types.Context) -> None:
    """The scene goes to the chosen span, the middle of it: there it is worst or best to be judged."""
    index = action.video_to_pose_check
    if 0 <= index < len(action.video_to_pose_checks):
        item = action.video_to_pose_checks[index]
        found = next((p for p in results.all_played(context.scene) if p.action == action), None)
        frame = (item.frame_start + item.frame_end) / 2
        context.scene.frame_set(round(frame if found is None else found.scene_frame(frame)))


class CheckList(bpy.types.UIList):
    """Spans of frames that want a look; a click goes there"""

    bl_idname = "VIDEO_TO_POSE_UL_checks"

    def draw_item(
        self,
        context: bpy.types.Context,
        layout: bpy.types.UILayout,
        data: Any,
        item: Any,
        icon: int | None,
        active_data: Any,
        active_property: str | None,
        index: int | None = 0,
        flt_flag: int | None = 0,
    ) -> None:
        row = layout.row()
        row.active = not item.seen
        row.label(text=item.note, icon=_ICONS[item.kind])
        last = round(item.frame_end)
        side = row.row()
        side.alignment = "RIGHT"
        side.label(text=f"{round(item.frame_start)}" + (f" - {last}" if last > round(item.frame_start) else ""))
        row.prop(item, "seen", text="")


class StepOperator(bpy.types.Operator):
    """Go to the next or the previous frames that want a look and are not ticked off"""

    bl_idname = "video_to_pose.next_check"
    bl_label = "Next Check"

    back: BoolProperty(name="Back", description="To the previous one", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        found = results.shown(context)
        if found is None or not any(not item.seen for item in found.action.video_to_pose_checks):
            cls.poll_message_set("Nothing is left to look at")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        found = results.shown(context)
        if found is None:
            return {"CANCELLED"}
        left = [n for n, item in enumerate(found.action.video_to_pose_checks) if not item.seen]
        now = found.action.video_to_pose_check
        if self.back:
            found.action.video_to_pose_check = max((n for n in left if n < now), default=left[-1])
        else:
            found.action.video_to_pose_check = min((n for n in left if n > now), default=left[0])
        return {"FINISHED"}


_CLASSES = (CheckItem, CheckList, StepOperator)
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)


def register() -> None:
    _register_classes()
    bpy.types.Action.video_to_pose_checks = CollectionProperty(
        type=CheckItem, name="Checks", description="Frames that want a look"
    )
    bpy.types.Action.video_to_pose_check = IntProperty(
        name="Frames to Check", description="Click to go to these frames", default=-1, min=-1, update=_jump
    )


def unregister() -> None:
    del bpy.types.Action.video_to_pose_check
    del bpy.types.Action.video_to_pose_checks
    _unregister_classes()

# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the sidebar tab that follows a person while it happens: fields, buttons and how it goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import EnumProperty, IntProperty, PointerProperty, StringProperty

from . import engine, job_list, live, panel, preferences, properties, quality, session
from .core.video_to_pose.errors import InputError, VideoToPoseError
from .core.video_to_pose.lifters import LIFTERS
from .core.video_to_pose.settings import CaptureSettings, LiveSettings, VideoSettings
from .words import say

_DEFAULT = LiveSettings()

_SOURCES = [
    ("camera", "Camera", "A webcam or any camera that this computer knows"),
    ("file", "File", "A video file, played at its own speed: to try things out"),
    (
        "growing",
        "Growing File",
        "A recording that another program is just writing, as MPEG-TS (.ts) or Matroska (.mkv): its end is followed",
    ),
]


class LiveProperties(bpy.types.PropertyGroup):
    """What is followed, and how."""

    source: EnumProperty(name="Source", description="Where the pictures come from", items=_SOURCES)
    camera: StringProperty(
        name="Camera",
        description="Number of the camera, from 0, or its name as the system has it",
        default="0",
    )
    file: StringProperty(
        name="File", description="The video file that is played, or whose end is followed", subtype="FILE_PATH"
    )
    lifter: EnumProperty(
        name="Lifter",
        description="The network that finds the third dimension while it happens. What is recorded is lifted again "
        "afterwards, by the one under Options",
        items=quality.LIFTER_ITEMS,
        default=_DEFAULT.lifter,
    )
    delay_frames: IntProperty(
        name="Look Ahead",
        description="Thirtieths of a second that the character is behind the person on purpose, so that more of each "
        "move is known. 0 is quickest, 8 is most exact. Lifters that look at nothing that comes have no use for it",
        default=_DEFAULT.delay_frames,
        min=0,
        soft_max=8,
        max=30,
    )


def live_settings(fields: LiveProperties) -> LiveSettings:
    """The core's settings for the panel's fields."""
    return LiveSettings(fields.lifter, delay_frames=fields.delay_frames)


def follow_settings(context: bpy.types.Context) -> CaptureSettings:
    """As for a capture; but one person is looked for, and files are played whole."""
    settings = properties.capture_settings(context.scene.video_to_pose)
    return replace(settings, video=VideoSettings(), detect=replace(settings.detect, max_people=1))


class StartLiveOperator(bpy.types.Operator):
    """Move the armature like the person in view, while it happens. Nothing is keyed until you record"""

    bl_idname = "video_to_pose.start_live"
    bl_label = "Start Live"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        fields = context.scene.video_to_pose_live
        if live.State.following is not None:
            cls.poll_message_set("Somebody is followed already")
            return False
        if session.State.installation is not None:
            cls.poll_message_set("The engine is being installed")
            return False
        if fields.source != "camera" and not fields.file:
            cls.poll_message_set("Choose a file first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        fields, capture = context.scene.video_to_pose_live, context.scene.video_to_pose
        name = fields.camera if fields.source == "camera" else str(Path(bpy.path.abspath(fields.file)))
        try:
            armature = capture.armature if capture.target == "EXISTING" else None
            if capture.target == "EXISTING" and armature is None:
                raise InputError("No armature is chosen.", "Choose one, or switch to New Armature.", "rig-missing")
            python = engine.find_python(preferences.engine_python(context), session.engine_environment())
            retargeting = properties.retarget_settings(capture)
            live.start(
                context,
                python,
                fields.source,
                name,
                follow_settings(context),
                live_settings(fields),
                armature,
                retargeting,
            )
        except VideoToPoseError as error:
            live.State.outcome = session.explain(error)
            self.report({"ERROR"}, f"{error.message} {error.hint}".strip())
            return {"CANCELLED"}
        return {"FINISHED"}


class StopLiveOperator(bpy.types.Operator):
    """Stop following. A recording is kept; otherwise the armature goes back to how it was"""

    bl_idname = "video_to_pose.stop_live"
    bl_label = "Stop"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return live.State.following is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        live.stop()
        return {"FINISHED"}


class RecordLiveOperator(bpy.types.Operator):
    """Record from now on; when it ends, the recording becomes an action, and its take is kept"""

    bl_idname = "video_to_pose.record_live"
    bl_label = "Record"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        following = live.State.following
        if following is None or following.stream is None:
            cls.poll_message_set("Wait until the character moves")
            return False
        return not following.stopping

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            if live.State.following is not None and live.State.following.recording is not None:
                live.stop_recording()
            else:
                live.record()
        except VideoToPoseError as error:
            self.report({"ERROR"}, f"{error.message} {error.hint}".strip())
            return {"CANCELLED"}
        return {"FINISHED"}


class LivePanel(bpy.types.Panel):
    """Follow a person while it happens"""

    bl_idname = "VIDEO_TO_POSE_PT_live"
    bl_label = "Live"
    bl_category = "Video to Pose"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, fields = self.layout, context.scene.video_to_pose_live
        following = live.State.following
        column = layout.column()
        column.enabled = following is None
        column.row(align=True).prop(fields, "source", expand=True)
        column.prop(fields, "camera" if fields.source == "camera" else "file")
        column.prop(fields, "lifter")
        row = column.row()
        row.active = not LIFTERS[fields.lifter].causal
        row.prop(fields, "delay_frames")
        capture = context.scene.video_to_pose
        column.row(align=True).prop(capture, "target", expand=True)
        if capture.target == "EXISTING":
            column.prop(capture, "armature", text="", icon="ARMATURE_DATA")
        characters = panel.characters_in(context)
        if following is None:
            row = layout.row()
            row.scale_y = 1.5
            row.operator("video_to_pose.start_live", icon="PLAY")
        else:
            _draw_following(layout.column(), following)
        if live.State.outcome is not None:
            job_list.draw_outcome(layout.box().column(align=True), live.State.outcome, characters)


def _draw_following(column: bpy.types.UILayout, following: live.Following) -> None:
    row = column.row(align=True)
    row.scale_y = 1.5
    recording = following.recording is not None
    row.operator("video_to_pose.record_live", text="Stop Recording" if recording else "Record", icon="REC")
    row.operator("video_to_pose.stop_live", text="", icon="SNAP_FACE")
    box = column.box().column(align=True)
    text, icon = told(following)
    box.alert = icon == "ERROR"
    box.label(text=text, icon=icon)
    if following.seen is None:
        return
    figures = box.column(align=True)
    figures.alert = False
    figures.label(
        text=say(
            "{milliseconds} ms behind, {rate} frames/s",
            milliseconds=round(1e3 * following.latency_s),
            rate=f"{following.frames_per_s:.0f}",
        ),
        icon="TIME",
    )
    if following.dropped:
        figures.label(text=say("{count} pictures left out to keep up", count=following.dropped), icon="BLANK1")


def told(following: live.Following) -> tuple[str, str]:
    """How it goes, and an icon."""
    if following.stopping:
        return say("Stopping"), "SORTTIME"
    if live.State.bringing is not None:
        return say("Making the action"), "SORTTIME"
    if following.skeleton is None:
        return say("Getting ready"), "SORTTIME"
    if following.seen is None:
        return say("Looking for somebody"), "VIEWZOOM"
    if not following.seen:
        return say("Nobody in view: the pose is held"), "ERROR"
    if following.recording is not None:
        poses = following.recording.poses
        seconds = poses[-1].time_s - poses[0].time_s if poses else 0.0
        return say("Recording, {seconds} s", seconds=f"{seconds:.1f}"), "REC"
    if not following.settled:
        return say("Measuring the person"), "ARMATURE_DATA"
    return say("Following"), "CHECKMARK"


_CLASSES = (LiveProperties, StartLiveOperator, StopLiveOperator, RecordLiveOperator, LivePanel)
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)


def register() -> None:
    _register_classes()
    bpy.types.Scene.video_to_pose_live = PointerProperty(type=LiveProperties)


def unregister() -> None:
    del bpy.types.Scene.video_to_pose_live
    _unregister_classes()

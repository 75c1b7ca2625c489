# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar tab of the 3D viewport."""

import textwrap
from typing import ClassVar

import bpy

from . import session

_SETUP_CODES = ("engine-missing", "engine-incomplete", "engine-python", "package-missing", "no-mediapipe")


class CapturePanel(bpy.types.Panel):
    """Motion capture from a video"""

    bl_idname = "VIDEO_TO_POSE_PT_capture"
    bl_label = "Video to Pose"
    bl_category = "Video to Pose"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        fields = context.scene.video_to_pose
        column = layout.column()
        column.enabled = session.State.capture is None
        column.prop(fields, "video", text="")
        row = column.row(align=True)
        row.prop(fields, "target", expand=True)
        if fields.target == "EXISTING":
            column.prop(fields, "armature", text="", icon="ARMATURE_DATA")
        if session.State.capture is not None:
            _draw_running(layout, session.State.capture)
        elif session.State.installation is not None:
            layout.progress(factor=0.0, text=f"{session.State.installation.label}…")
            layout.operator("video_to_pose.cancel", icon="X")
        else:
            row = layout.row()
            row.scale_y = 1.5
            row.operator("video_to_pose.capture", icon="REC")
        if session.State.outcome is not None:
            _draw_outcome(layout, session.State.outcome, _characters(context))


class OptionsPanel(bpy.types.Panel):
    """What is known of the clip, and how the motion comes into the scene"""

    bl_idname = "VIDEO_TO_POSE_PT_options"
    bl_label = "Options"
    bl_category = "Video to Pose"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_parent_id = "VIDEO_TO_POSE_PT_capture"
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.enabled = session.State.capture is None
        fields = context.scene.video_to_pose
        column = layout.column(heading="Character")
        column.prop(fields, "root_motion")
        column.prop(fields, "scale")
        column.prop(fields, "match_scene")
        column = layout.column(heading="Person and Camera")
        column.prop(fields, "height_m")
        column.prop(fields, "field_of_view")
        column = layout.column(heading="Video")
        row = column.column(align=True)
        row.prop(fields, "start_s")
        row.prop(fields, "end_s")
        column.prop(fields, "variant")
        column.prop(fields, "smoothing_cutoff_hz")
        layout.operator("video_to_pose.apply_take", text="Apply a Take…", icon="FILE_FOLDER").filepath = ""


def _draw_running(layout: bpy.types.UILayout, capture: session.Capture) -> None:
    layout.progress(factor=capture.done or 0.0, type="BAR", text=capture.stage)
    layout.operator("video_to_pose.cancel", icon="X")


def _draw_outcome(layout: bpy.types.UILayout, outcome: session.Outcome, characters: int) -> None:
    box = layout.box().column(align=True)
    bad = outcome.code not in ("", "cancelled")
    _draw_text(box, outcome.message, "ERROR" if bad else "CHECKMARK" if not outcome.code else "INFO", characters)
    if outcome.hint:
        _draw_text(box, outcome.hint, "BLANK1", characters)
    for warning in outcome.warnings:
        _draw_text(box, warning, "INFO", characters)
    if outcome.code in _SETUP_CODES:
        box.separator()
        box.operator("video_to_pose.install_engine", icon="IMPORT")
        box.operator("preferences.addon_show", text="Preferences", icon="PREFERENCES").module = __package__
    if outcome.details:
        box.separator()
        box.operator("video_to_pose.copy_details", icon="COPYDOWN")
    if outcome.take is not None:
        box.separator()
        again = box.operator("video_to_pose.apply_take", text="Put on the Chosen Armature", icon="ARMATURE_DATA")
        again.filepath = str(outcome.take)


def _draw_text(layout: bpy.types.UILayout, text: str, icon: str, characters: int) -> None:
    for number, line in enumerate(textwrap.wrap(text, characters)):
        layout.label(text=line, icon=icon if number == 0 else "BLANK1")


def _characters(context: bpy.types.Context) -> int:
    """About how many characters fit beside an icon; labels do not wrap by themselves."""
    width = context.region.width if context.region is not None else 300
    scale = context.preferences.system.ui_scale or 1.0  # 0 while there is no window
    return max(20, int(width / (7.0 * scale)) - 6)


_CLASSES = (CapturePanel, OptionsPanel)


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)

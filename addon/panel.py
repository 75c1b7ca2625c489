# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar tab of the 3D viewport."""

from typing import ClassVar

import bpy

from . import bone_maps, clip, job_list, people, session, setup_view

_AFTER_RESULT = 1
"""Order of panels that stand below what a capture has brought, which one wants to see first."""


class _InTab:
    """Where all our panels are."""

    bl_category = "Video to Pose"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"


class CapturePanel(_InTab, bpy.types.Panel):
    """Motion capture from a video"""

    bl_idname = "VIDEO_TO_POSE_PT_capture"
    bl_label = "Video to Pose"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        fields = context.scene.video_to_pose
        characters = characters_in(context)
        clip.draw(layout.column(), context.scene, characters)
        people.draw(layout.column(), context.scene, characters)
        layout.row(align=True).prop(fields, "quality", expand=True)
        column = layout.column()
        row = column.row(align=True)
        row.prop(fields, "target", expand=True)
        if fields.target == "EXISTING":
            column.prop(fields, "armature", text="", icon="ARMATURE_DATA")
            people.draw_targets(column, context.scene, characters)
        if not setup_view.draw_first_steps(layout, context):
            row = layout.row()
            row.scale_y = 1.5
            text = "Capture, After the Others" if session.active() else "Capture"
            row.operator("video_to_pose.capture", text=text, icon="REC")
        if session.State.outcome is not None:
            job_list.draw_outcome(layout.box().column(align=True), session.State.outcome, characters)
        job_list.draw(layout, characters)


class OptionsPanel(_InTab, bpy.types.Panel):
    """What is known of the clip, and how the motion comes into the scene"""

    bl_idname = "VIDEO_TO_POSE_PT_options"
    bl_label = "Options"
    bl_parent_id = "VIDEO_TO_POSE_PT_capture"
    bl_order = _AFTER_RESULT
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        fields = context.scene.video_to_pose
        column = _group(layout, "Person and Camera")
        column.prop(fields, "person")
        column.prop(fields, "max_people")
        column.prop(fields, "height_m")
        column.prop(fields, "even_sides")
        column.prop(fields, "field_of_view")
        column = _group(layout, "Quality")
        for name in ("variant", "lifter", "flip", "device"):
            column.prop(fields, name)
        column = _group(layout, "Motion")
        column.prop(fields, "smoothing_cutoff_hz")
        column.prop(fields, "root_depth_cutoff_hz")
        column.prop(fields, "flat_floor")
        row = column.column(align=True)
        row.prop(fields, "contact_speed_m_s")
        row.prop(fields, "contact_height_m")
        column = _group(layout, "Scene")
        column.prop(fields, "match_scene")
        column.prop(fields, "camera")


class CharacterPanel(_InTab, bpy.types.Panel):
    """How the motion is laid on the character"""

    bl_idname = "VIDEO_TO_POSE_PT_character"
    bl_label = "Character"
    bl_parent_id = "VIDEO_TO_POSE_PT_capture"
    bl_order = _AFTER_RESULT
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        fields = context.scene.video_to_pose
        column = _group(layout, "Way")
        for name in ("root_motion", "scale", "start", "facing"):
            column.prop(fields, name)
        column = _group(layout, "Body")
        for name in ("feet", "limbs", "smoothing", "repair", "joint_limits"):
            column.prop(fields, name)
        column = _group(layout, "Keys")
        column.prop(fields, "key_error")
        if fields.key_error > 0:
            column.prop(fields, "key_distance")
        layout.operator("video_to_pose.apply_take", text="Apply a Take…", icon="FILE_FOLDER").filepath = ""


class BonesPanel(_InTab, bpy.types.Panel):
    """Which bone of the chosen armature plays which part"""

    bl_idname = "VIDEO_TO_POSE_PT_bones"
    bl_label = "Bones"
    bl_parent_id = "VIDEO_TO_POSE_PT_capture"
    bl_order = _AFTER_RESULT
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        fields = context.scene.video_to_pose
        return fields.target == "EXISTING" and fields.armature is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        armature = context.scene.video_to_pose.armature
        stored = armature.video_to_pose_bones
        row = layout.row(align=True)
        row.operator("video_to_pose.detect_bones", icon="VIEWZOOM")
        row.operator("video_to_pose.load_bones", text="", icon="FILE_FOLDER")
        row.operator("video_to_pose.save_bones", text="", icon="FILE_TICK")
        if stored.slots:
            row.operator("video_to_pose.forget_bones", text="", icon="X")
        column = layout.column(align=True)
        for slot in stored.slots:
            row = column.row(align=True)
            split = row.split(factor=0.4, align=True)
            split.label(text=_part_label(slot.part), icon=_sureness(slot))
            split.prop_search(slot, "bone", armature.data, "bones", text="")


def _group(layout: bpy.types.UILayout, title: str) -> bpy.types.UILayout:
    """A column of fields under a title; what Blender calls a heading stands beside checkboxes only."""
    column = layout.column()
    column.label(text=title)
    return column


def _part_label(part: str) -> str:
    chain, _, number = part.partition(".")
    words = chain.replace("_", " ").title()
    return f"{words} {int(number) + 1}" if number else words


def _sureness(slot: bone_maps.BoneSlot) -> str:
    """An icon for how sure the detection was."""
    if not slot.bone:
        return "REMOVE"
    return "CHECKMARK" if slot.confidence > 0.8 else "QUESTION"


def characters_in(context: bpy.types.Context) -> int:
    """About how many characters fit beside an icon; labels do not wrap by themselves."""
    width = context.region.width if context.region is not None else 300
    scale = context.preferences.system.ui_scale or 1.0  # 0 while there is no window
    return max(20, int(width / (7.0 * scale)) - 6)


_CLASSES = (CapturePanel, CharacterPanel, BonesPanel, OptionsPanel)
register, unregister = bpy.utils.register_classes_factory(_CLASSES)

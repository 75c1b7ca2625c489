# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to do with a motion that is there: solve it again, look at doubtful frames, put it on an NLA track."""

from __future__ import annotations

from typing import ClassVar

import bpy

from . import check_frames, facts, panel, results
from .words import say


class _InTab:
    bl_category = "Video to Pose"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_parent_id = "VIDEO_TO_POSE_PT_capture"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return results.shown(context) is not None


class ResultPanel(_InTab, bpy.types.Panel):
    """The selected armature's motion from a video"""

    bl_idname = "VIDEO_TO_POSE_PT_result"
    bl_label = "Result"

    def draw(self, context: bpy.types.Context) -> None:
        layout, found = self.layout, results.shown(context)
        if found is None:
            return
        where = ", on an NLA track" if found.strip is not None else ""
        layout.label(text=f"{found.action.name}{where}", icon="NLA" if found.strip is not None else "ACTION")
        row = layout.row(align=True)
        row.scale_y = 1.3
        row.operator("video_to_pose.solve_again", icon="FILE_REFRESH")
        row.operator("video_to_pose.recall_settings", text="", icon="EYEDROPPER")
        stored = results.told(found.action) or {}
        facts.draw(layout, stored, context.scene.unit_settings.system, panel.characters_in(context))
        column = layout.column(align=True)
        if stored.get("said"):
            row = column.row(align=True)
            row.label(text="Feet as your markers say", icon="PMARKER_ACT")
            row.operator("video_to_pose.find_contacts", text="", icon="LOOP_BACK")
        column.operator("video_to_pose.export", text="Export…", icon="EXPORT").filepath = ""
        if found.strip is None:
            column.operator("video_to_pose.push_down", icon="NLA_PUSHDOWN")
        else:
            column.operator("video_to_pose.pull_up", icon="ACTION_TWEAK")


class CheckFramesPanel(_InTab, bpy.types.Panel):
    """What wants a look in the selected armature's motion"""

    bl_idname = "VIDEO_TO_POSE_PT_check_frames"
    bl_label = "Check These Frames"

    def draw(self, context: bpy.types.Context) -> None:
        layout, found = self.layout, results.shown(context)
        if found is None:
            return
        action = found.action
        items = action.video_to_pose_checks
        if not len(items):
            layout.label(text="Nothing wants a look.", icon="CHECKMARK")
            return
        left = sum(not item.seen for item in items)
        row = layout.row(align=True)
        row.label(text=say("{left} of {total} left", left=left, total=len(items)) if left else "All looked at")
        row.operator("video_to_pose.next_check", text="", icon="TRIA_LEFT").back = True
        row.operator("video_to_pose.next_check", text="", icon="TRIA_RIGHT").back = False
        layout.template_list(
            check_frames.CheckList.bl_idname,
            "",
            action,
            "video_to_pose_checks",
            action,
            "video_to_pose_check",
            rows=min(max(len(items), 3), 8),
        )


class OverlayPanel(_InTab, bpy.types.Panel):
    """Keypoints over the video, seen through the camera that came with the motion"""

    bl_idname = "VIDEO_TO_POSE_PT_overlay"
    bl_label = "Keypoints Over the Video"
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    def draw_header(self, context: bpy.types.Context) -> None:
        self.layout.prop(context.scene.video_to_pose_overlay, "show", text="")

    def draw(self, context: bpy.types.Context) -> None:
        layout, fields = self.layout, context.scene.video_to_pose_overlay
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.active = fields.show
        layout.prop(fields, "size")
        layout.prop(fields, "opacity")
        layout.prop(fields, "least_score")
        layout.operator("video_to_pose.view_video", icon="VIEW_CAMERA")


_CLASSES = (ResultPanel, CheckFramesPanel, OverlayPanel)
register, unregister = bpy.utils.register_classes_factory(_CLASSES)

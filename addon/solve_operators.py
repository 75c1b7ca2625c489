# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons that solve a motion again from its Take: with the panel's settings, and the markers an animator has moved."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import ClassVar

import bpy
from bpy.props import FloatProperty

from . import operators, properties, results, rigs, session
from .core.video_to_pose.errors import VideoToPoseError
from .core.video_to_pose.settings import CameraSettings, MotionSettings, RetargetSettings


class _OnResult:
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        found = results.shown(context)
        if found is None:
            cls.poll_message_set("Select an armature whose action came from a take")
            return False
        if found.strip is not None:
            cls.poll_message_set("Take the motion back from its NLA track first")
            return False
        return True


class SolveAgainOperator(_OnResult, bpy.types.Operator):
    """Solve the motion again from its take, with the settings of Options and Character and the contacts that the action's markers say. The video is not looked at again"""  # noqa: E501

    bl_idname = "video_to_pose.solve_again"
    bl_label = "Solve Again"

    def execute(self, context: bpy.types.Context) -> set[str]:
        found, fields = results.shown(context), context.scene.video_to_pose
        if found is None:
            return {"CANCELLED"}
        before = rigs.stored_settings(results.told(found.action) or {})[1]
        how, solving = properties.retarget_settings(fields), properties.solving(fields, before)
        return _again(self, context, found.armature, how, solving)


def _again(
    operator: bpy.types.Operator,
    context: bpy.types.Context,
    armature: bpy.types.Object,
    how: RetargetSettings,
    solving: tuple[CameraSettings, MotionSettings] | None,
) -> set[str]:
    """Solve an armature's motion again, and tell how that went in the panel and in Blender's status line."""
    try:
        result = rigs.solve_again(context, armature, how, solving)
    except VideoToPoseError as error:
        return operators._failed(operator, error)
    session.State.outcome = session.Outcome(session.told(result), warnings=[*result.notes, *result.check.warnings])
    operator.report({"INFO"}, session.told(result))
    return {"FINISHED"}


class RecallSettingsOperator(bpy.types.Operator):
    """Fill the fields of Options and Character with what this motion was solved with"""

    bl_idname = "video_to_pose.recall_settings"
    bl_label = "Recall Settings"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if results.shown(context) is None:
            cls.poll_message_set("Select an armature whose action came from a take")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        found = results.shown(context)
        if found is None:
            return {"CANCELLED"}
        how, solving = rigs.stored_settings(results.told(found.action) or {})
        properties.recall(context.scene.video_to_pose, how, solving)
        return {"FINISHED"}


class SetHeightOperator(_OnResult, bpy.types.Operator):
    """Say how tall the person is. The motion is solved again with it, otherwise as it was"""

    bl_idname = "video_to_pose.set_height"
    bl_label = "Set the Person's Height"

    height_m: FloatProperty(
        name="Height (m)",
        description="How tall the person is, without shoes. 0 takes the estimate again",
        min=0.0,
        soft_max=2.2,
        max=3.0,
        precision=2,
        step=1,
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        found = results.shown(context)
        about = (results.told(found.action) or {}).get("about") if found is not None else None
        if about is not None:
            self.height_m = about["height_m"]
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        found, fields = results.shown(context), context.scene.video_to_pose
        if found is None:
            return {"CANCELLED"}
        how, solving = rigs.stored_settings(results.told(found.action) or {})
        camera, motion = solving or (CameraSettings(), MotionSettings())
        height = round(self.height_m, 5) or None
        done = _again(self, context, found.armature, how, (replace(camera, height_m=height), motion))
        if done == {"FINISHED"}:
            fields.height_m = self.height_m  # so that it still holds when the panel's settings are taken
        return done


class LeavePathOutOperator(_OnResult, bpy.types.Operator):
    """Solve the motion again with the path In Place, otherwise as it was: the character stays on its spot, and the camera's way is not in its motion any more"""  # noqa: E501

    bl_idname = "video_to_pose.leave_path_out"
    bl_label = "Leave the Path Out"

    def execute(self, context: bpy.types.Context) -> set[str]:
        found, fields = results.shown(context), context.scene.video_to_pose
        if found is None:
            return {"CANCELLED"}
        how, solving = rigs.stored_settings(results.told(found.action) or {})
        done = _again(self, context, found.armature, replace(how, root_motion="in_place"), solving)
        if done == {"FINISHED"}:
            fields.root_motion = "in_place"
        return done


class FindContactsOperator(_OnResult, bpy.types.Operator):
    """Forget how the contact markers were edited, and find the contacts of the feet anew"""

    bl_idname = "video_to_pose.find_contacts"
    bl_label = "Find Contacts Anew"

    def execute(self, context: bpy.types.Context) -> set[str]:
        found = results.shown(context)
        stored = results.told(found.action) if found is not None else None
        if found is None or stored is None:
            return {"CANCELLED"}
        kept = found.action[results.STORED]
        found.action[results.STORED] = json.dumps(
            {**stored, "said": [], "contacts": rigs.contacts.written(found.action)}
        )
        how, solving = rigs.stored_settings(stored)
        try:
            result = rigs.solve_again(context, found.armature, how, solving)
        except VideoToPoseError as error:
            found.action[results.STORED] = kept
            return operators._failed(self, error)
        self.report({"INFO"}, session.told(result))
        return {"FINISHED"}


_CLASSES = (
    SolveAgainOperator,
    RecallSettingsOperator,
    SetHeightOperator,
    LeavePathOutOperator,
    FindContactsOperator,
)
register, unregister = bpy.utils.register_classes_factory(_CLASSES)

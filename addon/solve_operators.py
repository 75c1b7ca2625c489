# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons that solve a motion again from its Take: with the panel's settings, and the markers an animator has moved."""

from __future__ import annotations

import json
from typing import ClassVar

import bpy

from . import operators, properties, results, rigs, session
from .core.video_to_pose.errors import VideoToPoseError


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
        try:
            before = rigs.stored_settings(results.told(found.action) or {})[1]
            solving = properties.solving(fields, before)
            result = rigs.solve_again(context, found.armature, properties.retarget_settings(fields), solving)
        except VideoToPoseError as error:
            return operators._failed(self, error)
        session.State.outcome = session.Outcome(session.told(result), warnings=[*result.notes, *result.check.warnings])
        self.report({"INFO"}, session.told(result))
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


_CLASSES = (SolveAgainOperator, RecallSettingsOperator, FindContactsOperator)
register, unregister = bpy.utils.register_classes_factory(_CLASSES)

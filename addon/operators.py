# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons: capture, cancel, put a take on an armature, install the engine, copy details. Each wraps one function."""

from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import StringProperty

from . import engine, preferences, properties, rigs, session
from .core.video_to_pose.errors import InputError, VideoToPoseError
from .core.video_to_pose.formats import take as take_file


def _target(fields: properties.VideoToPoseProperties) -> bpy.types.Object | None:
    """The chosen armature; None for a new one."""
    if fields.target == "NEW":
        return None
    if fields.armature is None:
        raise InputError("No armature is chosen.", "Choose one, or switch to New Armature.", "rig-missing")
    return fields.armature


def _apply_settings(fields: properties.VideoToPoseProperties, name: str) -> rigs.ApplySettings:
    return rigs.ApplySettings(name=name, match_scene=fields.match_scene, retarget=properties.retarget_settings(fields))


def _failed(operator: bpy.types.Operator, error: VideoToPoseError) -> set[str]:
    """Show an error in the panel and in Blender's status line."""
    session.State.outcome = session.explain(error)
    operator.report({"ERROR"}, f"{error.message} {error.hint}".strip())
    return {"CANCELLED"}


class CaptureOperator(bpy.types.Operator):
    """Capture the person's motion from the video. Blender stays usable meanwhile"""

    bl_idname = "video_to_pose.capture"
    bl_label = "Capture"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if session.State.capture is not None:
            cls.poll_message_set("A capture is running already")
            return False
        if session.State.installation is not None:
            cls.poll_message_set("The engine is being installed")
            return False
        if not context.scene.video_to_pose.video:
            cls.poll_message_set("Choose a video first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        fields = context.scene.video_to_pose
        video = Path(bpy.path.abspath(fields.video))
        try:
            armature = _target(fields)
            python = engine.find_python(preferences.engine_python(context), session.engine_environment())
            apply = _apply_settings(fields, rigs.clip_name(video))
            session.start(context, python, video, properties.capture_settings(fields), armature, apply)
        except VideoToPoseError as error:
            return _failed(self, error)
        return {"FINISHED"}


class CancelOperator(bpy.types.Operator):
    """Stop; nothing half-finished is left behind"""

    bl_idname = "video_to_pose.cancel"
    bl_label = "Cancel"

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.cancel()
        return {"FINISHED"}


class ApplyTakeOperator(bpy.types.Operator):
    """Put a captured take on the chosen armature, without looking at the video again"""

    bl_idname = "video_to_pose.apply_take"
    bl_label = "Apply Take"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    filepath: StringProperty(name="Take", description="The take (.npz) to put on the armature", subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.npz", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.filepath:
            return self.execute(context)
        self.filepath = str(session.user_folder("takes")) + "/"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.abspath(self.filepath))
        fields = context.scene.video_to_pose
        try:
            take = take_file.load(path)
            apply = _apply_settings(fields, rigs.take_name(take, path))
            result = rigs.apply_take(context, take, _target(fields), apply)
        except VideoToPoseError as error:
            return _failed(self, error)
        session.State.outcome = session.Outcome(session.told(result), take=path)
        self.report({"INFO"}, session.told(result))
        return {"FINISHED"}


class InstallEngineOperator(bpy.types.Operator):
    """Download and install what the capture needs into a folder of this add-on. Blender's own Python is not changed"""

    bl_idname = "video_to_pose.install_engine"
    bl_label = "Install Engine"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if session.State.capture is not None or session.State.installation is not None:
            cls.poll_message_set("Wait until the work that runs now is done")
            return False
        if not bpy.app.online_access:
            cls.poll_message_set("Allow Online Access in Preferences, System first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.install(session.engine_environment())
        return {"FINISHED"}


class CopyDetailsOperator(bpy.types.Operator):
    """Copy the details of what went wrong, to paste them into a bug report"""

    bl_idname = "video_to_pose.copy_details"
    bl_label = "Copy Details"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return session.State.outcome is not None and bool(session.State.outcome.details)

    def execute(self, context: bpy.types.Context) -> set[str]:
        outcome = session.State.outcome
        if outcome is None:
            return {"CANCELLED"}
        context.window_manager.clipboard = f"{outcome.message}\n{outcome.hint}\n[{outcome.code}]\n{outcome.details}"
        self.report({"INFO"}, "Details copied.")
        return {"FINISHED"}


_CLASSES = (
    CaptureOperator,
    CancelOperator,
    ApplyTakeOperator,
    InstallEngineOperator,
    CopyDetailsOperator,
)


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)

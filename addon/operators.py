# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons: capture, cancel, put a take on an armature, copy details. Each wraps one function."""

from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from . import bone_maps, engine, exports, people, preferences, properties, results, rigs, session
from .core.video_to_pose.errors import InputError, VideoToPoseError
from .core.video_to_pose.formats import bvh
from .core.video_to_pose.formats import take as take_file
from .words import say


def _target(fields: properties.VideoToPoseProperties) -> bpy.types.Object | None:
    """The chosen armature; None for a new one."""
    if fields.target == "NEW":
        return None
    if fields.armature is None:
        raise InputError("No armature is chosen.", "Choose one, or switch to New Armature.", "rig-missing")
    return fields.armature


def _apply_settings(
    fields: properties.VideoToPoseProperties, name: str, take: Path | None = None
) -> rigs.ApplySettings:
    return rigs.ApplySettings(
        name=name,
        match_scene=fields.match_scene,
        retarget=properties.retarget_settings(fields),
        take=take,
        camera=fields.camera,
        video=Path(bpy.path.abspath(fields.video)) if fields.video else None,
    )


def _failed(operator: bpy.types.Operator, error: VideoToPoseError) -> set[str]:
    """Show an error in the panel and in Blender's status line."""
    session.State.outcome = session.explain(error)
    operator.report({"ERROR"}, f"{error.message} {error.hint}".strip())
    return {"CANCELLED"}


class CaptureOperator(bpy.types.Operator):
    """Capture the person's motion from the video. Blender stays usable meanwhile, and further captures queue"""

    bl_idname = "video_to_pose.capture"
    bl_label = "Capture"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if session.State.installation is not None:
            cls.poll_message_set("The engine is being installed")
            return False
        if not context.scene.video_to_pose.video:
            cls.poll_message_set("Choose a video first")
            return False
        if context.scene.video_to_pose.target == "EXISTING" and context.scene.video_to_pose.armature is None:
            cls.poll_message_set("Choose an armature first, or New Armature")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        fields = context.scene.video_to_pose
        video = Path(bpy.path.abspath(fields.video))
        try:
            armature = _target(fields)
            python = engine.find_python(preferences.engine_python(context), session.engine_environment())
            for number, (name, settings) in enumerate(people.orders(context.scene, video)):
                target = armature if number == 0 else None
                session.enqueue(context, python, video, settings, target, _apply_settings(fields, name))
        except VideoToPoseError as error:
            return _failed(self, error)
        return {"FINISHED"}


class CancelOperator(bpy.types.Operator):
    """Stop the installation, or the capture that runs; nothing half-finished is left behind"""

    bl_idname = "video_to_pose.cancel"
    bl_label = "Cancel"

    def execute(self, context: bpy.types.Context) -> set[str]:
        if session.State.installation is not None:
            session.cancel_installation()
        elif session.active():
            session.cancel(session.active()[0])
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
            apply = _apply_settings(fields, rigs.take_name(take, path), path)
            result = rigs.apply_take(context, take, _target(fields), apply)
        except VideoToPoseError as error:
            return _failed(self, error)
        session.State.outcome = session.Outcome(session.told(result), warnings=result.check.warnings, take=path)
        self.report({"INFO"}, session.told(result))
        return {"FINISHED"}


def _solvable(context: bpy.types.Context) -> bpy.types.Object | None:
    """The selected armature, or the chosen one, if its action came from a take."""
    found = results.shown(context)
    return found.armature if found is not None and found.strip is None else None


class ExportOperator(bpy.types.Operator):
    """Write the armature and its motion for another program, with settings that keep it exact"""

    bl_idname = "video_to_pose.export"
    bl_label = "Export"

    filepath: StringProperty(name="File", description="The file to write", subtype="FILE_PATH")
    check_existing: BoolProperty(default=True, options={"HIDDEN"})
    target: EnumProperty(
        name="For",
        description="The program that the file is for",
        items=[
            *((f"fbx {name}", f"FBX, {name}", profile.label) for name, profile in exports.FBX_PROFILES.items()),
            *((f"bvh {name}", f"BVH, {name}", profile.label) for name, profile in bvh.BVH_PROFILES.items()),
            ("glb", "glTF", "Binary glTF: Godot, three.js, Unity, web"),
        ],
    )
    rest_first: BoolProperty(name="Rest Pose First", description="Begin with a frame that shows the rest pose")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if _solvable(context) is None:
            if results.shown(context) is not None:
                cls.poll_message_set("Take the motion back from its NLA track first")
            else:
                cls.poll_message_set("Select an armature whose action came from a take")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        armature = _solvable(context)
        if armature is not None and not self.filepath:
            self.filepath = f"{armature.animation_data.action.name}.{self.target[:3]}"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, context: bpy.types.Context) -> bool:
        """The file dialog keeps the name's ending in step with what is written."""
        wanted = str(Path(self.filepath).with_suffix(f".{self.target[:3]}"))
        changed, self.filepath = wanted != self.filepath, wanted
        return changed

    def execute(self, context: bpy.types.Context) -> set[str]:
        armature = _solvable(context)
        if armature is None:
            return {"CANCELLED"}
        path = Path(bpy.path.abspath(self.filepath)).with_suffix(f".{self.target[:3]}")
        kind, _, name = self.target.partition(" ")
        reference = "rest" if self.rest_first else None
        try:
            if kind == "bvh":
                again = rigs.solved(armature)
                bvh.write(
                    again.animation,
                    path,
                    profile=bvh.BVH_PROFILES[name],
                    bone_map=again.bone_map,
                    reference_frame=reference,
                )
            elif kind == "fbx":
                exports.write_fbx(context, armature, path, exports.FBX_PROFILES[name], reference)
            else:
                exports.write_glb(context, armature, path, reference_frame=reference)
        except VideoToPoseError as error:
            return _failed(self, error)
        self.report({"INFO"}, say("Wrote {path}", path=path))
        return {"FINISHED"}


class DetectBonesOperator(bpy.types.Operator):
    """Find out which bone plays which part, and show it to be corrected"""

    bl_idname = "video_to_pose.detect_bones"
    bl_label = "Detect Bones"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            armature = _target(context.scene.video_to_pose)
            if armature is None:
                return {"CANCELLED"}
            bone_maps.show(armature, rigs.retarget.map_bones(rigs.read_rig(armature)))
        except VideoToPoseError as error:
            return _failed(self, error)
        return {"FINISHED"}


class ForgetBonesOperator(bpy.types.Operator):
    """Drop the corrections: the bones are detected anew each time"""

    bl_idname = "video_to_pose.forget_bones"
    bl_label = "Forget Corrections"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        bone_maps.forget(context.scene.video_to_pose.armature)
        return {"FINISHED"}


class _BonesFile:
    """A file dialog for bone maps."""

    filepath: StringProperty(name="Bone Map", description="The bone map's file (.json)", subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    check_existing: BoolProperty(default=True, options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        armature = context.scene.video_to_pose.armature
        self.filepath = self.filepath or f"{armature.name}.json"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        armature = context.scene.video_to_pose.armature
        try:
            self.run(armature, rigs.read_rig(armature), Path(bpy.path.abspath(self.filepath)))
        except VideoToPoseError as error:
            return _failed(self, error)
        return {"FINISHED"}


class SaveBonesOperator(_BonesFile, bpy.types.Operator):
    """Save the bone map as a file to share"""

    bl_idname = "video_to_pose.save_bones"
    bl_label = "Save Bone Map"
    run = staticmethod(bone_maps.save)


class LoadBonesOperator(_BonesFile, bpy.types.Operator):
    """Load a bone map that somebody made for this kind of armature"""

    bl_idname = "video_to_pose.load_bones"
    bl_label = "Load Bone Map"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    run = staticmethod(bone_maps.load)


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
    ExportOperator,
    DetectBonesOperator,
    ForgetBonesOperator,
    SaveBonesOperator,
    LoadBonesOperator,
    CopyDetailsOperator,
)
register, unregister = bpy.utils.register_classes_factory(_CLASSES)

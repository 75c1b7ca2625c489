# SPDX-License-Identifier: GPL-3.0-or-later
"""Animated armature -> FBX, GLB, .blend, through Blender's own exporters with settings that keep the motion exact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
from mathutils import Matrix

from .channels import rotation_path
from .core.video_to_pose.files import written_whole


def write_fbx(context: bpy.types.Context, armature: bpy.types.Object, path: Path) -> None:
    """Write an armature, the meshes it deforms and the scene's frame range as FBX.

    Raises:
        InputError: the target cannot be written.
    """
    rest = _rest_before_first_frame(context.scene, armature)
    with _whole(path) as partial, _only_selected(context, armature), rest:
        bpy.ops.export_scene.fbx(
            filepath=partial,
            use_selection=True,
            object_types={"ARMATURE", "MESH"},
            add_leaf_bones=False,
            bake_anim=True,
            bake_anim_use_all_bones=True,
            bake_anim_use_nla_strips=False,
            bake_anim_use_all_actions=False,
            bake_anim_force_startend_keying=True,
            bake_anim_step=1.0,
            bake_anim_simplify_factor=0.0,
        )


def write_glb(context: bpy.types.Context, armature: bpy.types.Object, path: Path) -> None:
    """Write an armature, the meshes it deforms and its action as binary glTF.

    Raises:
        InputError: the target cannot be written.
    """
    with _whole(path) as partial, _only_selected(context, armature):
        bpy.ops.export_scene.gltf(
            filepath=partial,
            export_format="GLB",
            use_selection=True,
            export_animations=True,
            export_animation_mode="ACTIVE_ACTIONS",
            export_force_sampling=True,
            export_frame_range=True,
            export_optimize_animation_size=False,
            export_def_bones=False,
        )


def write_blend(path: Path) -> None:
    """Write a copy of the open file.

    Raises:
        InputError: the target cannot be written.
    """
    with _whole(path) as partial:
        bpy.ops.wm.save_as_mainfile(filepath=partial, copy=True, check_existing=False)


@contextmanager
def _whole(path: Path) -> Iterator[str]:
    """A file beside the target for an exporter to fill; moved into place when it ends well."""
    with written_whole(path) as partial:
        partial.touch()  # exporters tell a missing permission as a RuntimeError of their own
        partial.unlink()  # and Blender keeps a .blend1 of a file that it writes over
        yield str(partial)


@contextmanager
def _only_selected(context: bpy.types.Context, armature: bpy.types.Object) -> Iterator[None]:
    """The armature and the meshes it deforms selected, nothing else; then the old selection again."""
    layer = context.view_layer
    before, active = list(context.selected_objects), layer.objects.active
    try:
        for ob in before:
            ob.select_set(False)
        for ob in [armature, *_deformed(context.scene, armature)]:
            ob.select_set(True)
        layer.objects.active = armature
        yield
    finally:
        for ob in list(context.selected_objects):
            ob.select_set(False)
        for ob in before:
            ob.select_set(True)
        layer.objects.active = active


def _deformed(scene: bpy.types.Scene, armature: bpy.types.Object) -> list[bpy.types.Object]:
    return [
        ob
        for ob in scene.objects
        if ob.type == "MESH"
        and (ob.parent == armature or any(m.type == "ARMATURE" and m.object == armature for m in ob.modifiers))
    ]


@contextmanager
def _rest_before_first_frame(scene: bpy.types.Scene, armature: bpy.types.Object) -> Iterator[None]:
    """The armature's rest pose on the frame before the first, and that frame as the current one.

    FBX has no place for the rest pose of an armature without a mesh: the exporter writes the pose of the current
    frame there. So that frame must show the rest pose while the exported range shows the motion. This is done on a
    copy of the action, which also keys the bones that have no keys of their own.
    """
    data, frame = armature.animation_data, scene.frame_current
    action = data.action
    slot = data.action_slot if bpy.app.version >= (4, 4) else None
    pose = [bone.matrix_basis.copy() for bone in armature.pose.bones]
    before = scene.frame_start - 1
    copied = action.copy()
    try:
        data.action = copied
        if slot is not None:
            data.action_slot = next(s for s in copied.slots if s.identifier == slot.identifier)
        scene.frame_set(scene.frame_start)
        for bone in armature.pose.bones:
            channels = ("location", rotation_path(bone.rotation_mode), "scale")
            for path in channels:
                bone.keyframe_insert(path, frame=scene.frame_start)
            bone.matrix_basis = Matrix.Identity(4)
            for path in channels:
                bone.keyframe_insert(path, frame=before)
        scene.frame_set(before)
        yield
    finally:
        data.action = action
        if slot is not None:
            data.action_slot = slot
        bpy.data.actions.remove(copied)
        for bone, matrix in zip(armature.pose.bones, pose, strict=True):
            bone.matrix_basis = matrix
        scene.frame_set(frame)

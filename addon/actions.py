# SPDX-License-Identifier: GPL-3.0-or-later
"""`RigAnimation` -> action: keys in bulk, in whatever rotation mode a bone has, on Blender 4.2 to 5.2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from .channels import rotation_path, rotation_values
from .core.video_to_pose.rotation import matrix_to_quat
from .core.video_to_pose.types import RigAnimation
from .steps import Steps, aside

Floats = NDArray[np.floating]

SLOT_NAME = "Slot"
"""Name of an action's slot, as Blender's own BVH importer calls it: equal names let actions move between rigs."""

_OBJECT_GROUP = "Object Transforms"


def write_keys(
    action: bpy.types.Action,
    armature: bpy.types.Object,
    animation: RigAnimation,
    frames: Sequence[float] | Floats,
    kept: Sequence[NDArray[np.intp]] | None = None,
) -> Steps[None]:
    """Key the animation's bones, each in its own rotation mode, one group a bone; the object too where it moves.

    A step a bone.

    Args:
        action: of the armature, assigned or not; its curves of these bones are replaced.
        armature: whose bones the rig's names are.
        animation: F moments.
        frames: (F,) scene frames.
        kept: for each of the animation's bones the moments that get a key; None keys all.
    """
    names, frames = animation.rig.names, np.asarray(frames)
    everything = np.arange(len(frames))
    modes = rotation_modes(armature, animation)
    for mode in sorted(set(modes)):
        alike = [m for m, its in enumerate(modes) if its == mode]
        rotations = yield from aside(partial(rotation_values, animation.rotations[:, alike], mode))
        for column, m in enumerate(alike):
            b = animation.bones[m]
            name = names[b]
            values = [(rotation_path(mode), rotations[:, column])]
            if b in animation.located:
                values.insert(0, ("location", location_values(armature.data.bones[name], animation, b)))
            moments = everything if kept is None else kept[m]
            for path, channels in values:
                _write(action, armature, _of_bone(name, path), name, frames[moments], channels[moments])
            yield None
    for b in set(animation.located) - set(animation.bones):
        path = _of_bone(names[b], "location")
        _write(action, armature, path, names[b], frames, location_values(armature.data.bones[names[b]], animation, b))
        yield None
    for name, prop, value in animation.switches:
        path = f'{_of_bone(name, "")[:-1]}["{bpy.utils.escape_identifier(prop)}"]'
        _write(action, armature, path, name, frames[:1], np.array([value]), "CONSTANT")
    if animation.object_world is not None:
        for path, channels in _object_channels(armature, animation.object_world):
            _write(action, armature, path, _OBJECT_GROUP, frames, channels)


def rotation_modes(armature: bpy.types.Object, animation: RigAnimation) -> list[str]:
    """The rotation mode of each of the animation's bones."""
    return [armature.pose.bones[animation.rig.names[b]].rotation_mode for b in animation.bones]


def other_modes(modes: Sequence[str], animation: RigAnimation) -> dict[int, tuple[str, Floats]]:
    """Place in `animation.bones` -> rotation mode and keyed values, of bones that are not keyed as quaternions.

    Args:
        modes: what `rotation_modes` says.
        animation: F moments.
    """
    return {
        m: (mode, rotation_values(animation.rotations[:, [m]], mode)[:, 0])
        for m, mode in enumerate(modes)
        if mode != "QUATERNION"
    }


def _of_bone(bone: str, path: str) -> str:
    return f'pose.bones["{bpy.utils.escape_identifier(bone)}"].{path}'


def _object_channels(armature: bpy.types.Object, worlds: Floats) -> list[tuple[str, Floats]]:
    """What the object's own channels are for these world matrices, under its parent and in its rotation mode."""
    above = np.array(armature.matrix_world @ armature.matrix_basis.inverted_safe())
    basis = np.linalg.inv(above) @ worlds
    rotation = basis[:, :3, :3] / np.linalg.norm(basis[:, :3, :3], axis=1, keepdims=True)
    mode = armature.rotation_mode
    values = rotation_values(matrix_to_quat(rotation)[:, None], mode)[:, 0]
    return [("location", basis[:, :3, 3]), (rotation_path(mode), values)]


def _write(
    action: bpy.types.Action,
    armature: bpy.types.Object,
    path: str,
    group: str,
    frames: Floats,
    values: Floats,
    interpolation: str = "LINEAR",
) -> None:
    """Replace the curves of a property: values (n,) of a number, or (n, C) of its C components."""
    co = np.empty((len(frames), 2), dtype=np.float32)
    co[:, 0] = frames
    kind = np.full(len(frames), _interpolation(interpolation), dtype=np.int32)
    for c in range(1 if values.ndim == 1 else values.shape[1]):
        co[:, 1] = values if values.ndim == 1 else values[:, c]
        curve = _ensure_curve(action, armature, path, c, group)
        points = curve.keyframe_points
        points.clear()
        points.add(len(co))
        points.foreach_set("co", co.ravel())
        points.foreach_set("interpolation", kind)
        curve.update()


def location_values(bone: bpy.types.Bone, animation: RigAnimation, b: int) -> Floats:
    """(F, 3) location keys; without *Local Location* a bone has them in its parent's axes, or the armature's."""
    locations = animation.locations[:, animation.located.index(b)]
    if bone.use_local_location:
        return locations
    axes = np.array(bone.matrix_local)[:3, :3]
    if bone.parent is not None:
        axes = np.array(bone.parent.matrix_local)[:3, :3].T @ axes
    return locations @ axes.T


def _interpolation(name: str) -> int:
    return bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items[name].value


def _ensure_curve(
    action: bpy.types.Action, armature: bpy.types.Object, path: str, index: int, group: str
) -> bpy.types.FCurve:
    bag = _channels(action, armature) if bpy.app.version >= (4, 4) else action
    curve = bag.fcurves.find(path, index=index) or bag.fcurves.new(path, index=index)
    if curve.group is None or curve.group.name != group:
        curve.group = bag.groups.get(group) or bag.groups.new(group)
    return curve


def _channels(action: bpy.types.Action, armature: bpy.types.Object) -> bpy.types.ActionChannelbag:
    """Where the armature's curves are: those of its slot, or of the only one while the action is not assigned yet."""
    data = armature.animation_data
    slot = data.action_slot if data is not None and data.action == action else action.slots[0]
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True)


@contextmanager
def new_action(name: str) -> Iterator[bpy.types.Action]:
    """A new action with a slot for an object; on an error it goes. Until somebody uses it no file will hold it."""
    action = bpy.data.actions.new(name)
    try:
        if bpy.app.version >= (4, 4):
            action.slots.new(id_type="OBJECT", name=SLOT_NAME)
        yield action
    except BaseException:
        bpy.data.actions.remove(action)
        raise


@contextmanager
def assigned(armature: bpy.types.Object, action: bpy.types.Action) -> Iterator[None]:
    """An armature with an action of `new_action`; on an error what was assigned comes back."""
    had_data = armature.animation_data is not None
    data = armature.animation_data or armature.animation_data_create()
    before = data.action
    slot_before = data.action_slot if bpy.app.version >= (4, 4) else None
    kept_before = before.use_fake_user if before is not None else False
    pose_before = _pose(armature)
    try:
        data.action = action
        if bpy.app.version >= (4, 4):
            data.action_slot = action.slots[0]
        if before is not None and before.users == 0:
            before.use_fake_user = True  # the action that was here before must outlive saving the file
        yield
    except BaseException:
        data.action = before
        if slot_before is not None:
            data.action_slot = slot_before
        if before is not None:
            before.use_fake_user = kept_before
        if not had_data:
            armature.animation_data_clear()
        _set_pose(armature, pose_before)
        raise


def _pose(armature: bpy.types.Object) -> list[Matrix]:
    return [bone.matrix_basis.copy() for bone in armature.pose.bones]


def _set_pose(armature: bpy.types.Object, pose: list[Matrix]) -> None:
    for bone, matrix in zip(armature.pose.bones, pose, strict=True):
        if bone.matrix_basis != matrix:
            bone.matrix_basis = matrix

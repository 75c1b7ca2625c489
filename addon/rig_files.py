# SPDX-License-Identifier: GPL-3.0-or-later
"""A character's file -> its armature in the scene, at rest and without the animation that the file may hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy

from .core.video_to_pose.errors import InputError
from .core.video_to_pose.formats import bvh

ENDINGS = (".blend", ".fbx", ".bvh", ".glb", ".gltf")

_TALLEST_M = 10.0
"""What is taller than this was measured in centimetres."""


def open_scene(path: Path) -> None:
    """Open a .blend file in place of what is open.

    Raises:
        InputError: there is no such file, or Blender cannot read it.
    """
    _check(path)
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False)
    except RuntimeError as error:
        raise _unreadable(path, error) from error


def bring(path: Path) -> list[bpy.types.Object]:
    """The armatures of a character's file: a .blend is opened, others are added to the scene that is open.

    Raises:
        InputError: there is no such file, Blender cannot read it, or it has no armature.
    """
    _check(path)
    if path.suffix.lower() == ".blend":
        open_scene(path)
        return armatures()
    objects, actions = set(bpy.data.objects), set(bpy.data.actions)
    try:
        _READERS[path.suffix.lower()](str(path))
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    found = [ob for ob in armatures() if ob not in objects]
    if not found:
        raise InputError(
            f"There is no armature in {path.name}.", "Give the file that has the character's bones.", "rig-missing"
        )
    for armature in found:
        armature.animation_data_clear()
        for bone in armature.pose.bones:
            bone.matrix_basis.identity()
    for action in set(bpy.data.actions) - actions:
        bpy.data.actions.remove(action)
    return found


def armatures() -> list[bpy.types.Object]:
    """Those of the scene."""
    return [ob for ob in bpy.context.scene.objects if ob.type == "ARMATURE"]


def choose(found: list[bpy.types.Object], name: str | None, where: str) -> bpy.types.Object | None:
    """The armature of this name, or the only one; None where none is asked for and there is none.

    Raises:
        InputError: there is none of this name, or several and no name.
    """
    names = ", ".join(ob.name for ob in found)
    if name is None and len(found) > 1:
        raise InputError(
            f"There are several armatures in {where}: {names}.", "Say which one with --armature.", "rig-unclear"
        )
    if name is None:
        return found[0] if found else None
    armature = next((ob for ob in found if ob.name == name), None)
    if armature is None:
        hint = f"There is: {names}." if found else "Leave --armature out, and a new one is made."
        raise InputError(f"There is no armature {name} in {where}.", hint, "rig-missing")
    return armature


def _check(path: Path) -> None:
    if path.suffix.lower() not in ENDINGS:
        raise InputError(
            f"{path.name} has an ending that no character is read from.",
            f"Use one of: {' '.join(ENDINGS)}.",
            "rig-ending",
        )
    if not path.is_file():
        raise InputError(f"The file {path} does not exist.", "Check the path.", "rig-file-missing")


def _unreadable(path: Path, error: RuntimeError) -> InputError:
    said = " ".join(str(error).split()).removeprefix("Error: ").rstrip(".")
    said = said.partition(f'"{path}" failed: ')[2] or said
    return InputError(
        f"Blender cannot read {path.name} ({said}).", "Open it in this Blender and save it anew.", "rig-unreadable"
    )


def _read_bvh(path: str) -> None:
    """In metres, whatever unit the file has: it does not say."""
    bvh.read(path)  # says better than Blender what is wrong with it
    before = set(bpy.data.objects)
    bpy.ops.import_anim.bvh(filepath=path, rotate_mode="QUATERNION")
    made = [ob for ob in bpy.data.objects if ob not in before]
    if made and max(_size(ob) for ob in made) > _TALLEST_M:
        data = [ob.data for ob in made]
        bpy.data.batch_remove([*made, *data])
        bpy.ops.import_anim.bvh(filepath=path, rotate_mode="QUATERNION", global_scale=0.01)


def _size(armature: bpy.types.Object) -> float:
    """How far its joints lie apart at rest along the longest axis."""
    ends = [point for bone in armature.data.bones for point in (bone.head_local, bone.tail_local)]
    return max(max(axis) - min(axis) for axis in zip(*ends, strict=True))


_READERS: dict[str, Callable[[str], object]] = {
    ".fbx": lambda path: bpy.ops.import_scene.fbx(filepath=path, use_anim=False),
    ".bvh": _read_bvh,
    ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".gltf": lambda path: bpy.ops.import_scene.gltf(filepath=path),
}

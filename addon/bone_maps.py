# SPDX-License-Identifier: GPL-3.0-or-later
"""The bone map of an armature as a person sees and edits it. Without edits nothing is stored with the armature."""

from __future__ import annotations

import json
from pathlib import Path

import bpy
from bpy.props import CollectionProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from .core.video_to_pose.errors import InputError
from .core.video_to_pose.retarget import BoneMap, map_bones
from .core.video_to_pose.types import Rig

_LIMBS = ("shoulder", "upper_arm", "forearm", "hand", "upper_leg", "lower_leg", "foot", "toe")


class BoneSlot(bpy.types.PropertyGroup):
    """One part of the body and the bone that plays it."""

    part: StringProperty()
    bone: StringProperty(name="Bone", description="The bone that plays this part; empty when the rig has none")
    confidence: FloatProperty(description="How sure the detection was")


class BoneMapProperties(bpy.types.PropertyGroup):
    """An edited bone map."""

    slots: CollectionProperty(type=BoneSlot)
    active: IntProperty()
    rest: StringProperty()  # what has no slot: twist bones, fingers, controls, switches, as JSON


def of(armature: bpy.types.Object, rig: Rig) -> BoneMap:
    """The armature's edited map, or else the detected one.

    Raises:
        InputError: parts are missing, or bones that the map names.
    """
    stored = getattr(armature, "video_to_pose_bones", None)  # a script may use us without registering anything
    if stored is None or not stored.slots:
        return map_bones(rig)
    values = json.loads(stored.rest)
    chosen = {slot.part: slot.bone for slot in stored.slots if slot.bone}
    values["single"] = {part: bone for part, bone in chosen.items() if "." not in part and part != "root"}
    values["root"] = chosen.get("root", "")
    for chain in ("spine", "neck"):
        values[chain] = [bone for part, bone in chosen.items() if part.startswith(f"{chain}.")]
    try:
        found = BoneMap.from_dict(values)
    except ValueError as error:
        raise InputError(
            f"The bone map of {armature.name} is not complete: {error}.",
            "Fill the parts in under Bones, or detect them again.",
            "rig-unmapped",
        ) from error
    found.check(rig)
    return found


def show(armature: bpy.types.Object, found: BoneMap) -> None:
    """Put a map where it can be edited."""
    stored = armature.video_to_pose_bones
    stored.slots.clear()
    sides = [f"{side}_{part}" for side in ("left", "right") for part in _LIMBS]
    parts = {"root": found.root, "hips": found.single.get("hips", "")}
    parts |= {f"spine.{n}": name for n, name in enumerate(found.spine)}
    parts |= {f"neck.{n}": name for n, name in enumerate(found.neck)}
    parts |= {part: found.single.get(part, "") for part in ("head", *sides)}
    for part, bone in parts.items():
        slot = stored.slots.add()
        slot.name = slot.part = part
        slot.bone = bone
        slot.confidence = found.confidence.get(part.partition(".")[0], 0.0) if bone else 0.0
    values = found.to_dict()
    for key in ("single", "spine", "neck", "root"):
        del values[key]
    stored.rest = json.dumps(values)


def forget(armature: bpy.types.Object) -> None:
    """Back to detecting."""
    armature.property_unset("video_to_pose_bones")


def save(armature: bpy.types.Object, rig: Rig, path: Path) -> None:
    """Write the map as a file to share.

    Raises:
        InputError: the map is not complete, or the file cannot be written.
    """
    of(armature, rig).save(path)


def load(armature: bpy.types.Object, rig: Rig, path: Path) -> None:
    """Take a map out of a file.

    Raises:
        InputError: the file is no bone map, or names bones that the armature lacks.
    """
    show(armature, BoneMap.load(path, rig))


_CLASSES = (BoneSlot, BoneMapProperties)
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)


def register() -> None:
    _register_classes()
    bpy.types.Object.video_to_pose_bones = PointerProperty(type=BoneMapProperties, override={"LIBRARY_OVERRIDABLE"})


def unregister() -> None:
    del bpy.types.Object.video_to_pose_bones
    _unregister_classes()

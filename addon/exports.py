# SPDX-License-Identifier: GPL-3.0-or-later
"""Animated armature -> FBX, GLB, .blend, through Blender's own exporters, as engines want to have it.

FBX and GLB are written from a `stand_in`: every frame as Blender shows it, nothing simplified, one animation, and the
true rest pose even where there is no mesh to tell it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bpy

from . import bone_maps
from .core.video_to_pose.errors import InputError
from .core.video_to_pose.files import written_whole
from .rigs import read_rig
from .stand_in import StandInSettings, evenly_scaled, kept_bones, stand_in

_Z_UP = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_Y_UP = ((1, 0, 0), (0, 0, 1), (0, -1, 0))


@dataclass(frozen=True)
class FbxProfile:
    """For whom an FBX is written.

    Attributes:
        label: for people.
        axis_up, axis_forward: the file's axes, in the words of Blender's exporter: where Blender's Z and Y come to lie.
        units_a_metre: coordinates of the file for one metre, where space is baked.
        bake_space: turn and scale bones and meshes to the file's axes and unit, so that all nodes stand upright with
            scale 1; otherwise the armature's node carries a quarter turn and a scale.
        object_node: what becomes of the armature object's node. ``kept``: it stands and moves as in the scene;
            ``root``: it is the engine's root bone, named *root*, stands at the origin at rest and carries the
            object's motion; ``dropped``: it is named *Armature*, which Unreal leaves out, and the rig's own root bone
            carries the motion; ``root_or_dropped``: *dropped* if the rig has a root bone above the hips, else *root*;
            ``still``: it keeps its name and never moves, the topmost bones carry the motion.
        mesh: ``own``: meshes of the armature; ``none``; ``dummy``: a stick figure bound to the bones;
            ``own_or_dummy``.
        deform_bones_only: leave out control bones.
        leaf_bones: add a bone at every end, which is how FBX can tell the length of a last bone.
        whole_frame_rate: resample 29.97 frames a second to 30: engines count whole frames.
        frame_rate: frames a second; None is the scene's.
        first_frame: number of the first frame; None is the scene's.
        reference_frame: ``rest``: the exported range begins with the rest pose; ``none``: with the motion. The pose
            that the nodes themselves stand in is the rest pose always.
    """

    label: str
    axis_up: str = "Y"
    axis_forward: str = "-Z"
    units_a_metre: float = 1.0
    bake_space: bool = False
    object_node: str = "kept"
    mesh: str = "own"
    deform_bones_only: bool = False
    leaf_bones: bool = False
    whole_frame_rate: bool = False
    frame_rate: float | None = None
    first_frame: int | None = None
    reference_frame: str = "none"

    def __post_init__(self) -> None:
        if self.bake_space and (self.axis_up, self.axis_forward) not in _BAKED_AXES:
            raise ValueError(f"cannot bake {self.axis_forward} forward, {self.axis_up} up")
        if self.bake_space == (self.object_node == "kept"):
            raise ValueError("a node that is kept carries axes and unit; others have them baked into the bones")


_BAKED_AXES = {("Z", "Y"): _Z_UP, ("Y", "-Z"): _Y_UP}

FBX_PROFILES: dict[str, FbxProfile] = {
    "plain": FbxProfile("Plain: as it stands in the scene, for Blender and other animation programs"),
    "unreal": FbxProfile(
        "Unreal: animation without a mesh, for a skeleton that the project has",
        axis_up="Z",
        axis_forward="Y",
        units_a_metre=100.0,
        bake_space=True,
        object_node="root_or_dropped",
        mesh="none",
        deform_bones_only=True,
        whole_frame_rate=True,
        first_frame=0,
    ),
    "unreal-mesh": FbxProfile(
        "Unreal: with the armature's meshes, or a stick figure, to make a new skeleton from",
        axis_up="Z",
        axis_forward="Y",
        units_a_metre=100.0,
        bake_space=True,
        object_node="root_or_dropped",
        mesh="own_or_dummy",
        deform_bones_only=True,
        whole_frame_rate=True,
        first_frame=0,
    ),
    "unity": FbxProfile(
        "Unity: metres, Y up, no turned or scaled nodes",
        bake_space=True,
        object_node="still",
        deform_bones_only=True,
        first_frame=0,
    ),
}
"""The profiles by name; `core.video_to_pose.settings.FBX_PROFILES` names the same."""


@dataclass(frozen=True)
class GltfSettings:
    """How a GLB is written; glTF itself says axes (Y up) and unit (metres).

    Attributes:
        mesh: as `FbxProfile.mesh`; ``dummy`` lets programs show a skeleton that has no mesh.
        deform_bones_only: leave out control bones.
        materials: write the meshes' materials and images.
        frame_rate: frames a second; None is the scene's.
        reference_frame: ``rest``: the animation begins with the rest pose; ``none``: with the motion.
    """

    mesh: str = "own"
    deform_bones_only: bool = False
    materials: bool = True
    frame_rate: float | None = None
    reference_frame: str = "none"


def write_fbx(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    path: Path,
    profile: FbxProfile = FBX_PROFILES["plain"],
    reference_frame: str | None = None,
    clip: str | None = None,
) -> None:
    """Write an armature, its meshes and the scene's frame range as FBX.

    Args:
        context: of the scene.
        armature: animated or not.
        path: target; it is replaced whole.
        profile: for whom.
        reference_frame: ``rest`` or ``none`` instead of the profile's.
        clip: name of the animation; None is the file's.

    Raises:
        InputError: the target cannot be written, or the armature is scaled unevenly and the profile bakes scale.
    """
    node, name = _object_node(armature, profile)
    settings = StandInSettings(
        name=name,
        clip=clip or path.stem,
        object_node=node,
        turn=_BAKED_AXES.get((profile.axis_up, profile.axis_forward), _Z_UP),
        unit=profile.units_a_metre * context.scene.unit_settings.scale_length,
        mesh=profile.mesh,
        deform_bones_only=profile.deform_bones_only,
        whole_frame_rate=profile.whole_frame_rate,
        frame_rate=profile.frame_rate,
        first_frame=profile.first_frame,
        reference_frame=_is_rest(reference_frame or profile.reference_frame),
    )
    baked = {  # nothing is left for the exporter to turn or scale; it tells the unit, in centimetres, all the same
        "use_space_transform": False,
        "apply_unit_scale": False,
        "global_scale": 1.0 / profile.units_a_metre,
        "apply_scale_options": "FBX_SCALE_ALL",
    }
    with _whole(path) as partial, stand_in(context, armature, settings):
        bpy.ops.export_scene.fbx(
            filepath=partial,
            use_selection=True,
            object_types={"ARMATURE", "MESH"},
            axis_up=profile.axis_up,
            axis_forward=profile.axis_forward,
            **(baked if profile.bake_space else {}),
            add_leaf_bones=profile.leaf_bones,
            bake_anim=True,
            bake_anim_use_all_bones=True,
            bake_anim_use_nla_strips=False,  # the stand-in has one action, and it is the animation
            bake_anim_use_all_actions=False,
            bake_anim_force_startend_keying=True,
            bake_anim_step=1.0,
            bake_anim_simplify_factor=0.0,
        )


def write_glb(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    path: Path,
    settings: GltfSettings = GltfSettings(),
    reference_frame: str | None = None,
    clip: str | None = None,
) -> None:
    """Write an armature, its meshes and the scene's frame range as binary glTF; the animation begins at 0 s.

    Args:
        context: of the scene.
        armature: animated or not.
        path: target; it is replaced whole.
        settings: what to write.
        reference_frame: ``rest`` or ``none`` instead of the settings'.
        clip: name of the animation; None is the file's.

    Raises:
        InputError: the target cannot be written.
    """
    prepared = StandInSettings(
        name=armature.name,
        clip=clip or path.stem,
        object_node="moves" if evenly_scaled(armature.matrix_world) else "kept",
        mesh=settings.mesh,
        deform_bones_only=settings.deform_bones_only,
        frame_rate=settings.frame_rate,
        first_frame=0,
        reference_frame=_is_rest(reference_frame or settings.reference_frame),
    )
    with _whole(path) as partial, stand_in(context, armature, prepared):
        bpy.ops.export_scene.gltf(
            filepath=partial,
            export_format="GLB",
            use_selection=True,
            export_yup=True,
            export_materials="EXPORT" if settings.materials else "NONE",
            export_animations=True,
            export_animation_mode="ACTIVE_ACTIONS",
            export_nla_strips_merged_animation_name=prepared.clip,
            export_force_sampling=True,
            export_frame_range=True,
            export_optimize_animation_size=False,
            export_rest_position_armature=True,
            export_def_bones=False,
        )


def write_blend(
    context: bpy.types.Context, armature: bpy.types.Object | None, path: Path, reference_frame: str = "none"
) -> None:
    """Write a copy of the open file.

    Args:
        context: of the scene.
        armature: whose action gets the rest pose on the frame before the scene's first, when that is wanted.
        path: target; it is replaced whole.
        reference_frame: ``rest`` or ``none``.

    Raises:
        InputError: the target cannot be written.
    """
    with _whole(path) as partial, _rest_keyed(context.scene, armature if _is_rest(reference_frame) else None):
        bpy.ops.wm.save_as_mainfile(filepath=partial, copy=True, check_existing=False)


def _is_rest(reference_frame: str) -> bool:
    if reference_frame not in ("none", "rest"):
        raise InputError(f"{reference_frame} is not a reference frame.", "Use one of: none, rest.", "reference-frame")
    return reference_frame == "rest"


def _object_node(armature: bpy.types.Object, profile: FbxProfile) -> tuple[str, str]:
    """What the stand-in's object does, and its name."""
    node = profile.object_node
    if node == "root_or_dropped":
        node = "dropped" if _has_root_bone(armature, profile.deform_bones_only) else "root"
    return {
        "kept": ("kept", armature.name),
        "still": ("still", armature.name),
        "root": ("moves", "root"),
        "dropped": ("still", "Armature"),
    }[node]


def _has_root_bone(armature: bpy.types.Object, deform_only: bool) -> bool:
    """Whether one bone that is written carries all others and is not the hips, or is called root."""
    bones = armature.data.bones
    kept = kept_bones(bones, deform_only)
    if "root" in map(str.lower, kept):
        return True
    tops = [name for name in kept if bones[name].parent is None]
    try:
        hips = bone_maps.of(armature, read_rig(armature)).single["hips"]
    except InputError:
        return False
    return len(tops) == 1 and any(above.name == tops[0] for above in bones[hips].parent_recursive)


@contextmanager
def _whole(path: Path) -> Iterator[str]:
    """A file beside the target for an exporter to fill; moved into place when it ends well."""
    with written_whole(path) as partial:
        partial.touch()  # exporters tell a missing permission as a RuntimeError of their own
        partial.unlink()  # and Blender keeps a .blend1 of a file that it writes over
        yield str(partial)


@contextmanager
def _rest_keyed(scene: bpy.types.Scene, armature: bpy.types.Object | None) -> Iterator[None]:
    """The rest pose keyed before the scene's first frame on a copy of the armature's action, and that frame first."""
    data = armature.animation_data if armature is not None else None
    if data is None or data.action is None:
        yield
        return
    action, slot, first = data.action, getattr(data, "action_slot", None), scene.frame_start
    name, copied = action.name, action.copy()
    try:
        action.name, copied.name = "held", name
        data.action = copied
        if slot is not None:
            data.action_slot = next(s for s in copied.slots if s.identifier == slot.identifier)
        for curve in _curves(copied, data):
            if curve.data_path.startswith("pose.bones["):
                point = curve.keyframe_points.insert(first - 1, _at_rest(curve), options={"FAST"})
                point.interpolation = "CONSTANT"
                curve.update()
        scene.frame_start = max(first - 1, 0)
        yield
    finally:
        scene.frame_start = first
        data.action = action
        if slot is not None:
            data.action_slot = slot
        bpy.data.actions.remove(copied)
        action.name = name


def _curves(action: bpy.types.Action, data: bpy.types.AnimData) -> list[bpy.types.FCurve]:
    if bpy.app.version < (4, 4):
        return list(action.fcurves)
    bags = [strip.channelbag(data.action_slot) for layer in action.layers for strip in layer.strips]
    return [curve for bag in bags if bag is not None for curve in bag.fcurves]


def _at_rest(curve: bpy.types.FCurve) -> float:
    """Value of a pose bone's channel in the rest pose; a custom property keeps its own first value."""
    channel = curve.data_path.rpartition(".")[2]
    if channel == "rotation_quaternion":
        return float(curve.array_index == 0)
    if channel == "rotation_axis_angle":
        return float(curve.array_index == 2)
    if channel == "scale":
        return 1.0
    if channel in ("location", "rotation_euler"):
        return 0.0
    return float(curve.keyframe_points[0].co[1])

# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain stand-in for an animated armature, for exporters to read: the same bones, keyed on every frame.

Nothing of the user's rig is touched. Its motion is read frame by frame as Blender shows it (constraints, drivers, NLA
and all) and keyed on a copy of its bones that has none of these, next to copies of its meshes. Space, unit, root and
frame rate can be changed on the way, so that what an exporter finds is already as an engine wants it. The frame before
the first shows the rest pose: FBX has no other place for the rest pose of an armature without a mesh than the pose of
the current frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import ArrayLike, NDArray

from .core.video_to_pose.errors import InputError
from .core.video_to_pose.rotation import make_continuous, matrix_to_quat, quat_to_matrix

Floats = NDArray[np.floating]

_OCTAHEDRON = ((0, 1, 2), (0, 2, 3), (0, 3, 4), (0, 4, 1), (5, 2, 1), (5, 3, 2), (5, 4, 3), (5, 1, 4))
"""Faces of the octahedron that stands for a bone: head, four corners around it, tail."""


@dataclass(frozen=True)
class StandInSettings:
    """What the stand-in is to be like.

    Attributes:
        name: of the object, and of its node in the file.
        clip: name of the animation.
        object_node: ``kept``: the object stands, moves and is scaled as in the scene, and axes and unit stay the
            scene's; ``moves``: it stands at the origin at rest and carries the object's motion, its scale is in the
            bones; ``still``: it never moves, and the topmost bones carry all of it.
        turn: (3, 3) from the scene's axes to the file's, baked into the bones.
        unit: file units a scene unit, baked into the bones.
        mesh: ``own``: the meshes that the armature deforms or carries; ``none``; ``dummy``: a stick figure of
            octahedra, bound to the bones; ``own_or_dummy``.
        deform_bones_only: leave out bones that neither deform nor carry one that does.
        whole_frame_rate: write 30 frames a second for 29.97, resampled in time.
        frame_rate: frames a second to resample to; None keeps the scene's.
        first_frame: number of the first frame of the motion; None keeps the scene's.
        reference_frame: the exported range begins with the rest pose.
    """

    name: str
    clip: str
    object_node: str = "kept"
    turn: tuple[tuple[float, ...], ...] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    unit: float = 1.0
    mesh: str = "own"
    deform_bones_only: bool = False
    whole_frame_rate: bool = False
    frame_rate: float | None = None
    first_frame: int | None = None
    reference_frame: bool = False


@contextmanager
def stand_in(
    context: bpy.types.Context, armature: bpy.types.Object, settings: StandInSettings
) -> Iterator[bpy.types.Object]:
    """The stand-in and its meshes, selected, in a scene whose frame range and rate are what is to be exported.

    The scene stands on the frame before the first, which shows the rest pose. All is as before afterwards.

    Raises:
        InputError: the armature's scale cannot be baked into bones.
    """
    scene = context.scene
    with ExitStack() as undo:
        undo.enter_context(_left_as_found(context))
        undo.callback(_restore_names, renamed := [])
        rate, moments = _moments(scene, settings)
        meshes = _own_meshes(scene, armature) if settings.mesh in ("own", "own_or_dummy") else []
        shown = _sampled(scene, armature, [mesh for _, mesh in meshes], moments)
        space = _Space.of(shown.worlds[0], settings)
        first = scene.frame_start if settings.first_frame is None else settings.first_frame
        first = max(first, 1) if settings.reference_frame else first
        frames = np.arange(first - 1, first + len(moments))

        bones = kept_bones(armature.data.bones, settings.deform_bones_only)
        copy = _copied_bones(context, undo, armature, bones, space)
        _call(renamed, bpy.data.objects, copy, settings.name)
        order = armature.pose.bones.keys()
        action = _new_action(undo, copy)
        _key_bones(action, copy, bones, shown.poses[:, [order.index(name) for name in bones]], shown, space, frames)
        _call(renamed, bpy.data.actions, action, settings.clip)
        for bone, block in meshes:
            mesh = _copied_mesh(scene, undo, block, bone, copy, space)
            _call(renamed, bpy.data.meshes, mesh.data, block.data.name)
            _call(renamed, bpy.data.objects, mesh, block.name)
            if block in shown.shapes:
                _key_shapes(_new_action(undo, mesh.data.shape_keys), mesh.data.shape_keys, shown.shapes[block], frames)
        if settings.mesh == "dummy" or (settings.mesh == "own_or_dummy" and not meshes):
            mesh = _dummy_mesh(scene, undo, copy)
            _call(renamed, bpy.data.objects, mesh, f"{settings.name}_mesh")

        _call(renamed, bpy.data.scenes, scene, settings.clip)
        scene.render.fps, scene.render.fps_base = rate
        scene.frame_start, scene.frame_end = 0, int(frames[-1])
        scene.frame_start = first - settings.reference_frame
        scene.frame_set(first - 1)
        copy.select_set(True)
        context.view_layer.objects.active = copy
        yield copy


# --- space ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Space:
    """From armature space to the stand-in's.

    Attributes:
        node: as `StandInSettings.object_node`.
        turn: (4, 4) scene axes to file axes, with the unit.
        size: the stand-in's bones against the armature's.
        rest: (4, 4) armature space to the stand-in's at rest.
    """

    node: str
    turn: Floats
    size: float
    rest: Floats

    @classmethod
    def of(cls, world: Floats, settings: StandInSettings) -> _Space:
        turn = np.eye(4)
        if settings.object_node == "kept":
            return cls("kept", turn, 1.0, turn)
        turn[:3, :3] = settings.unit * np.array(settings.turn)
        if not evenly_scaled(world):
            raise InputError(
                "The armature's scale is not the same along all axes, or mirrors it: engines cannot take that.",
                "Apply the scale (Ctrl+A, Scale), or export with the plain profile.",
                "rig-scale",
            )
        size = float(np.linalg.norm(world[:3, 0]))
        return cls(settings.object_node, turn, settings.unit * size, turn * [[size, size, size, 1]])

    def grown(self, worlds: Floats) -> Floats:
        """(F, 4, 4) armature space to the stand-in's, frame by frame."""
        return self.turn @ worlds if self.node == "still" else np.broadcast_to(self.rest, worlds.shape)

    def nodes(self, worlds: Floats) -> Floats | None:
        """(F + 1, 4, 4) world matrices of the stand-in, first at rest; None when it never moves."""
        if self.node == "still":
            return None
        if self.node == "kept":
            return np.concatenate([worlds[:1], worlds])
        back = np.linalg.inv(self.turn)
        rigid = worlds.copy()
        rigid[:, :3, :3] /= np.linalg.norm(worlds[:, :3, :3], axis=1, keepdims=True)
        return np.concatenate([np.eye(4)[None], self.turn @ rigid @ back])


def evenly_scaled(world: ArrayLike) -> bool:
    """Whether a (4, 4) matrix scales by the same along all axes and mirrors nothing."""
    linear = np.array(world)[:3, :3]
    scale = np.linalg.norm(linear, axis=0)
    return bool(np.ptp(scale) < 1e-3 * scale.mean() and np.linalg.det(linear) > 0)


def _moments(scene: bpy.types.Scene, settings: StandInSettings) -> tuple[tuple[int, float], list[tuple[int, float]]]:
    """The frame rate (fps, fps_base) to write, and the scene's frames (whole, part) to take."""
    own = scene.render.fps / scene.render.fps_base
    rate = (scene.render.fps, scene.render.fps_base)
    if settings.frame_rate is not None:
        rate = (max(math.ceil(settings.frame_rate - 1e-6), 1), 1.0)
        rate = (rate[0], rate[0] / settings.frame_rate)
    if settings.whole_frame_rate:
        rate = (max(round(rate[0] / rate[1]), 1), 1.0)
    step = own / (rate[0] / rate[1])
    count = int((scene.frame_end - scene.frame_start) / step + 1e-4) + 1
    frames = scene.frame_start + step * np.arange(count)
    whole = np.floor(frames + 1e-6)
    return rate, [(int(w), max(float(f - w), 0.0)) for w, f in zip(whole, frames, strict=True)]


@dataclass(frozen=True, eq=False)
class _Shown:
    """What Blender shows on F frames.

    Attributes:
        worlds: (F, 4, 4) world matrices of the armature.
        poses: (F, N, 4, 4) pose matrices of its bones, in its space.
        shapes: mesh object -> (F, K) values of its shape keys.
    """

    worlds: Floats
    poses: Floats
    shapes: dict[bpy.types.Object, Floats]


def _sampled(
    scene: bpy.types.Scene,
    armature: bpy.types.Object,
    meshes: list[bpy.types.Object],
    moments: Sequence[tuple[int, float]],
) -> _Shown:
    """Go through the frames and read what Blender shows."""
    count = len(armature.pose.bones)
    worlds, poses = np.empty((len(moments), 4, 4)), np.empty((len(moments), count, 4, 4))
    keys = {mesh: mesh.data.shape_keys.key_blocks for mesh in meshes if mesh.data.shape_keys}
    shapes = {mesh: np.empty((len(moments), len(blocks))) for mesh, blocks in keys.items()}
    flat = np.empty(count * 16, dtype=np.float32)
    for f, (frame, part) in enumerate(moments):
        scene.frame_set(frame, subframe=part)
        worlds[f] = armature.matrix_world
        armature.pose.bones.foreach_get("matrix", flat)
        poses[f] = np.swapaxes(flat.reshape(count, 4, 4), 1, 2)  # Blender's matrices lie column by column
        for mesh, blocks in keys.items():
            shapes[mesh][f] = [block.value for block in blocks]
    return _Shown(worlds, poses, shapes)


# --- bones and keys ---------------------------------------------------------------------------------------------


def kept_bones(bones: bpy.types.ArmatureBones, deform_only: bool) -> list[str]:
    """Names of the bones to write, parents before children."""
    keep = {bone for bone in bones if bone.use_deform} if deform_only else set()
    keep = {above for bone in keep for above in (bone, *_above(bone))} or set(bones)
    return [bone.name for bone in sorted(keep, key=lambda bone: len(list(_above(bone))))]


def _above(bone: bpy.types.Bone) -> Iterator[bpy.types.Bone]:
    while (bone := bone.parent) is not None:
        yield bone


def _copied_bones(
    context: bpy.types.Context, undo: ExitStack, armature: bpy.types.Object, bones: list[str], space: _Space
) -> bpy.types.Object:
    """A copy of an armature: bones in the new space, all free to move, no constraint, no driver."""
    data = armature.data.copy()
    undo.callback(bpy.data.armatures.remove, data)
    data.animation_data_clear()
    data.pose_position = "POSE"
    copy = bpy.data.objects.new(armature.name, data)
    undo.callback(bpy.data.objects.remove, copy)
    context.scene.collection.objects.link(copy)
    context.view_layer.objects.active = copy
    rests = {bone.name: (space.rest @ np.array(bone.matrix_local), bone.length) for bone in armature.data.bones}
    bpy.ops.object.mode_set(mode="EDIT")
    for bone in list(data.edit_bones):
        bone.use_connect = False
        if bone.name not in bones:
            data.edit_bones.remove(bone)
    for bone in data.edit_bones:
        matrix, length = rests[bone.name]
        matrix[:3, :3] /= space.size
        bone.length = length * space.size
        bone.matrix = Matrix(matrix.tolist())
    bpy.ops.object.mode_set(mode="OBJECT")
    for bone in data.bones:
        bone.use_inherit_rotation, bone.inherit_scale, bone.use_local_location = True, "FULL", True
        bone.hide = False
    copy.rotation_mode = "QUATERNION"
    return copy


def _new_action(undo: ExitStack, block: bpy.types.ID) -> bpy.types.Action:
    """A new action, assigned."""
    action = bpy.data.actions.new("stand-in")
    undo.callback(bpy.data.actions.remove, action)
    (block.animation_data or block.animation_data_create()).action = action
    return action


def _key_bones(
    action: bpy.types.Action,
    copy: bpy.types.Object,
    bones: list[str],
    poses: Floats,
    shown: _Shown,
    space: _Space,
    frames: NDArray[np.integer],
) -> None:
    """Key F poses (F, B, 4, 4) of the bones, and what the object moves, on F + 1 frames; the first shows the rest."""
    grown, nodes = space.grown(shown.worlds), space.nodes(shown.worlds)
    reached: dict[str, Floats] = {}
    for column, name in enumerate(bones):
        bone = copy.data.bones[name]
        want = grown @ poses[:, column]
        want[:, :3, :3] /= space.size
        above, rest = np.broadcast_to(np.eye(4), want.shape), np.array(bone.matrix_local)
        if bone.parent is not None:
            above = reached[bone.parent.name]
            rest = np.linalg.inv(np.array(bone.parent.matrix_local)) @ rest
        seat = above @ rest
        basis = np.concatenate([np.eye(4)[None], np.linalg.inv(seat) @ want])
        channels, made = _decomposed(basis)
        reached[name] = seat @ made[1:]
        where = f'pose.bones["{bpy.utils.escape_identifier(name)}"].'
        for path, values in channels.items():
            _key(action, copy, where + path, frames, values)
    if nodes is not None:
        for path, values in _decomposed(nodes)[0].items():
            _key(action, copy, path, frames, values)


def _key_shapes(action: bpy.types.Action, keys: bpy.types.Key, values: Floats, frames: NDArray[np.integer]) -> None:
    """Key F values (F, K) of shape keys on F + 1 frames; on the first nothing is shaped."""
    for column, block in enumerate(keys.key_blocks):
        if column > 0:
            path = f'key_blocks["{bpy.utils.escape_identifier(block.name)}"].value'
            _key(action, keys, path, frames, np.concatenate([[0.0], values[:, column]]))


def _decomposed(matrices: Floats) -> tuple[dict[str, Floats], Floats]:
    """Channels of (F, 4, 4) matrices, and the (F, 4, 4) that these make: the same without shear."""
    scale = np.linalg.norm(matrices[:, :3, :3], axis=1)
    scale[np.linalg.det(matrices[:, :3, :3]) < 0] *= -1
    quaternion = make_continuous(matrix_to_quat(matrices[:, :3, :3] / np.where(scale == 0, 1, scale)[:, None]))
    made = matrices.copy()
    made[:, :3, :3] = quat_to_matrix(quaternion) * scale[:, None]
    return {"location": matrices[:, :3, 3], "rotation_quaternion": quaternion, "scale": scale}, made


def _key(action: bpy.types.Action, block: bpy.types.ID, path: str, frames: NDArray[np.integer], values: Floats) -> None:
    """Key a property (F,), or the parts of one (F, C), on F frames."""
    whole = values.ndim == 1
    for index in range(1 if whole else values.shape[1]):
        if bpy.app.version >= (4, 4):
            curve = action.fcurve_ensure_for_datablock(block, path, index=index)
        else:
            curve = action.fcurves.new(path, index=index)
        points = np.stack([frames, values if whole else values[:, index]], axis=1)
        curve.keyframe_points.add(len(points))
        curve.keyframe_points.foreach_set("co", points.astype(np.float32).ravel())
        curve.update()


# --- meshes -----------------------------------------------------------------------------------------------------


def _own_meshes(scene: bpy.types.Scene, armature: bpy.types.Object) -> list[tuple[str, bpy.types.Object]]:
    """With the bone that carries the mesh, if it is one bone that does."""
    found = []
    for ob in scene.objects:
        if ob.type != "MESH":
            continue
        deformed = any(m.type == "ARMATURE" and m.object == armature for m in ob.modifiers)
        if ob.parent == armature and ob.parent_type == "BONE" and not deformed:
            found.append((ob.parent_bone, ob))
        elif deformed or ob.parent == armature:
            found.append(("", ob))
    return found


def _copied_mesh(
    scene: bpy.types.Scene,
    undo: ExitStack,
    mesh: bpy.types.Object,
    bone: str,
    copy: bpy.types.Object,
    space: _Space,
) -> bpy.types.Object:
    """A copy of a mesh, its vertices in the stand-in's space, hung on the stand-in."""
    original = next((m.object for m in mesh.modifiers if m.type == "ARMATURE" and m.object), None) or mesh.parent
    data = mesh.data.copy()
    undo.callback(bpy.data.meshes.remove, data)
    new = mesh.copy()
    undo.callback(bpy.data.objects.remove, new)
    new.data = data
    new.animation_data_clear()
    new.constraints.clear()
    scene.collection.objects.link(new)
    if bone:
        rest = np.array(original.data.bones[bone].matrix_local)
        rest[:3, 3] += rest[:3, 1] * original.data.bones[bone].length
        place = rest @ np.array(mesh.matrix_parent_inverse) @ np.array(mesh.matrix_basis)
    else:
        place = np.linalg.inv(np.array(original.matrix_world)) @ np.array(mesh.matrix_world)
    to_copy = Matrix((space.rest @ place).tolist())
    data.transform(to_copy, shape_keys=True)
    if data.shape_keys:
        data.shape_keys.animation_data_clear()
    if to_copy.is_negative:
        data.flip_normals()
    new.parent = copy
    new.matrix_parent_inverse.identity()
    new.matrix_basis.identity()
    new.delta_location, new.delta_rotation_euler, new.delta_scale = (0, 0, 0), (0, 0, 0), (1, 1, 1)
    new.delta_rotation_quaternion = (1, 0, 0, 0)
    if bone:
        carrier = copy.data.bones.get(bone)
        if carrier is not None:
            new.parent_type, new.parent_bone = "BONE", bone
            seat = carrier.matrix_local @ Matrix.Translation((0, carrier.length, 0))
            new.matrix_parent_inverse = seat.inverted()
    elif mesh.parent_type != "ARMATURE":
        new.parent_type = "OBJECT"
    for modifier in new.modifiers:
        if modifier.type == "ARMATURE" and modifier.object == original:
            modifier.object = copy
    new.hide_set(False)
    new.hide_viewport = False
    new.select_set(True)
    return new


def _dummy_mesh(scene: bpy.types.Scene, undo: ExitStack, copy: bpy.types.Object) -> bpy.types.Object:
    """A stick figure of an octahedron a bone, bound to its bone."""
    corners, faces, owners = [], [], []
    for bone in copy.data.bones:
        y, r = bone.length, 0.1 * bone.length
        shape = [(0, 0, 0), (r, r, 0), (0, r, r), (-r, r, 0), (0, r, -r), (0, y, 0)]
        faces += [tuple(len(corners) + corner for corner in face) for face in _OCTAHEDRON]
        corners += [bone.matrix_local @ Matrix.Translation(corner).translation for corner in shape]
        owners.append(bone.name)
    data = bpy.data.meshes.new("stick figure")
    undo.callback(bpy.data.meshes.remove, data)
    data.from_pydata(corners, [], faces)
    mesh = bpy.data.objects.new("stick figure", data)
    undo.callback(bpy.data.objects.remove, mesh)
    scene.collection.objects.link(mesh)
    for n, owner in enumerate(owners):
        mesh.vertex_groups.new(name=owner).add(range(6 * n, 6 * n + 6), 1.0, "REPLACE")
    mesh.modifiers.new("Armature", "ARMATURE").object = copy
    mesh.parent = copy
    mesh.select_set(True)
    return mesh


# --- names and the scene ----------------------------------------------------------------------------------------


def _call(
    renamed: list[tuple[bpy.types.ID, str]], blocks: bpy.types.bpy_prop_collection, block: bpy.types.ID, name: str
) -> None:
    """Give a block a name that another may have; that one is told in `renamed`, to get it back."""
    if block.name == name or block.library is not None:
        return
    other = blocks.get((name, None))
    if other is not None:
        renamed.append((other, name))
        other.name = "held"
    if any(block == scene for scene in bpy.data.scenes):
        renamed.append((block, block.name))
    block.name = name


def _restore_names(renamed: list[tuple[bpy.types.ID, str]]) -> None:
    for block, name in reversed(renamed):
        block.name = name


@contextmanager
def _left_as_found(context: bpy.types.Context) -> Iterator[None]:
    """Object Mode and nothing selected; afterwards selection, mode, frame, range and rate are as they were."""
    scene, layer = context.scene, context.view_layer
    selected, active = list(context.selected_objects), layer.objects.active
    mode = active.mode if active is not None else "OBJECT"
    frame, part = scene.frame_current, scene.frame_subframe
    first, last, rate = scene.frame_start, scene.frame_end, (scene.render.fps, scene.render.fps_base)
    try:
        if mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        for ob in selected:
            ob.select_set(False)
        yield
    finally:
        for ob in selected:
            ob.select_set(True)
        layer.objects.active = active
        if active is not None and active.mode != mode:
            bpy.ops.object.mode_set(mode=mode)
        scene.render.fps, scene.render.fps_base = rate
        scene.frame_start, scene.frame_end = 0, last
        scene.frame_start = first
        scene.frame_set(frame, subframe=part)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Armature -> `Rig`, `RigAnimation` -> action, and `apply_take`, the one way from a Take into the scene.

The panel and the headless script both call `apply_take`. It leaves the scene as it found it when anything fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from . import bone_maps, check_frames, contacts
from .actions import assigned, new_action, other_modes, rotation_modes, write_keys
from .attachments import carriers
from .core.video_to_pose import resample, resolve, retarget, review, summary
from .core.video_to_pose.errors import InputError
from .core.video_to_pose.formats import take as take_file
from .core.video_to_pose.retarget.bone_map import switches_of
from .core.video_to_pose.settings import CameraSettings, MotionSettings, RetargetSettings
from .core.video_to_pose.types import Motion, Rig, RigAnimation, Take
from .plate import cameras_of, matching_camera, place_camera, show_video, video_of
from .results import STORED, told
from .self_check import Check, check_pose
from .steps import Steps, aside, finished


@dataclass(frozen=True)
class ApplySettings:
    """How a Take comes into the scene.

    Attributes:
        name: of the action, and of the armature when one is made.
        match_scene: give the scene the clip's frame rate and frame range; otherwise the scene stays as it is and
            the motion is resampled to its frames, at its true speed.
        frame_start: frame of the clip's first moment; None is the scene's first frame.
        retarget: how the motion is laid on the rig.
        take: file of the Take, so that it can be solved again.
        camera: add the camera that filmed the person, with the video behind what it sees.
        video: file of the video.
    """

    name: str = "Capture"
    match_scene: bool = False
    frame_start: int | None = None
    retarget: RetargetSettings = field(default_factory=RetargetSettings)
    take: Path | None = None
    camera: bool = False
    video: Path | None = None


@dataclass(frozen=True)
class Result:
    """What `apply_take` made.

    Attributes:
        armature: name of the armature object.
        action: name of the new action.
        made_armature: whether the armature is new.
        frames: number of captured frames.
        frame_start, frame_end: scene frames of the first and last key.
        bones: number of keyed bones.
        animation: the keys, as solved.
        keys: number of keys of every bone together.
        check: what Blender makes of them.
        to_look_at: number of spans of frames that want a look.
        notes: what could not be had as it was asked for, as sentences.
        about: what is known of the person and the camera (`summary.describe`).
    """

    armature: str
    action: str
    made_armature: bool
    frames: int
    frame_start: float
    frame_end: float
    bones: int
    animation: RigAnimation
    keys: int
    check: Check
    to_look_at: int = 0
    notes: tuple[str, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)


def apply_take(
    context: bpy.types.Context, take: Take, armature: bpy.types.Object | None, settings: ApplySettings
) -> Result:
    """Lay a Take on an armature as a new action.

    Args:
        context: with the scene it is meant for.
        take: the captured motion.
        armature: target; None makes a new armature of the person's own proportions.
        settings: names, frame rate, path.

    Raises:
        InputError: the armature cannot be animated or its bones cannot be mapped. The scene is as it was.
    """
    return finished(apply_steps(context, take, armature, settings))


def apply_steps(
    context: bpy.types.Context, take: Take, armature: bpy.types.Object | None, settings: ApplySettings
) -> Steps[Result]:
    """As `apply_take`, in steps that take milliseconds each; closed half-way, it leaves the scene as it was."""
    with ExitStack() as undo:  # what is entered here takes itself back when anything below fails
        made = armature is None
        if armature is None:
            armature = undo.enter_context(_new_armature(context, retarget.rig_from_motion(take.motion), settings.name))
        else:
            check_armature(armature)
        rig = read_rig(armature)
        bone_map = retarget.BONE_MAP if made else bone_maps.of(armature, rig)
        start = context.scene.frame_start if settings.frame_start is None else settings.frame_start
        if settings.match_scene:
            undo.enter_context(_scene_matched(context.scene, take.motion, start))
        motion, frames = in_scene_time(take.motion, scene_rate(context.scene), start)
        animation = yield from aside(partial(retarget.solve, motion, rig, bone_map, settings.retarget))
        action = undo.enter_context(new_action(settings.name))
        if settings.camera:
            moved = np.zeros(3) if settings.retarget.start == "world" else retarget.origin_of(rig, bone_map)
            camera = undo.enter_context(
                matching_camera(
                    context, take, settings.video, f"{settings.name} camera", float(frames[0]), moved, action
                )
            )
            if settings.match_scene:
                undo.enter_context(_scene_seen_by(context.scene, camera, take.camera.image_size))
        laid = Laid(take, motion, bone_map, animation, frames)
        keys = yield from _write(armature, action, laid, settings)
        undo.enter_context(assigned(armature, action))
        result = yield from _check(context, armature, action, laid, settings, keys)
        return replace(result, made_armature=made)


def solve_again(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    settings: RetargetSettings,
    solving: tuple[CameraSettings, MotionSettings] | None = None,
) -> Result:
    """Solve the Take of an armature's action once more, with the contacts that the action's markers now say.

    The video is not looked at again, and the Take's file stays as it is; cameras that came with the action follow.

    Args:
        context: with the scene that the action was made for.
        armature: whose action came from `apply_take`.
        settings: how the motion is laid on the rig, this time.
        solving: how the motion is found, this time: smoothing, floor, height, field of view; None as it was.

    Raises:
        InputError: the action is not ours, or its Take is gone. Nothing has changed then.
    """
    check_armature(armature)
    again = solved(armature, settings, solving, scene_rate(context.scene))
    rig, scene = again.laid.animation.rig, context.scene
    moved = np.zeros(3) if settings.start == "world" else retarget.origin_of(rig, again.laid.bone_map)
    wanted = ApplySettings(again.action.name, retarget=settings, take=again.take, video=again.video)
    keys = finished(_write(armature, again.action, again.laid, wanted))
    result = finished(_check(context, armature, again.action, again.laid, wanted, keys, again.said))
    for camera in cameras_of(scene, again.action):
        place_camera(scene, camera, again.laid.take.camera, moved)
        video = video_of(camera)
        if again.paced and video is not None and video.is_file():
            show_video(scene, camera, video, again.laid.take, float(again.laid.frames[0]))
    return replace(result, notes=again.notes)


@dataclass(frozen=True, eq=False)
class Laid:
    """A Take laid on an armature.

    Attributes:
        take: whose motion it is.
        motion: the Take's in the scene's time, with the contacts that the action's markers say.
        bone_map: of the armature.
        animation: the keys.
        frames: (F,) scene frames of the keys.
    """

    take: Take
    motion: Motion
    bone_map: retarget.BoneMap
    animation: RigAnimation
    frames: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Solved:
    """The Take of an armature's action, solved and laid on it anew.

    Attributes:
        action: of the armature.
        take: file of the Take.
        video: that it came from; None where that is not known.
        laid: what came out.
        said: names of the contacts that an animator has edited.
        notes: what could not be had as it was asked for, as sentences.
        paced: whether the scene's frame rate is another one than before.
    """

    action: bpy.types.Action
    take: Path
    video: Path | None
    laid: Laid
    said: tuple[str, ...]
    notes: tuple[str, ...]
    paced: bool = False

    @property
    def animation(self) -> RigAnimation:
        """The keys."""
        return self.laid.animation

    @property
    def bone_map(self) -> retarget.BoneMap:
        """Which bone of the armature plays which part."""
        return self.laid.bone_map


_FROM_OLD = (
    "This take was captured by an older version: smoothing, floor, height and field of view stay as they were. "
    "Capture the clip again to change them."
)


def solved(
    armature: bpy.types.Object,
    settings: RetargetSettings | None = None,
    solving: tuple[CameraSettings, MotionSettings] | None = None,
    rate: float | None = None,
) -> Solved:
    """Solve the Take of an armature's action; nothing is changed.

    Args:
        armature: whose action came from `apply_take`.
        settings: how it is laid on the rig; None as it was.
        solving: how the motion is found; None as it was.
        rate: of the scene's frames; None as it was.

    Raises:
        InputError: the action is not ours, or its Take is gone.
    """
    action = armature.animation_data.action if armature.animation_data is not None else None
    stored = told(action) if action is not None else None
    if action is None or stored is None:
        raise InputError(
            f"{armature.name} has no action that came from a Take.",
            "Put a Take on it first, or choose its action in the Action Editor.",
            "action-foreign",
        )
    if not stored["take"]:
        raise InputError(
            f"The action {action.name} does not know its Take.", "Put the Take on the armature again.", "take-missing"
        )
    if settings is None:
        settings = stored_settings(stored)[0]
    if solving is None:
        solving = stored_settings(stored)[1]
    take = _take_at(stored["take"])
    notes: tuple[str, ...] = ()
    if solving is not None and solving != resolve.solved_with(take):
        if take.lifted is not None:
            take = resolve.solve_again(take, *solving)
        else:
            notes = (_FROM_OLD,)
    motion, frames = in_scene_time(take.motion, stored["rate"], stored["frame_start"])
    edited = contacts.edited(action, stored.get("contacts"), motion, frames)
    said = tuple(sorted({*edited, *stored.get("said", ())}))
    motion = contacts.with_markers(action, motion, frames, said)
    if rate is not None and rate != stored["rate"]:
        marked = motion
        motion, frames = in_scene_time(take.motion, rate, stored["frame_start"])
        nearest = resample.at(marked, motion.timestamps)
        motion = replace(motion, contact_names=nearest.contact_names, contacts=nearest.contacts)
    rig = read_rig(armature)
    if "world" in stored:  # the object's own keys have moved it since
        rig = replace(rig, world=np.array(stored["world"]))
    bone_map = bone_maps.of(armature, rig)
    animation = retarget.solve(motion, rig, bone_map, settings, "said" if said else "stand")
    video = Path(stored["video"]) if stored.get("video") else None
    laid = Laid(take, motion, bone_map, animation, frames)
    paced = rate is not None and rate != stored["rate"]
    return Solved(action, Path(stored["take"]), video, laid, said, notes, paced)


def _take_at(path: str) -> Take:
    """The Take of a file; the last one stays in memory, because it is often solved several times in a row."""
    place = Path(path)
    return _loaded(path, place.stat().st_mtime_ns if place.is_file() else 0)


@lru_cache(maxsize=1)
def _loaded(path: str, _changed: int) -> Take:
    return take_file.load(path)


def stored_settings(
    stored: dict[str, Any],
) -> tuple[RetargetSettings, tuple[CameraSettings, MotionSettings] | None]:
    """What an action of ours was made with (its `STORED`, parsed); None for the motion where that is the Take's own."""
    told = dict(stored["retarget"])
    parts = tuple((part, preset) for part, preset in told.pop("smoothing_of_parts"))
    solving = stored.get("solving")
    found = None if solving is None else (CameraSettings(**solving["camera"]), MotionSettings(**solving["motion"]))
    return RetargetSettings(**told, smoothing_of_parts=parts), found


def in_scene_time(motion: Motion, rate: float, start: float) -> tuple[Motion, NDArray[np.float64]]:
    """A motion at moments that are whole frames of a scene, and those frames (F,), the first one at `start`."""
    frames = key_frames(motion.timestamps, rate, start)
    if motion.frame_count > 1 and not np.array_equal(frames - start, np.round(frames - start)):
        motion = resample.at_rate(motion, rate)
        frames = start + np.arange(motion.frame_count, dtype=np.float64)
    return motion, frames


def _write(armature: bpy.types.Object, action: bpy.types.Action, laid: Laid, settings: ApplySettings) -> Steps[int]:
    """Keys and markers; how many keys."""
    wanted, animation = settings.retarget, laid.animation
    kept = None
    if wanted.key_error_degrees > 0:
        modes = rotation_modes(armature, animation)
        kept = yield from aside(
            lambda: retarget.reduce_keys(
                animation,
                wanted.key_error_degrees,
                wanted.key_error_centimetres,
                laid.frames,
                other_modes(modes, animation),
            )
        )
    yield from write_keys(action, armature, animation, laid.frames, kept)
    contacts.write_markers(action, laid.motion, laid.frames)
    return len(animation.bones) * len(laid.frames) if kept is None else sum(map(len, kept))


def _check(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    action: bpy.types.Action,
    laid: Laid,
    settings: ApplySettings,
    keys: int,
    said: tuple[str, ...] = (),
) -> Steps[Result]:
    """See what Blender makes of the keys, and note with the action how it came to be."""
    wanted, animation, frames = settings.retarget, laid.animation, laid.frames
    check = yield from check_pose(context, armature, laid.motion, animation, laid.bone_map, frames)
    rate = scene_rate(context.scene)
    check_frames.write(
        action, review.doubts(laid.take), check, float(laid.motion.timestamps[0]), float(frames[0]), rate
    )
    camera, motion = resolve.solved_with(laid.take)
    about = summary.describe(laid.take)
    stored = {
        "take": str(settings.take or ""),
        "video": str(settings.video or ""),
        "rate": rate,
        "frame_start": float(frames[0]),
        "solving": {"camera": asdict(camera), "motion": asdict(motion)},
        "retarget": asdict(wanted),
        "contacts": contacts.written(action),
        "said": said,
        "limb_errors_degrees": check.limb_errors,
        "about": about,
    }
    if wanted.root_motion == "object":
        stored["world"] = animation.rig.world.tolist()
    action[STORED] = json.dumps(stored)
    return Result(
        armature=armature.name,
        action=action.name,
        made_armature=False,
        frames=len(frames),
        frame_start=float(frames[0]),
        frame_end=float(frames[-1]),
        bones=len(animation.bones),
        animation=animation,
        keys=keys,
        check=check,
        to_look_at=len(getattr(action, "video_to_pose_checks", ())),
        about=about,
    )


def check_armature(armature: bpy.types.Object) -> None:
    """See whether keys can be written to an armature.

    Raises:
        InputError: with what stands in the way and how to move it.
    """
    name = armature.name
    if armature.type != "ARMATURE":
        raise InputError(f"{name} is not an armature.", "Choose an armature, or let a new one be made.", "rig-type")
    if armature.mode == "EDIT":
        raise InputError(f"{name} is in Edit Mode.", "Leave Edit Mode (Tab) and try again.", "rig-edit-mode")
    if armature.library is not None and armature.override_library is None:
        raise InputError(
            f"{name} is linked from another file and cannot be animated here.",
            "Make a library override of it: Object, Library Override, Make.",
            "rig-linked",
        )
    if armature.animation_data is not None and armature.animation_data.use_tweak_mode:
        raise InputError(
            f"{name} is being tweaked in the NLA Editor.", "Leave tweak mode (Tab in the NLA Editor).", "rig-tweak-mode"
        )


def read_rig(armature: bpy.types.Object) -> Rig:
    """The armature's rest pose; parents, before their children, are the bones that each one rigidly follows.

    In control rigs that may be another bone than Blender's parent, because constraints carry it; switches between FK
    and IK count as set to FK (`retarget.bone_map.switches_of` names them).

    Raises:
        InputError: bones of the body that do not inherit their parent's rotation.
    """
    switches = {(s.bone, s.prop): s.fk for s in switches_of(armature.data.bones.keys())}
    parents = carriers(armature, switches)
    children: dict[str | None, list[bpy.types.Bone]] = {}
    for bone in armature.data.bones:
        children.setdefault(parents[bone.name], []).append(bone)
    bones: list[bpy.types.Bone] = []
    waiting = children.get(None, [])[::-1]
    while waiting:
        bone = waiting.pop()
        bones.append(bone)
        waiting += children.get(bone.name, [])[::-1]
    index = {bone.name: b for b, bone in enumerate(bones)}
    rig = Rig(
        names=tuple(index),
        parents=tuple(-1 if (above := parents[name]) is None else index[above] for name in index),
        rest=np.array([bone.matrix_local for bone in bones], dtype=np.float64).reshape(-1, 4, 4),
        lengths=np.array([bone.length for bone in bones], dtype=np.float64),
        world=np.array(armature.matrix_world, dtype=np.float64),
    )
    _refuse_loose(armature, rig)
    return rig


def _refuse_loose(armature: bpy.types.Object, rig: Rig) -> None:
    """Keys are relative to what bones hang on, so those of the body must turn with it."""
    if all(bone.use_inherit_rotation or bone.parent is None for bone in armature.data.bones):
        return
    try:
        body = retarget.map_bones(rig)
    except InputError:
        return  # whoever wants its map hears of that
    moved = {b for b, name in enumerate(rig.names) if name in body.bones - {body.root, *body.controls.values()}}
    for b in sorted(moved, reverse=True):
        above = rig.parents[b]
        while above >= 0 and rig.names[above] != body.root:
            moved.add(above)
            above = rig.parents[above]
    loose = [
        rig.names[b]
        for b in sorted(moved)
        if rig.parents[b] >= 0 and not armature.data.bones[rig.names[b]].use_inherit_rotation
    ]
    if loose:
        raise InputError(
            f"Bones of {armature.name} do not inherit the rotation of what they hang on: {', '.join(loose)}.",
            "Turn on Inherit Rotation for them (Properties, Bone, Relations).",
            "rig-loose-bones",
        )


def scene_rate(scene: bpy.types.Scene) -> float:
    """Frames per second of a scene."""
    return scene.render.fps / scene.render.fps_base


def clip_rate(rate: float) -> tuple[int, float]:
    """Blender's (fps, fps_base) for a measured frame rate; 29.97 and its kin become exactly n/1.001."""
    whole = max(round(rate), 1)
    if abs(rate / whole - 1) < 2e-4:
        return whole, 1.0
    if abs(rate * 1.001 / max(round(rate * 1.001), 1) - 1) < 2e-4:
        return round(rate * 1.001), 1.001
    return whole, whole / rate


def key_frames(timestamps: NDArray[np.float64], rate: float, start: float) -> NDArray[np.float64]:
    """(F,) scene frames of the clip's moments, the first one at `start`; whole where they lie on whole frames."""
    frames = (timestamps - timestamps[0]) * rate
    whole = np.round(frames)
    if np.abs(frames - whole).max() < 0.05 and len(np.unique(whole)) == len(whole):
        frames = whole
    return frames + start


@contextmanager
def _scene_matched(scene: bpy.types.Scene, motion: Motion, start: int) -> Iterator[None]:
    """The scene in the clip's frame rate and range; on an error as it was."""
    before = scene.render.fps, scene.render.fps_base, scene.frame_start, scene.frame_end
    try:
        scene.render.fps, scene.render.fps_base = clip_rate(motion.frame_rate)
        scene.frame_start = start
        scene.frame_end = int(np.ceil(key_frames(motion.timestamps, scene_rate(scene), start)[-1]))
        yield
    except BaseException:
        scene.render.fps, scene.render.fps_base, scene.frame_start, scene.frame_end = before
        raise


@contextmanager
def _scene_seen_by(scene: bpy.types.Scene, camera: bpy.types.Object, size: tuple[int, int]) -> Iterator[None]:
    """The scene rendered by this camera in the video's size; on an error as it was."""
    render = scene.render
    before = scene.camera, render.resolution_x, render.resolution_y
    try:
        scene.camera, render.resolution_x, render.resolution_y = camera, *size
        yield
    except BaseException:
        scene.camera, render.resolution_x, render.resolution_y = before
        raise


@contextmanager
def _new_armature(context: bpy.types.Context, rig: Rig, name: str) -> Iterator[bpy.types.Object]:
    """A new armature object, selected and active; on an error it goes, and mode and selection come back."""
    layer = context.view_layer
    active, selected = layer.objects.active, list(layer.objects.selected)
    mode = active.mode if active is not None else "OBJECT"
    data = bpy.data.armatures.new(name)
    armature = bpy.data.objects.new(name, data)
    try:
        if mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        _link_visibly(context, armature)
        for other in selected:
            other.select_set(False, view_layer=layer)
        armature.select_set(True, view_layer=layer)
        layer.objects.active = armature
        armature.scale = (1.0 / context.scene.unit_settings.scale_length,) * 3
        bpy.ops.object.mode_set(mode="EDIT")
        _build_bones(data, rig)
        bpy.ops.object.mode_set(mode="OBJECT")
        layer.update()
        yield armature
    except BaseException:
        if armature.mode == "EDIT":
            bpy.ops.object.mode_set(mode="OBJECT")
        bpy.data.objects.remove(armature)
        bpy.data.armatures.remove(data)
        for other in selected:
            other.select_set(True, view_layer=layer)
        layer.objects.active = active
        if active is not None and mode != active.mode:
            bpy.ops.object.mode_set(mode=mode)
        raise


def make_armature(context: bpy.types.Context, motion: Motion, name: str) -> bpy.types.Object:
    """A new armature of a person's own proportions, at rest, selected and active."""
    with _new_armature(context, retarget.rig_from_motion(motion), name) as armature:
        return armature


def _link_visibly(context: bpy.types.Context, armature: bpy.types.Object) -> None:
    """Put an object where the user works, or into the scene's own collection when that one is hidden."""
    layer = context.view_layer
    chosen = layer.active_layer_collection.collection
    chosen.objects.link(armature)
    if armature.name in layer.objects and armature.visible_get(view_layer=layer):
        return
    if chosen != context.scene.collection:
        chosen.objects.unlink(armature)
        context.scene.collection.objects.link(armature)


def _build_bones(data: bpy.types.Armature, rig: Rig) -> None:
    """Fill an armature in Edit Mode."""
    for b, name in enumerate(rig.names):
        bone = data.edit_bones.new(name)
        bone.head, bone.tail = (0.0, 0.0, 0.0), (0.0, float(rig.lengths[b]), 0.0)
        bone.matrix = Matrix(rig.rest[b].tolist())
        if rig.parents[b] >= 0:
            bone.parent = data.edit_bones[rig.names[rig.parents[b]]]


def clip_name(video: str | Path) -> str:
    """Name of an action for a video: the file's name without its ending, as long as Blender allows."""
    return Path(video).stem.encode("utf-8")[:60].decode("utf-8", errors="ignore") or "Capture"


def take_name(take: Take, path: Path) -> str:
    """Name of an action for a Take: that of its video, or of its own file."""
    video = take.provenance.get("video")
    return clip_name(video["name"] if isinstance(video, dict) and "name" in video else path)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Following a person while it happens: the engine's poses turn the bones of an armature, without keys.

One person is followed at a time. A timer takes the poses out of the worker's queue on Blender's main thread and shows
the newest one; a recording gathers all of them and becomes an action when it ends, and the engine writes the take of
the same seconds, from which Solve Again makes the most of it. Nothing of Blender's data is held from one tick to the
next but names and ``session_uid`` numbers.
"""

from __future__ import annotations

import contextlib
import json
import time
from concurrent.futures import wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import bpy
import numpy as np
from bpy.app.handlers import persistent
from mathutils import Matrix, Quaternion
from numpy.typing import NDArray

from . import bone_maps, engine, results, rigs, session
from .actions import location_values
from .core.video_to_pose import protocol
from .core.video_to_pose.errors import InputError, VideoToPoseError
from .core.video_to_pose.formats import take as take_file
from .core.video_to_pose.retarget.stream import Stream
from .core.video_to_pose.rotation import normalize
from .core.video_to_pose.settings import CaptureSettings, LiveSettings, RetargetSettings
from .core.video_to_pose.skeleton import Skeleton
from .core.video_to_pose.types import Camera, KeypointTrack, Motion, RigAnimation, Take
from .jobs import Outcome
from .steps import Steps
from .words import say

Floats = NDArray[np.floating]

TICK_S = 1 / 60
_SHARE_S = 0.02  # of a tick, for making a recording's action
_PANEL_S = 0.25  # figures that change faster cannot be read


@dataclass(frozen=True, eq=False)
class Shown:
    """A pose of the person.

    Attributes:
        time_s: of the source.
        directions: (B, 3).
        root: (3,).
        confidence: (J,); all 0 while the person is lost.
    """

    time_s: float
    directions: Floats
    root: Floats
    confidence: Floats


@dataclass
class Recording:
    """What is being recorded.

    Attributes:
        name: of the action.
        take: where the engine writes the take.
        poses: from its first moment on.
        lengths: (B,) of all of them.
    """

    name: str
    take: Path
    poses: list[Shown] = field(default_factory=list)
    lengths: Floats | None = None


@dataclass
class Following:
    """A person who is followed now.

    Attributes:
        worker: the process.
        scene: ``session_uid``.
        target: ``session_uid`` of the armature; None until the person is measured and one can be made.
        name: of a new armature.
        settings: how poses and recordings are laid on it.
        skeleton: of the poses; None before the engine is ready.
        stream: poses to keys; None before there is an armature.
        before: pose before, to be put back: bone -> ``matrix_basis``.
        seen: the person is in view; None before anybody was.
        settled: bone lengths are measured.
        latency_s, frames_per_s, dropped: see `protocol.Pose`.
        stopping: it was asked to stop.
    """

    worker: engine.Worker
    scene: int
    target: int | None
    name: str
    settings: RetargetSettings
    skeleton: Skeleton | None = None
    stream: Stream | None = None
    before: dict[str, Matrix] = field(default_factory=dict)
    lengths: Floats | None = None
    newest: Shown | None = None
    recording: Recording | None = None
    seen: bool | None = None
    settled: bool = False
    latency_s: float = 0.0
    frames_per_s: float = 0.0
    dropped: int = 0
    stopping: bool = False


@dataclass
class Bringing:
    """A recording on its way to an action.

    Attributes:
        steps: what is left to do.
        scene: ``session_uid``.
        take: where the engine writes its take.
        began_s: the source's time of its first pose.
        seconds: how long it is.
    """

    steps: Steps[rigs.Result]
    scene: int
    take: Path
    began_s: float
    seconds: float


class State:
    """What runs and how the last one ended."""

    following: ClassVar[Following | None] = None
    bringing: ClassVar[Bringing | None] = None
    outcome: ClassVar[Outcome | None] = None
    awaited: ClassVar[dict[Path, tuple[str, float]]] = {}
    """Take that the engine is still writing -> name of its action, and the source's time at its first frame."""
    drawn_s: ClassVar[float] = 0.0


def start(
    context: bpy.types.Context,
    python: engine.Engine | Path,
    source: str,
    name: str,
    settings: CaptureSettings,
    live: LiveSettings,
    armature: bpy.types.Object | None,
    retargeting: RetargetSettings,
) -> None:
    """Begin to follow; a timer sees to the rest.

    Args:
        context: with the scene it happens in.
        python: interpreter of the engine.
        source: one of `settings.LIVE_SOURCES`.
        name: the file or the camera.
        settings, live: of the capture.
        armature: what is moved; None makes one as soon as the person is measured.
        retargeting: how poses are laid on it.

    Raises:
        VideoToPoseError: it cannot start.
    """
    if State.following is not None:
        raise InputError("Somebody is followed already.", "Stop that first.", "busy")
    if source != "camera" and not Path(name).is_file():
        raise InputError(f"There is no file {name}.", "Choose the file again.", "video-missing")
    called = "Camera" if source == "camera" else rigs.clip_name(name)
    State.outcome = None
    following = Following(
        worker=engine.Worker(python, protocol.Follow(source, name, settings, live), online=bpy.app.online_access),
        scene=context.scene.session_uid,
        target=None,
        name=called,
        settings=retargeting,
    )
    try:
        if armature is not None:
            _take_over(following, armature)
    except VideoToPoseError:
        following.worker.close()
        raise
    State.following = following
    if not bpy.app.background:
        bpy.app.timers.register(_tick, first_interval=TICK_S, persistent=True)


def stop() -> None:
    """Stop following; a recording ends and is kept."""
    following = State.following
    if following is None or following.stopping:
        return
    if following.recording is not None:
        stop_recording()
    following.stopping = True
    if not State.awaited and State.bringing is None:
        following.worker.cancel()


def close() -> None:
    """End everything now: before another file is opened, and when the add-on is disabled."""
    _bring(None)
    if State.following is not None:
        following, State.following = State.following, None
        following.worker.close()
        with contextlib.suppress(VideoToPoseError, ReferenceError):
            _put_back(following)
    State.awaited.clear()
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)


def record() -> None:
    """Begin a recording with the next pose.

    Raises:
        InputError: nobody has been seen yet.
    """
    following = State.following
    if following is None or following.stream is None or following.recording is not None:
        raise InputError("Nobody is followed yet.", "Wait until the character moves.", "nobody-followed")
    takes = session.user_folder("takes")
    name = time.strftime(f"{following.name} %Y-%m-%d %H.%M.%S")
    following.recording = Recording(name, takes / f"{name}.npz")
    following.worker.tell(protocol.encode_record(following.recording.take))
    State.outcome = None


def stop_recording() -> None:
    """End the recording: it becomes an action at once, and the engine writes its take."""
    following = State.following
    if following is None or following.recording is None:
        return
    recording, following.recording = following.recording, None
    following.worker.tell(protocol.encode_record(None))
    try:
        armature, scene = _armature(following), _scene(following)
        if len(recording.poses) < 2 or recording.lengths is None or following.skeleton is None:
            raise InputError("The recording is too short.", "Record for longer.", "too-short")
        take = _as_take(recording, following.skeleton, recording.lengths, rigs.scene_rate(scene))
        settings = rigs.ApplySettings(recording.name, retarget=following.settings, take=recording.take)
        with session.in_scene(scene):
            steps = rigs.apply_steps(bpy.context, take, armature, settings)
        seconds = float(take.motion.timestamps[-1] - take.motion.timestamps[0])
        State.bringing = Bringing(steps, following.scene, recording.take, recording.poses[0].time_s, seconds)
    except VideoToPoseError as error:
        State.outcome = session.explain(error)
    if bpy.app.background:
        _bring(None)


def _bring(share_s: float | None) -> None:
    """Go on making the action of a recording for so many seconds; None: to its end.

    Meanwhile no pose is shown, because the action is checked on the armature.
    """
    bringing, began = State.bringing, time.monotonic()
    if bringing is None:
        return
    try:
        with session.in_scene(_scene(bringing)):
            while share_s is None or time.monotonic() < began + share_s:
                waiting = next(bringing.steps)
                if waiting is not None and share_s is None:
                    wait([waiting])
                elif waiting is not None and not waiting.done():
                    return
        return
    except StopIteration as ended:
        result: rigs.Result = ended.value
        State.awaited[bringing.take] = (result.action, bringing.began_s)
        told = say("Recorded {seconds} s as {action}.", seconds=f"{bringing.seconds:.1f}", action=result.action)
        State.outcome = Outcome(told, warnings=result.check.warnings)
    except VideoToPoseError as error:
        State.outcome = session.explain(error)
    except ReferenceError:
        State.outcome = session.explain(_gone())
    State.bringing = None
    if not bpy.app.background:
        with contextlib.suppress(VideoToPoseError), session.in_scene(_scene(bringing)):
            bpy.ops.ed.undo_push(message="Video to Pose: Live Recording")


def advance(wait_s: float = 0.0) -> bool:
    """Hear the worker and show the newest pose. Returns whether there was one."""
    _bring(_SHARE_S)
    following = State.following
    if following is None or State.bringing is not None:
        return False
    poses: list[Shown] = []
    for message in following.worker.poll(wait_s):
        if isinstance(message, protocol.Actor):
            following.skeleton = Skeleton(message.skeleton, message.joints, message.parents)
        elif isinstance(message, protocol.Pose):
            poses += _note(following, message)
        elif isinstance(message, protocol.Recorded):
            _tie(message.take)
        elif isinstance(message, protocol.Warning):
            _told_no_take(message.message)
    try:
        if poses and not following.stopping:
            _show(following, poses)
    except VideoToPoseError as error:
        State.outcome = session.explain(error)
        following.stopping = True
        following.worker.cancel()
    if following.stopping and not State.awaited:
        following.worker.cancel()
    if following.worker.final is not None:
        _end(following, following.worker.final)
    return bool(poses)


def _note(following: Following, message: protocol.Pose) -> list[Shown]:
    following.latency_s, following.frames_per_s = message.latency_s, message.frames_per_s
    following.dropped, following.settled = message.dropped, message.settled
    skeleton = following.skeleton
    if skeleton is None or not message.numbers:
        return []
    bones, joints = skeleton.bone_count, skeleton.joint_count
    parts = [np.array(part) for part in protocol.unpacked(message.numbers, 3 * bones, bones, 3, joints)]
    following.lengths = parts[1]
    shown = Shown(message.time_s, normalize(parts[0].reshape(bones, 3)), parts[2], parts[3])
    following.seen = bool(shown.confidence.any())
    return [shown]


def _show(following: Following, poses: list[Shown]) -> None:
    """Pose the armature like the newest; the others are remembered."""
    assert following.lengths is not None and following.skeleton is not None
    following.newest = poses[-1]
    if following.target is None:
        if not following.settled:
            return
        _make_armature(following)
    armature = _armature(following)
    if following.stream is None:
        rig = rigs.read_rig(armature)
        following.stream = Stream(rig, bone_maps.of(armature, rig), following.skeleton, following.settings)
    for shown in poses:
        following.stream.note(shown.time_s, shown.directions, shown.root)
    if following.recording is not None:
        if following.recording.lengths is None:
            following.recording.lengths = following.lengths
        following.recording.poses += poses
    if armature.mode != "EDIT":
        pose(armature, following.stream.solve(following.lengths))


def pose(armature: bpy.types.Object, keys: RigAnimation) -> None:
    """Put an armature into the first moment of some keys, each bone in its own rotation mode, without keying."""
    names = keys.rig.names
    for column, b in enumerate(keys.bones):
        bone = armature.pose.bones.get(names[b])
        if bone is None:
            continue
        rotation = Quaternion(keys.rotations[0, column].tolist())
        if bone.rotation_mode == "QUATERNION":
            bone.rotation_quaternion = rotation
        elif bone.rotation_mode == "AXIS_ANGLE":
            axis, angle = rotation.to_axis_angle()
            bone.rotation_axis_angle = (angle, *axis)
        else:
            bone.rotation_euler = rotation.to_euler(bone.rotation_mode, bone.rotation_euler)
    for b in keys.located:
        bone = armature.pose.bones.get(names[b])
        if bone is not None:
            bone.location = location_values(bone.bone, keys, b)[0].tolist()
    armature.update_tag()


def _take_over(following: Following, armature: bpy.types.Object) -> None:
    """The armature is this one from now on; how it was is remembered."""
    rigs.check_armature(armature)
    bone_maps.of(armature, rigs.read_rig(armature))
    following.target = armature.session_uid
    following.before = {bone.name: bone.matrix_basis.copy() for bone in armature.pose.bones}


def _make_armature(following: Following) -> None:
    """An armature with the measured proportions."""
    assert following.newest is not None and following.lengths is not None and following.skeleton is not None
    alone = Recording("", Path(), [following.newest, replace(following.newest, time_s=following.newest.time_s + 1.0)])
    motion = _as_take(alone, following.skeleton, following.lengths, 30.0).motion
    with session.in_scene(_scene(following)):
        armature = rigs.make_armature(bpy.context, motion, following.name)
        _take_over(following, armature)
        if not bpy.app.background:
            bpy.ops.ed.undo_push(message="Video to Pose: New Armature")


def _as_take(recording: Recording, skeleton: Skeleton, lengths: Floats, rate: float) -> Take:
    """Poses as a take at an even rate; its own keypoints are not known here."""
    times = np.array([shown.time_s for shown in recording.poses])
    rising = np.concatenate([[True], np.diff(times) > 1e-6])
    kept = [shown for shown, rises in zip(recording.poses, rising, strict=True) if rises]
    times = times[rising]
    even = times[0] + np.arange(int((times[-1] - times[0]) * rate + 1e-6) + 1) / rate
    if len(even) < 2:
        raise InputError("The recording is too short.", "Record for longer.", "too-short")

    def at_even(values: list[Floats]) -> Floats:
        flat = np.array(values, dtype=np.float64).reshape(len(times), -1)
        columns = [np.interp(even, times, column) for column in flat.T]
        return np.stack(columns, axis=1).reshape(len(even), *np.shape(values[0]))

    directions = normalize(at_even([shown.directions for shown in kept]))
    motion = Motion(
        skeleton=skeleton,
        timestamps=even,
        directions=np.where(directions.any(axis=-1, keepdims=True), directions, kept[0].directions),
        lengths=lengths,
        root=at_even([shown.root for shown in kept]),
        confidence=at_even([shown.confidence for shown in kept]),
        contact_names=(),
        contacts=np.zeros((len(even), 0), dtype=bool),
    )
    nothing = np.zeros((len(even), 1))
    track = KeypointTrack(even, ("nose",), np.full((len(even), 1, 2), np.nan), nothing, (1, 1))
    return Take(track, motion, Camera(1.0, np.zeros(2), (1, 1)), {"video": {"name": recording.name}})


def _tie(take: Path) -> None:
    """A take has been written: its action is told where the take's first frame lies."""
    name, began_s = State.awaited.pop(take, ("", 0.0))
    action = bpy.data.actions.get(name)
    if action is None or results.STORED not in action:
        return
    stored = json.loads(action[results.STORED])
    first_s = float(take_file.load(take).motion.timestamps[0])
    stored["frame_start"] += round((first_s - began_s) * stored["rate"])
    action[results.STORED] = json.dumps(stored)
    if State.outcome is not None and not State.outcome.code:
        State.outcome = replace(
            State.outcome, hint=say("Its take is kept: Solve Again, under Result, makes the most of it.")
        )


def _told_no_take(message: str) -> None:
    State.awaited.clear()
    if State.outcome is not None:
        State.outcome.warnings = [*State.outcome.warnings, message]
    else:
        State.outcome = Outcome(message)


def _end(following: Following, final: protocol.Final) -> None:
    """The worker has said its last word."""
    if following.recording is not None:
        stop_recording()
        _bring(None)
    State.awaited.clear()
    State.following = None
    with contextlib.suppress(VideoToPoseError, ReferenceError):
        _put_back(following)
    if isinstance(final, protocol.Failed):
        State.outcome = Outcome(final.message, final.hint, final.code, final.details)
    elif State.outcome is None and isinstance(final, protocol.Followed):
        State.outcome = Outcome("The source has ended.")


def _put_back(following: Following) -> None:
    """The armature as it was, or as its action has it now."""
    if following.target is None:
        return
    armature = _armature(following)
    if armature.animation_data is not None and armature.animation_data.action is not None:
        scene = _scene(following)
        scene.frame_set(scene.frame_current)
        return
    for name, matrix in following.before.items():
        bone = armature.pose.bones.get(name)
        if bone is not None:
            bone.matrix_basis = matrix


def _scene(following: Following | Bringing) -> bpy.types.Scene:
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == following.scene), None)
    if scene is None:
        raise InputError("The scene is gone.", "Start again in a scene that is there.", "scene-gone")
    return scene


def _armature(following: Following) -> bpy.types.Object:
    armature = next((ob for ob in _scene(following).objects if ob.session_uid == following.target), None)
    if armature is None:
        raise _gone()
    return armature


def _gone() -> InputError:
    return InputError("The armature is no longer in the scene.", "Choose another one and start again.", "rig-gone")


def _tick() -> float | None:
    moved = False
    try:
        moved = advance()
    finally:
        panel = time.monotonic() - State.drawn_s > _PANEL_S or State.following is None
        if panel:
            State.drawn_s = time.monotonic()
        _redraw({"WINDOW"} if moved else set(), {"UI"} if panel else set())
    return TICK_S if State.following is not None else None


def _redraw(*kinds: set[str]) -> None:
    """Draw regions of these kinds of the viewports again, and no others: that may take long."""
    wanted = set().union(*kinds)
    for manager in bpy.data.window_managers:
        for window in manager.windows:
            for area in window.screen.areas:
                for region in area.regions:
                    if area.type == "VIEW_3D" and region.type in wanted:
                        region.tag_redraw()


@persistent
def _before_loss(*_: object) -> None:
    """Before an undo, and before a file is saved: a recording is in the scene whole or not at all."""
    _bring(None)


@persistent
def _before_load(*_: object) -> None:
    close()
    State.outcome = None


def register() -> None:
    bpy.app.handlers.load_pre.append(_before_load)
    for handlers in (bpy.app.handlers.undo_pre, bpy.app.handlers.redo_pre, bpy.app.handlers.save_pre):
        handlers.append(_before_loss)


def unregister() -> None:
    bpy.app.handlers.load_pre.remove(_before_load)
    for handlers in (bpy.app.handlers.undo_pre, bpy.app.handlers.redo_pre, bpy.app.handlers.save_pre):
        handlers.remove(_before_loss)
    close()
    State.outcome = None

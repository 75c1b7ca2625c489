# SPDX-License-Identifier: GPL-3.0-or-later
"""The capture or installation that runs now, and how the last one ended: what the panel shows.

At most one of each runs. A timer takes the worker's messages out of the queue on Blender's main thread; in
background mode, where timers do not fire, the same steps are taken while waiting.
"""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import bpy
from bpy.app.handlers import persistent

from . import bone_maps, engine, rigs
from .core.video_to_pose import protocol
from .core.video_to_pose.errors import InputError, VideoToPoseError
from .core.video_to_pose.formats import take as take_file
from .core.video_to_pose.settings import CaptureSettings

_TICK_S = 0.1

_STAGES = {
    "load": "Getting ready",
    "detect": "Looking for the person",
    "lift": "Finding the third dimension",
    "solve": "Placing feet on the floor",
    "save": "Writing the take",
}


@dataclass
class Outcome:
    """How the last work ended, in words for the panel.

    Attributes:
        message: one sentence.
        hint: the mend; empty when all went well.
        code: the error's code; empty when all went well.
        details: for a bug report.
        warnings: what to look at.
        take: the captured Take, for another armature.
    """

    message: str
    hint: str = ""
    code: str = ""
    details: str = ""
    warnings: list[str] = field(default_factory=list)
    take: Path | None = None


@dataclass
class Capture:
    """A running capture.

    Attributes:
        worker: the process.
        take: where the Take goes when all is well.
        target: ``session_uid`` of the armature; None makes one.
        scene: name of the scene that asked.
        settings: how the Take comes into the scene.
        stage: words for the panel.
        done: share of the stage, None while unknown.
    """

    worker: engine.Worker
    take: Path
    target: int | None
    scene: str
    settings: rigs.ApplySettings
    stage: str = "Starting the engine"
    done: float | None = None
    warnings: list[str] = field(default_factory=list)

    def note(self, message: protocol.Message) -> None:
        """Take in what the worker says."""
        if isinstance(message, protocol.Progress) and not self.worker.cancelling:
            stage = _STAGES.get(message.stage, message.stage.capitalize())
            self.done = min(message.done / message.total, 1.0) if message.total else None
            frames = f", frame {message.done} of {message.total}" if message.stage == "detect" and message.total else ""
            self.stage = stage + frames
        elif isinstance(message, protocol.Warning):
            self.warnings.append(message.message)


class State:
    """What runs and what was; lives as long as the add-on is enabled, never in a .blend file."""

    capture: ClassVar[Capture | None] = None
    installation: ClassVar[engine.Installation | None] = None
    outcome: ClassVar[Outcome | None] = None


def start(
    context: bpy.types.Context,
    python: Path,
    video: Path,
    settings: CaptureSettings,
    armature: bpy.types.Object | None,
    apply: rigs.ApplySettings,
) -> None:
    """Start a capture; a timer sees to the rest. In background mode it is over when this returns.

    Raises:
        VideoToPoseError: it cannot start; in background mode also when it fails.
    """
    if State.capture is not None:
        raise InputError("A capture is running already.", "Wait for it, or cancel it.", "busy")
    if not video.is_file():
        raise InputError(f"The video {video} does not exist.", "Choose the video again.", "video-missing")
    if armature is not None:  # found out now, not after minutes of work
        rigs.check_armature(armature)
        bone_maps.of(armature, rigs.read_rig(armature))
    takes = user_folder("takes")
    job = protocol.Job(video, settings, takes / f".{uuid.uuid4().hex}.npz")
    State.outcome = None
    State.capture = Capture(
        worker=engine.Worker(python, job, online=bpy.app.online_access),
        take=takes / f"{rigs.clip_name(video)}.npz",
        target=armature.session_uid if armature is not None else None,
        scene=context.scene.name,
        settings=apply,
    )
    if not bpy.app.background:
        bpy.app.timers.register(_tick, first_interval=_TICK_S)
        return
    try:
        while _capturing():
            advance(wait_s=0.2)
    finally:
        stop()
    _raise_failure()


def _capturing() -> bool:
    return State.capture is not None


def _raise_failure() -> None:
    outcome = State.outcome
    if outcome is not None and outcome.code:
        error = VideoToPoseError(outcome.message, outcome.hint, outcome.code)
        if outcome.details:
            error.add_note(outcome.details)
        raise error


def cancel() -> None:
    """Ask the running capture to stop, or stop the installation."""
    if State.capture is not None:
        State.capture.worker.cancel()
        State.capture.stage, State.capture.done = "Stopping", None
    if State.installation is not None:
        State.installation.close()
        State.installation = None
        State.outcome = Outcome("Installation stopped; nothing was left behind.")


def stop() -> None:
    """End everything that runs, now: before another file is opened, and when the add-on is disabled."""
    if State.capture is not None:
        State.capture.worker.close()
        State.capture = None
    if State.installation is not None:
        State.installation.close()
        State.installation = None
    for timer in (_tick, _tick_installation):
        if bpy.app.timers.is_registered(timer):
            bpy.app.timers.unregister(timer)


def advance(wait_s: float = 0.0) -> None:
    """Take in what the worker has said; when it is done, bring the Take into the scene."""
    capture = State.capture
    if capture is None:
        return
    for message in capture.worker.poll(wait_s):
        capture.note(message)
    if capture.worker.final is None:
        return
    State.capture = None
    kept: Path | None = None
    State.outcome = Outcome(  # stays only if a fault of ours ends this function
        "The capture could not be brought into the scene.",
        "This is a fault of the add-on: please report it with the text in Blender's system console.",
        "fault",
    )
    try:
        engine.taken(capture.worker.final).replace(capture.take)
        kept = capture.take
        result = _apply(capture)
        State.outcome = Outcome(told(result), warnings=[*capture.warnings, *result.check.warnings], take=kept)
    except VideoToPoseError as error:
        State.outcome = explain(error)
        State.outcome.take = kept


def _apply(capture: Capture) -> rigs.Result:
    scene = bpy.data.scenes.get(capture.scene)
    if scene is None:
        raise InputError(
            f"The scene {capture.scene} is gone.",
            "The take is kept: put it on an armature of this scene.",
            "scene-gone",
        )
    armature = None
    if capture.target is not None:
        armature = next((ob for ob in scene.objects if ob.session_uid == capture.target), None)
        if armature is None:
            raise InputError(
                "The armature was deleted while the capture ran.", "The take is kept: choose another one.", "rig-gone"
            )
    take = take_file.load(capture.take)
    with _in_scene(scene):
        result = rigs.apply_take(bpy.context, take, armature, replace(capture.settings, take=capture.take))
        if not bpy.app.background:
            bpy.ops.ed.undo_push(message="Video to Pose")
    return result


@contextlib.contextmanager
def _in_scene(scene: bpy.types.Scene) -> Iterator[None]:
    """A window's context that shows the scene: timers run without a window, and operators follow what one shows."""
    windows = [window for manager in bpy.data.window_managers for window in manager.windows]
    window = next((window for window in windows if window.scene == scene), windows[0] if windows else None)
    if window is None:
        yield
        return
    shown = window.scene
    try:
        if shown != scene:
            window.scene = scene
        with bpy.context.temp_override(window=window):
            yield
    finally:
        if shown != scene:
            window.scene = shown


def told(result: rigs.Result) -> str:
    """A finished capture in one line."""
    what = "a new armature" if result.made_armature else result.armature
    said = f"{result.frames} frames on {what}, {result.bones} bones keyed."
    errors = result.check.limb_errors
    if errors:
        worst = max(errors, key=lambda limb: errors[limb][0])
        said += f" Limbs point true to {errors[worst][0]:.1f}° on average."
    return said


def explain(error: VideoToPoseError) -> Outcome:
    """An error as the panel shows it."""
    return Outcome(error.message, error.hint, error.code, "\n".join(getattr(error, "__notes__", [])).strip())


def install(environment: Path) -> None:
    """Start making the engine's environment; a timer sees to the rest."""
    State.outcome = None
    State.installation = engine.Installation(environment)
    State.installation.poll()
    if not bpy.app.background:
        bpy.app.timers.register(_tick_installation, first_interval=_TICK_S)


def advance_installation() -> bool:
    """Go on with the installation. Returns whether it is over."""
    installation = State.installation
    if installation is None:
        return True
    if not installation.poll():
        return False
    State.installation = None
    if installation.error is not None:
        State.outcome = explain(installation.error)
    else:
        State.outcome = Outcome("The engine is installed. Ready to capture.")
    return True


def user_folder(name: str) -> Path:
    """A folder of the extension's own that outlives updates; a temporary one where the add-on is no extension."""
    try:
        return Path(bpy.utils.extension_path_user(__package__, path=name, create=True))
    except ValueError:
        folder = Path(tempfile.gettempdir()) / "video_to_pose" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def engine_environment() -> Path:
    """Folder of the engine's own environment, installed or not."""
    return user_folder("") / "engine"


def _tick() -> float | None:
    try:
        advance()
    finally:
        _redraw()
    return _TICK_S if State.capture is not None else None


def _tick_installation() -> float | None:
    over = advance_installation()
    _redraw()
    return None if over else 5 * _TICK_S


def _redraw() -> None:
    for manager in bpy.data.window_managers:
        for window in manager.windows:
            for area in window.screen.areas:
                if area.type in ("VIEW_3D", "PREFERENCES"):
                    area.tag_redraw()


@persistent
def _before_load(*_: object) -> None:
    stop()
    State.outcome = None


def register() -> None:
    bpy.app.handlers.load_pre.append(_before_load)


def unregister() -> None:
    bpy.app.handlers.load_pre.remove(_before_load)
    stop()
    State.outcome = None

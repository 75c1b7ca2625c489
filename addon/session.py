# SPDX-License-Identifier: GPL-3.0-or-later
"""The captures that were asked for, one running and the others in a queue, and the installation: what the panel shows.

A timer takes the worker's messages out of the queue on Blender's main thread and brings finished takes into the scene
a few milliseconds at a time; in background mode, where timers do not fire, the same steps are taken while waiting.
Nothing of Blender's data is held from one tick to the next but names and ``session_uid`` numbers; the one exception,
a take on its way into the scene, takes itself back before an undo or another file pulls the ground from under it.
"""

from __future__ import annotations

import contextlib
import json
import math
import platform
import shutil
import tempfile
import time
import traceback
import uuid
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import bpy
from bpy.app.handlers import persistent

from . import bone_maps, doctor, engine, facts, installation, logs, rigs
from .core.video_to_pose import __version__, protocol
from .core.video_to_pose.errors import Cancelled, InputError, VideoToPoseError
from .core.video_to_pose.formats import take as take_file
from .core.video_to_pose.settings import CaptureSettings
from .jobs import Job, Order, Outcome, Status
from .steps import Steps, aside

_TICK_S = 0.1
_SHARE_S = 0.02  # of a tick, for bringing a take into the scene

_PATIENCE_S = 5.0
_UNFINISHED = ".unfinished "
_STALE_S = 86400.0


@dataclass
class Running:
    """The capture at work.

    Attributes:
        job: which one.
        worker: the process.
        folder: where it writes; goes with it.
        until: moment of the monotonic clock when patience ends with one that has nothing to do any more.
    """

    job: Job
    worker: engine.Worker
    folder: Path
    until: float = math.inf


@dataclass
class Bringing:
    """A job whose takes are on their way into the scene.

    Attributes:
        job: which one.
        steps: what is left to do.
    """

    job: Job
    steps: Steps[list[rigs.Result]]


class State:
    """What runs and what was; lives as long as the add-on is enabled, never in a .blend file."""

    jobs: ClassVar[list[Job]] = []
    running: ClassVar[Running | None] = None
    bringing: ClassVar[Bringing | None] = None
    leaving: ClassVar[list[Running]] = []
    installation: ClassVar[installation.Installation | None] = None
    findings: ClassVar[list[doctor.Finding]] = []
    visit: ClassVar[doctor.Examination | None] = None
    outcome: ClassVar[Outcome | None] = None


def enqueue(
    context: bpy.types.Context,
    python: engine.Engine | Path,
    video: Path,
    settings: CaptureSettings,
    armature: bpy.types.Object | None,
    apply: rigs.ApplySettings,
) -> Job:
    """Put a capture at the end of the queue; a timer sees to the rest. In background mode it is over on return.

    Args:
        context: with the scene that the take comes into.
        python: interpreter of the engine.
        video: what to capture from.
        settings: of all stages.
        armature: what the first person's motion is put on; None makes one.
        apply: how the take comes into the scene.

    Raises:
        VideoToPoseError: it cannot start; in background mode also when it fails.
    """
    if not video.is_file():
        raise InputError(f"The video {video} does not exist.", "Choose the video again.", "video-missing")
    if armature is not None:  # found out now, not after minutes of work
        rigs.check_armature(armature)
        bone_maps.of(armature, rigs.read_rig(armature))
    order = Order(
        python=python,
        video=video,
        settings=settings,
        apply=apply,
        scene=context.scene.session_uid,
        scene_name=context.scene.name,
        target=armature.session_uid if armature is not None else None,
        target_name=armature.name if armature is not None else "",
        file=bpy.data.filepath,
    )
    try:
        job = Job(apply.name, order, logs.begin(user_folder("logs"), apply.name))
    except OSError as error:
        raise _unwritable(error) from error
    job.log.write(_header(order))
    for other in State.jobs:
        if other.status is Status.DONE:
            other.unfolded = False
    State.outcome = None
    State.jobs.append(job)
    _go()
    if bpy.app.background and job.outcome is not None and job.outcome.code:
        raise _as_error(job.outcome)
    return job


def find(number: int) -> Job | None:
    """The job of a number."""
    return next((job for job in State.jobs if job.number == number), None)


def active() -> list[Job]:
    """Jobs with which something will still happen by itself."""
    return [job for job in State.jobs if not job.status.is_over]


def cancel(job: Job) -> None:
    """Stop a job, at once for the panel, within a second for the process; takes that are there already are kept."""
    if State.running is not None and State.running.job is job:
        State.running.worker.cancel()
        _leave()
    if State.bringing is not None and State.bringing.job is job:
        _let_go()
    if not job.status.is_over:
        kept = "The take is kept." if job.takes else ""
        job.end(Status.CANCELLED, Outcome("Cancelled.", kept, "cancelled", take=_first(job)))


def retry(job: Job) -> None:
    """Do a job that failed or was cancelled once more, as it was asked: at the end of the queue.

    Raises:
        InputError: what it was for is not in this file.
    """
    if not job.status.is_over:
        return
    job.restart(_here(job.order))
    State.jobs.remove(job)
    State.jobs.append(job)
    State.outcome = None
    _go()


def remove(job: Job) -> None:
    """Take a job off the list, cancelled if need be. Its takes stay on disk."""
    cancel(job)
    State.jobs.remove(job)


def cancel_installation() -> None:
    """Stop the installation; what it made is removed meanwhile."""
    if State.installation is not None:
        State.installation.cancel()
        State.installation = None
        State.outcome = Outcome("Installation stopped; nothing was left behind.")


def stop() -> None:
    """End everything that runs, now: when the add-on is disabled, and when Blender closes."""
    _drop("Stopped.", "")
    if State.installation is not None:
        State.installation.close()
        State.installation = None
    for timer in (_tick, _tick_installation):
        if bpy.app.timers.is_registered(timer):
            bpy.app.timers.unregister(timer)


def advance(wait_s: float = 0.0) -> None:
    """One step of everything: start what is due, hear the worker, bring takes into the scene."""
    _start_next()
    _listen(wait_s)
    _bring_some()
    _see_out()


def _go() -> None:
    """See to it that `advance` is called until there is nothing to do."""
    if bpy.app.background:
        try:
            while active():
                advance(wait_s=0.2)
        except BaseException:
            stop()
            raise
        _see_out(now=True)
    elif not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=0.0, persistent=True)


def _start_next() -> None:
    if State.running is not None or State.leaving or State.installation is not None:
        return  # one engine at a time: each takes what processors and memory there are
    job = next((job for job in State.jobs if job.status is Status.WAITING), None)
    if job is None:
        return
    job.status, job.stage = Status.RUNNING, "Starting the engine"
    folder = user_folder("takes") / f"{_UNFINISHED}{uuid.uuid4().hex}"
    try:
        _sweep(folder.parent)
        folder.mkdir()
        asked = protocol.Job(job.order.video, job.order.settings, folder / "take.npz", user_folder("seen"))
        worker = engine.Worker(job.order.python, asked, online=bpy.app.online_access, log=job.log.path)
    except (VideoToPoseError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        job.end(Status.FAILED, explain(_unwritable(error) if isinstance(error, OSError) else error))
        return
    State.running = Running(job, worker, folder)


def _listen(wait_s: float) -> None:
    """Take in what the worker has said; when it is done, keep its takes."""
    running = State.running
    if running is None:
        return
    job, worker = running.job, running.worker
    for message in worker.poll(wait_s):
        job.note(message)
    if worker.final is None:
        return
    try:
        job.takes = [_keep(engine.taken(worker.final), user_folder("takes"), job.name)]
        job.status, job.stage, job.done = Status.CAPTURED, "Bringing the motion into the scene", None
        job.log.write(f"kept {', '.join(map(str, job.takes))}")
    except Cancelled as error:
        job.end(Status.CANCELLED, explain(error))
    except VideoToPoseError as error:
        job.end(Status.FAILED, explain(error))
    except OSError as error:
        job.end(Status.FAILED, explain(_unwritable(error)))
    shutil.rmtree(running.folder, ignore_errors=True)
    _leave()


def _leave() -> None:
    """The running worker is done with; whatever of it is still there goes by and by."""
    if State.running is not None:
        State.running.until = time.monotonic() + _PATIENCE_S
        State.leaving.append(State.running)
        State.running = None


def _see_out(now: bool = False) -> None:
    """Remove what workers leave behind that have gone; `now` waits for them, a second at most."""
    still = []
    for left in State.leaving:
        if now or time.monotonic() > left.until:
            left.worker.close()
        left.worker.poll()
        if left.worker.gone:
            shutil.rmtree(left.folder, ignore_errors=True)
        else:
            still.append(left)
    State.leaving = still


def _keep(take: Path, folder: Path, name: str) -> Path:
    """Move a Take to where it stays, over no other: actions of earlier captures know theirs by its path."""
    number = 1
    while True:
        kept = folder / (f"{name}.npz" if number == 1 else f"{name} {number}.npz")
        try:
            kept.touch(exist_ok=False)
        except FileExistsError:
            number += 1
            continue
        return take.replace(kept)


def _sweep(folder: Path) -> None:
    """Remove what a Blender that was killed has left; what is fresh may be another Blender's at work."""
    for left in folder.glob(f"{_UNFINISHED}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left, ignore_errors=True)


def _bring_some() -> None:
    """Bring takes into the scene: for a few milliseconds, or in background mode to the end."""
    if State.bringing is None:
        job = next((job for job in State.jobs if job.status is Status.CAPTURED), None)
        if job is None:
            return
        job.hindrance = _in_the_way(job)
        if job.hindrance:
            return
        job.stage = "Bringing the motion into the scene"
        State.bringing = Bringing(job, _bring(job))
    share = None if bpy.app.background else _SHARE_S
    _take_steps(State.bringing, share)


def _take_steps(bringing: Bringing, share_s: float | None) -> None:
    job = bringing.job
    began = time.monotonic()
    try:
        with in_scene(_scene_of(job.order)):
            while True:
                waiting = next(bringing.steps)
                if share_s is None:
                    wait([waiting] if waiting is not None else [])
                elif time.monotonic() > began + share_s or (waiting is not None and not waiting.done()):
                    return
    except StopIteration as ended:
        results: list[rigs.Result] = ended.value
        path = job.order.apply.retarget.root_motion
        about = [text for result in results for text in (*facts.warnings(result.about, path), *result.check.warnings)]
        warnings = [*job.warnings, *about]
        job.end(Status.DONE, Outcome(" ".join(map(told, results)), warnings=warnings, take=_first(job)))
    except VideoToPoseError as error:
        job.end(Status.FAILED, replace(explain(error), take=_first(job)))
    except ReferenceError:
        gone = InputError(
            "The armature was deleted while the motion was put on it.",
            "The take is kept: choose another armature and put it there.",
            "rig-gone",
        )
        job.end(Status.FAILED, replace(explain(gone), take=_first(job)))
    except Exception as error:
        fault = Outcome(
            f"The capture could not be brought into the scene: {type(error).__name__}: {error}",
            "This is a fault of the add-on: please report it with the log.",
            "fault",
            traceback.format_exc(),
            take=_first(job),
        )
        job.end(Status.FAILED, fault)
    State.bringing = None


def _first(job: Job) -> Path | None:
    return job.takes[0] if job.takes else None


def _let_go() -> None:
    """Take back what of a take has come into the scene so far; it begins anew later."""
    bringing, State.bringing = State.bringing, None
    if bringing is None:
        return
    with contextlib.suppress(VideoToPoseError, ReferenceError), in_scene(_scene_of(bringing.job.order)):
        bringing.steps.close()


def _bring(job: Job) -> Steps[list[rigs.Result]]:
    """Lay a job's takes on its armature and, where there are more, on new ones."""
    order, results = job.order, []
    while job.brought < len(job.takes):
        path = job.takes[job.brought]
        armature = _target_of(order) if job.brought == 0 else None
        take = yield from aside(lambda path=path: take_file.load(path))
        results.append((yield from rigs.apply_steps(bpy.context, take, armature, replace(order.apply, take=path))))
        job.brought += 1
        if not bpy.app.background:
            bpy.ops.ed.undo_push(message=f"Video to Pose: {job.name}")
    return results


def _scene_of(order: Order) -> bpy.types.Scene:
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == order.scene), None)
    if scene is None:
        raise InputError(
            f"The scene {order.scene_name} is gone.",
            "The take is kept: put it on an armature of this scene.",
            "scene-gone",
        )
    return scene


def _target_of(order: Order) -> bpy.types.Object | None:
    if order.target is None:
        return None
    armature = next((ob for ob in _scene_of(order).objects if ob.session_uid == order.target), None)
    if armature is None:
        raise InputError(
            f"The armature {order.target_name} is no longer in the scene {order.scene_name}.",
            "The take is kept: choose another armature and put it there.",
            "rig-gone",
        )
    return armature


def _here(order: Order) -> Order:
    """An order to be done again: after its file was opened anew, what it is for is found by name."""
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == order.scene), None)
    if scene is None and order.target is None:
        scene = bpy.context.scene
    elif scene is None:
        scene = bpy.data.scenes.get(order.scene_name) if order.file == bpy.data.filepath else None
    target = None
    if scene is not None and order.target is not None:
        target = next((ob for ob in scene.objects if ob.session_uid == order.target), None)
        if target is None and order.file == bpy.data.filepath:
            target = scene.objects.get(order.target_name)
    if scene is None or (order.target is not None and (target is None or target.type != "ARMATURE")):
        raise InputError(
            f"The armature {order.target_name} is not in this scene.",
            "Choose another one and capture again, or put the kept take there.",
            "rig-gone",
        )
    return replace(
        order,
        scene=scene.session_uid,
        scene_name=scene.name,
        target=target.session_uid if target is not None else None,
        target_name=target.name if target is not None else "",
        file=bpy.data.filepath,
    )


def _in_the_way(job: Job) -> str:
    """What the person does just now that must not be disturbed, in words for the panel; empty when nothing."""
    if bpy.app.background:
        return ""
    if bpy.app.is_job_running("RENDER") or bpy.app.is_job_running("OBJECT_BAKE"):
        return "Captured. It comes into the scene when the render has ended."
    try:
        scene, target = _scene_of(job.order), _target_of(job.order)
    except InputError:
        return ""  # told when it is tried
    for window in _windows():
        if any({"UNDO", "BLOCKING"} & operator.bl_options for operator in window.modal_operators):
            return "Captured. It comes into the scene when you are done with what you move."
        active = window.view_layer.objects.active if window.scene == scene else None
        at_work = target if target is not None else active
        if at_work is not None and at_work.mode == "EDIT":
            return "Captured. It comes into the scene when you leave Edit Mode."
        if target is None and active is not None and active.mode not in ("OBJECT", "POSE"):
            return "Captured. It comes into the scene when you are back in Object Mode."
    return ""


def _windows() -> list[bpy.types.Window]:
    return [window for manager in bpy.data.window_managers for window in manager.windows]


def _drop(message: str, hint: str) -> None:
    """End all jobs and wait until their processes have gone; takes that are there already are kept."""
    _let_go()
    _leave()
    _see_out(now=True)
    for job in active():
        kept = "The take is kept: put it on an armature of your choice." if job.takes else hint
        job.end(Status.CANCELLED, Outcome(message, kept, "cancelled", take=_first(job)))


def _header(order: Order) -> str:
    """What a log begins with."""
    return "\n".join(
        (
            f"Video to Pose {__version__} in Blender {bpy.app.version_string}, {platform.platform()}",
            f"video: {order.video}",
            f"capture: {json.dumps(order.settings.to_dict())}",
            f"target: {order.target_name or 'a new armature'} in {order.scene_name} of {order.file or 'a new file'}",
            f"apply: {order.apply}",
            f"engine: {order.python}",
        )
    )


def _unwritable(error: OSError) -> InputError:
    return InputError(
        f"The folder of takes cannot be written: {error.strerror or error}.",
        "Free some disk space, or mend the permissions of Blender's user folder.",
        "output-unwritable",
    )


def _as_error(outcome: Outcome) -> VideoToPoseError:
    error = VideoToPoseError(outcome.message, outcome.hint, outcome.code)
    if outcome.details:
        error.add_note(outcome.details)
    return error


@contextlib.contextmanager
def in_scene(scene: bpy.types.Scene) -> Iterator[None]:
    """A window's context that shows the scene: timers run without a window, and operators follow what one shows."""
    windows = _windows()
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
    return f"{result.frames} frames on {what}, {result.bones} bones keyed."


def explain(error: VideoToPoseError) -> Outcome:
    """An error as the panel shows it."""
    return Outcome(error.message, error.hint, error.code, "\n".join(getattr(error, "__notes__", [])).strip())


def install(runtime: str, bundle: Path | None = None) -> None:
    """Start making the engine; a timer sees to the rest. In background mode it is over on return.

    Args:
        runtime: a name in `runtimes.RUNTIMES`.
        bundle: wheels to install from; None downloads them.

    Raises:
        VideoToPoseError: in background mode, when it fails.
    """
    home = engine_environment()
    State.outcome = None
    State.installation = installation.Installation(home, runtime, bundle, models=engine.models_folder(home))
    State.installation.start()
    if not bpy.app.background:
        bpy.app.timers.register(_tick_installation, first_interval=_TICK_S, persistent=True)
        return
    try:
        while not advance_installation():
            time.sleep(_TICK_S)
    finally:
        cancel_installation()
    if State.outcome is not None and State.outcome.code:
        raise _as_error(State.outcome)


def advance_installation() -> bool:
    """Go on with the installation. Returns whether it is over."""
    running = State.installation
    if running is None:
        return True
    if not running.finished:
        return False
    State.installation = None
    if running.error is not None:
        State.outcome = explain(running.error)
        return True
    State.findings = running.findings
    if doctor.can_capture(running.findings):
        State.outcome = Outcome("The engine is installed. Ready to capture.")
    else:
        missing = next(finding for finding in running.findings if finding.needed and not finding.ok)
        State.outcome = Outcome(
            f"The engine is installed, and something is still missing here: {missing.found}.", missing.mend, "doctor"
        )
    return True


def user_folder(name: str) -> Path:
    """A folder of our own that outlives updates.

    Blender deletes the extension's user folder when the extension is removed (seen in 4.2 to 5.2), as it should with
    the engine and its models. Takes are the user's work: they lie among Blender's data files, which stay.
    """
    if name == "takes":
        return Path(bpy.utils.user_resource("DATAFILES", path="video_to_pose/takes", create=True))
    try:
        return Path(bpy.utils.extension_path_user(__package__, path=name, create=True))
    except ValueError:  # no extension: a checkout, or plain Python with bpy
        folder = Path(tempfile.gettempdir()) / "video_to_pose" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def engine_environment() -> Path:
    """Home of the engine installed here, which may not exist yet."""
    return user_folder("") / "engine"


def _tick() -> float | None:
    try:
        advance()
    finally:
        _redraw()
    return _TICK_S if active() or State.leaving else None


def _tick_installation() -> float | None:
    over = advance_installation()
    _redraw()
    return None if over else 5 * _TICK_S


def _redraw() -> None:
    """Draw the sidebar and the preferences again, and no viewport: those may take long."""
    for window in _windows():
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()
            elif area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


@persistent
def _before_loss(*_: object) -> None:
    """Before an undo, and before another file may be opened: nothing may hold on to data that goes."""
    _let_go()
    if State.outcome is not None and not State.outcome.code:
        State.outcome = None  # it tells of a motion that may be gone


@persistent
def _before_save(*_: object) -> None:
    """A file holds a motion whole or not at all."""
    if State.bringing is not None:
        _take_steps(State.bringing, None)


@persistent
def _after_load(*_: object) -> None:
    _drop("Stopped, because another file was opened.", "Try it again for the file that is open now.")
    State.outcome = None


_HANDLERS = (
    ("load_pre", _before_loss),
    ("undo_pre", _before_loss),
    ("redo_pre", _before_loss),
    ("save_pre", _before_save),
    ("load_post", _after_load),
)


def register() -> None:
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
    stop()
    State.jobs = []
    State.outcome = None

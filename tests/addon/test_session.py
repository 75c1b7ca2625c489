# SPDX-License-Identifier: GPL-3.0-or-later
"""A capture in the background starts, tells how it goes, and can always be stopped without a trace.

Worker process and pipes are real; the pipeline inside the worker is one made for the case.
"""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

STAND_IN = """
import os, sys, time, types
from dataclasses import dataclass
from pathlib import Path
sys.path.insert(0, STAGED_CORE)
import video_to_pose
from video_to_pose import errors, worker
from video_to_pose.formats import take as take_file

@dataclass(frozen=True)
class Progress:
    stage: str
    done: int
    total: int | None

pipeline = types.ModuleType("video_to_pose.pipeline")
pipeline.Progress = Progress
def capture(video, settings, progress, **options):
BODY
pipeline.capture = capture
sys.modules["video_to_pose.pipeline"] = video_to_pose.pipeline = pipeline
if sys.argv[1:2] != ["-c"]:
    sys.exit(worker.main())
"""

BODIES = {
    "slow": 'for done in range(2000):\n    progress(Progress("detect", done, 2000))\n    time.sleep(0.02)',
    "deaf": 'progress(Progress("detect", 0, None))\ntime.sleep(60)',
    "crash": 'progress(Progress("detect", 0, None))\nprint("last words", file=sys.stderr, flush=True)\nos._exit(7)',
    "nobody": 'raise errors.InputError("There is nobody in clip.mp4.", "Film the whole body.", "no-person")',
    "fault": 'raise ZeroDivisionError("a bug")',
    "chatter": 'os.write(1, b"noise")\nreturn take_file.load(TAKE)',
    "good": 'progress(Progress("detect", 1, 2))\nreturn take_file.load(TAKE)',
}

START = """
import importlib, os, time
jobs = importlib.import_module(addon.__name__ + ".jobs")
Status, State = jobs.Status, session.State
session.user_folder = lambda name: folder(Path(sys.argv[2]).joinpath("user", name))
def folder(path):
    path.mkdir(parents=True, exist_ok=True)
    return path
video = Path(sys.argv[2]) / "my clip.mp4"
video.touch()
python = Path(sys.argv[1])

def start(armature=None, apply=rigs.ApplySettings(name="my clip"), **options):
    return session.enqueue(bpy.context, options.get("python", python), video, settings.CaptureSettings(), armature, apply)

class Windowed:
    '''As with a window: nothing waits, and a timer calls `advance`.'''
    background = False
    def __getattr__(self, name):
        return getattr(bpy.app, name)
    class Bpy:
        def __getattr__(self, name):
            return Windowed() if name == "app" else getattr(bpy, name)

def with_window():
    session.bpy = Windowed.Bpy()

def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "too late"
        session.advance(wait_s=0.05)

def looking(job):
    return lambda: job.stage.startswith("Looking")

def over(*jobs):
    return lambda: all(job.status.is_over for job in jobs)

def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False

def left():
    '''What is kept and what was forgotten. Logs, and what was seen in clips, are kept by intent.'''
    user = Path(sys.argv[2]) / "user"
    return sorted(str(p.relative_to(user)) for p in (user / "takes").rglob("*"))

def told(job):
    o = job.outcome
    told = o and {name: getattr(o, name) for name in ("message", "hint", "code", "details")}
    return told and {**told, "take": o.take and o.take.name, "status": job.status.value}
"""


@pytest.fixture
def stand_in(tmp_path, staged, save_take):
    """Makes a program that behaves as the engine's Python does, with a pipeline of its own."""

    def make(body: str) -> Path:
        script = tmp_path / "stand_in.py"
        code = STAND_IN.replace("BODY", textwrap.indent(BODIES[body], "    "))
        code = code.replace("STAGED_CORE", repr(str(staged / "core")))
        script.write_text(code.replace("TAKE", repr(str(save_take(frames=6)))))
        program = tmp_path / "engine python"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
        program.chmod(0o755)
        return program

    return make


def test_in_background_mode_a_capture_is_done_when_enqueue_returns(blender, stand_in, tmp_path):
    got = blender.run(
        START + "job = start()\nanswer({'told': told(job), 'left': left(), 'actions': bpy.data.actions.keys()})",
        stand_in("good"),
        tmp_path,
    )
    assert got["told"]["code"] == "" and "frames on a new armature" in got["told"]["message"]
    assert got["left"] == ["takes/my clip.npz"] and got["told"]["take"] == "my clip.npz"
    assert got["actions"] == ["my clip"]


def test_with_a_window_a_timer_brings_the_take_in_and_blender_never_waits(blender, stand_in, tmp_path):
    got = blender.run(
        START
        + """
with_window()
job = start()
running = job.status is Status.WAITING
timer = bpy.app.timers.is_registered(session._tick)
until(over(job))
until(lambda: not State.leaving)
answer({"running": running, "timer": timer, "told": told(job), "goes on": session._tick()})
""",
        stand_in("good"),
        tmp_path,
    )
    assert got["running"] and got["timer"] and got["told"]["code"] == ""
    assert got["goes on"] is None  # the timer ends with the work


def test_progress_is_told_in_words_as_a_share_and_as_time_left(blender, stand_in, tmp_path):
    got = blender.run(
        START
        + """
with_window()
job = start()
until(lambda: job.tell_pace())
answer([job.frames, 0 < job.done < 1, job.tell_pace(), job.stage])
session.stop()
""",
        stand_in("slow"),
        tmp_path,
    )
    assert got[0].startswith("Frame ") and got[0].endswith(" of 2000") and got[1] and got[3] == "Looking for the person"
    assert "frames/s, " in got[2] and got[2].endswith(" left")


@pytest.mark.parametrize("way", ["cancel", "remove", "stop", "load a file", "unregister"])
@pytest.mark.parametrize("body", ["slow", "deaf"])
def test_stopping_leaves_no_process_and_no_files(blender, stand_in, tmp_path, way, body):
    got = blender.run(
        START
        + """
way = sys.argv[3]
addon.register()
before = snapshot()
with_window()
job, waiting = start(), start()
until(looking(job))
worker = State.running.worker
if way == "cancel":
    bpy.ops.video_to_pose.cancel_all()
    until(over(job, waiting))
elif way == "remove":
    bpy.ops.video_to_pose.remove_job(number=waiting.number)
    bpy.ops.video_to_pose.remove_job(number=job.number)
elif way == "stop":
    session.stop()
elif way == "load a file":
    bpy.ops.wm.read_homefile(use_empty=True)
else:
    addon.unregister()
until(lambda: not State.leaving)
same = way == "load a file" or snapshot() == before
answer({"gone": gone(worker.pid), "left": left(), "same": same, "listed": len(State.jobs),
        "status": [job.status.value, waiting.status.value], "messages": [job.outcome.message, waiting.outcome.message],
        "timer": bpy.app.timers.is_registered(session._tick) and session._tick() is not None,
        "threads": [t.name for t in __import__("threading").enumerate() if t.name.startswith("video-to-pose")]})
""",
        stand_in(body),
        tmp_path,
        way,
    )
    assert got["gone"] and got["left"] == [] and got["same"] and not got["timer"] and got["threads"] == []
    assert got["status"] == ["cancelled", "cancelled"]
    assert got["listed"] == (0 if way in ("remove", "unregister") else 2)
    if way == "load a file":
        assert "another file was opened" in got["messages"][0]


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("nobody", "no-person", "There is nobody in clip.mp4."),
        ("fault", "fault", "a bug"),
        ("crash", "engine-crashed", "exit code 7"),
        ("chatter", "", "frames on"),
    ],
)
def test_what_the_worker_says_reaches_the_panel_and_the_log(blender, stand_in, tmp_path, body, code, words):
    got = blender.run(
        START
        + """
before = snapshot()
try:
    start()
except errors.VideoToPoseError as error:
    assert snapshot() == before
job = State.jobs[0]
answer({"told": told(job), "left": left(), "log": job.log.read()})
""",
        stand_in(body),
        tmp_path,
    )
    told, log = got["told"], got["log"]
    assert told["code"] == code and words in told["message"]
    assert told["message"] in log and "Blender " in log and '"variant"' in log and "my clip.mp4" in log
    assert "video-to-pose" in log and "Python" in log  # the worker writes into it too
    if code:
        assert told["hint"] and got["left"] == []
    if code == "engine-crashed":
        assert "last words" in told["details"] and "last words" in log
    if code == "fault":
        assert "Traceback" in told["details"] and "Traceback" in log


def test_captures_queue_and_each_keeps_what_it_was_asked_with(blender, stand_in, tmp_path, save_take):
    got = blender.run(
        START
        + """
addon.register()
made = rigs.apply_take(bpy.context, take_file.load(sys.argv[3]), None, rigs.ApplySettings(name="mine"))
mine = bpy.data.objects[made.armature]
with_window()
jobs = [start(mine, rigs.ApplySettings(name="one")), start(None, rigs.ApplySettings(name="two")), start(mine, rigs.ApplySettings(name="three"))]
session.advance()
first = [job.status.value for job in jobs]
mine.name = "renamed"
bpy.context.scene.video_to_pose.target = "NEW"
until(over(*jobs))
answer({"first": first, "then": [job.status.value for job in jobs], "left": left(),
        "messages": [job.outcome.message for job in jobs], "now": mine.animation_data.action.name,
        "armatures": sorted(ob.name for ob in bpy.data.objects if ob.type == "ARMATURE")})
""",
        stand_in("good"),
        tmp_path,
        save_take(frames=6),
    )
    assert got["first"] == ["running", "waiting", "waiting"] and got["then"] == ["done"] * 3
    assert "frames on renamed" in got["messages"][0] and "a new armature" in got["messages"][1]
    assert got["now"] == "three" and got["armatures"] == ["renamed", "two"]
    assert got["left"] == ["takes/one.npz", "takes/three.npz", "takes/two.npz"]


def test_a_take_is_written_over_no_other(blender, stand_in, tmp_path):
    got = blender.run(
        START + "first, second = start(), start()\nanswer([left(), told(first)['take'], told(second)['take']])",
        stand_in("good"),
        tmp_path,
    )
    assert got == [["takes/my clip 2.npz", "takes/my clip.npz"], "my clip.npz", "my clip 2.npz"]


def test_one_that_fails_does_not_stop_the_others(blender, stand_in, tmp_path):
    got = blender.run(
        START
        + """
with_window()
jobs = [start(python=Path("/no/such/python")), start()]
until(over(*jobs))
answer([[job.status.value, job.outcome.code] for job in jobs])
""",
        stand_in("good"),
        tmp_path,
    )
    assert got == [["failed", "engine-python"], ["done", ""]]


def test_a_cancelled_capture_can_be_tried_again(blender, stand_in, tmp_path):
    got = blender.run(
        START
        + """
addon.register()
with_window()
job = start()
bpy.ops.video_to_pose.cancel_job(number=job.number)
was = job.status.value
bpy.ops.video_to_pose.retry_job(number=job.number)
until(over(job))
answer([was, told(job)["status"], len(State.jobs), left()])
""",
        stand_in("good"),
        tmp_path,
    )
    assert got == ["cancelled", "done", 1, ["takes/my clip.npz"]]


def test_an_armature_deleted_meanwhile_is_told_and_the_take_is_kept_to_be_applied(
    blender, stand_in, tmp_path, save_take
):
    got = blender.run(
        START
        + """
addon.register()
made = rigs.apply_take(bpy.context, take_file.load(sys.argv[3]), None, rigs.ApplySettings(name="Hero"))
armature = bpy.data.objects[made.armature]
with_window()
job = start(armature=armature)
bpy.data.objects.remove(armature)
until(over(job))
failed = told(job)
try:
    bpy.ops.video_to_pose.retry_job(number=job.number)
except RuntimeError as error:
    refused = str(error)
bpy.ops.video_to_pose.apply_take(filepath=str(job.takes[0]))
answer({"told": failed, "refused": refused, "left": left(), "here": bpy.data.actions.keys()})
""",
        stand_in("good"),
        tmp_path,
        save_take(frames=6),
    )
    told = got["told"]
    assert told["code"] == "rig-gone" and "Hero" in told["message"] and "kept" in told["hint"]
    assert told["take"] == "my clip.npz" and got["left"] == ["takes/my clip.npz"]
    assert "Hero is not in this scene" in got["refused"] and "wave" in got["here"]


def test_a_target_that_comes_back_by_undo_takes_the_kept_take_without_a_new_capture(
    blender, stand_in, tmp_path, save_take
):
    got = blender.run(
        START
        + """
made = rigs.apply_take(bpy.context, take_file.load(sys.argv[3]), None, rigs.ApplySettings(name="Hero"))
bpy.ops.ed.undo_push(message="Hero")
with_window()
job = start(armature=bpy.data.objects["Hero"])
bpy.ops.object.delete()
bpy.ops.ed.undo_push(message="deleted")
until(over(job))
was = told(job)["code"]
bpy.ops.ed.undo()
session.retry(job)
starts = job.status.value
until(over(job))
answer([was, starts, told(job)["message"], left()])
""",
        stand_in("good"),
        tmp_path,
        save_take(frames=6),
    )
    assert got[:2] == ["rig-gone", "captured"] and "frames on Hero" in got[2] and got[3] == ["takes/my clip.npz"]


@pytest.mark.parametrize("target", ["new", "mine"])
def test_a_capture_lands_in_the_scene_that_asked_though_another_is_shown(
    blender, stand_in, tmp_path, save_take, target
):
    got = blender.run(
        START
        + """
asked = bpy.context.scene
armature = None
if sys.argv[4] == "mine":
    made = rigs.apply_take(bpy.context, take_file.load(sys.argv[3]), None, rigs.ApplySettings(name="mine"))
    armature = bpy.data.objects[made.armature]
with_window()
job = start(armature=armature)
other = bpy.data.scenes.new("Other")
bpy.context.window.scene = other
asked.name = "renamed"
until(over(job))
answer({"code": told(job)["code"], "there": sum(ob.type == "ARMATURE" for ob in asked.objects),
        "here": len(other.objects), "shown": bpy.context.scene.name, "action": "my clip" in bpy.data.actions})
""",
        stand_in("good"),
        tmp_path,
        save_take(frames=6),
        target,
    )
    assert got == {"code": "", "there": 1, "here": 0, "shown": "Other", "action": True}


def test_a_scene_that_is_gone_is_told(blender, stand_in, tmp_path):
    got = blender.run(
        START
        + """
asked = bpy.context.scene
asked.name = "Shot 7"
with_window()
job = start()
bpy.context.window.scene = bpy.data.scenes.new("Other")
bpy.data.scenes.remove(asked)
until(over(job))
answer([told(job), left(), bpy.data.actions.keys()])
""",
        stand_in("good"),
        tmp_path,
    )
    assert got[0]["code"] == "scene-gone" and "Shot 7" in got[0]["message"]
    assert got[1] == ["takes/my clip.npz"] and got[2] == []


def test_a_rig_that_cannot_be_mapped_is_told_before_the_work_begins(blender, stand_in, tmp_path):
    got = blender.run(
        START
        + """
crane = bpy.data.objects.new("Crane", bpy.data.armatures.new("Crane"))
bpy.context.collection.objects.link(crane)
try:
    start(armature=crane)
    answer("no error")
except errors.InputError as error:
    answer([error.code, State.jobs == [], left()])
""",
        stand_in("slow"),
        tmp_path,
    )
    assert got == ["rig-unmapped", True, []]


@pytest.mark.parametrize("body", ["slow", "deaf"])
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_blender_that_is_killed_leaves_no_engine_and_no_files(blender, stand_in, tmp_path, body):
    code = f"STAGED = {str(blender.staged)!r}\n" + blender.prelude + START + KILLED
    done = blender.python("-c", code, stand_in(body), tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout.split("WORKER ")[1].split()[0])
    for _ in range(200):
        if not is_running(pid):
            break
        time.sleep(0.1)
    assert not is_running(pid)
    assert list((tmp_path / "user" / "takes").iterdir()) == []


KILLED = """
import signal
with_window()
job = start()
until(looking(job))
print("WORKER", State.running.worker.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked after yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_a_killed_blender_left_long_ago_is_swept_and_what_is_fresh_is_not(blender, stand_in, tmp_path):
    takes = tmp_path / "user" / "takes"
    old, fresh = takes / ".unfinished old", takes / ".unfinished fresh"
    for folder in (old, fresh):
        folder.mkdir(parents=True)
    (old / "take.npz").touch()
    os.utime(old, (0, 0))
    got = blender.run(START + "start()\nanswer(left())", stand_in("good"), tmp_path)
    assert got == ["takes/.unfinished fresh", "takes/my clip.npz"]


def test_saving_meanwhile_writes_nothing_of_ours(blender, stand_in, tmp_path):
    got = blender.run(
        START
        + """
clear()
with_window()
job = start()
until(looking(job))
path = str(Path(sys.argv[2]) / "shot é.blend")
bpy.ops.wm.save_as_mainfile(filepath=path)
running = job.status.value
session.stop()
bpy.ops.wm.open_mainfile(filepath=path)
answer([running, snapshot()["objects"], snapshot()["actions"], bpy.data.texts.keys()])
""",
        stand_in("slow"),
        tmp_path,
    )
    assert got == ["running", [], [], []]


@pytest.mark.parametrize("past", [False, True])
def test_undo_meanwhile_does_no_harm(blender, stand_in, tmp_path, save_take, past):
    got = blender.run(
        START
        + """
bpy.ops.ed.undo_push(message="before")
made = rigs.apply_take(bpy.context, take_file.load(sys.argv[3]), None, rigs.ApplySettings(name="Hero"))
bpy.ops.ed.undo_push(message="Hero")
bpy.context.scene.frame_end = 77
bpy.ops.ed.undo_push(message="something")
with_window()
job = start(armature=bpy.data.objects["Hero"])
session.advance(0.05)
bpy.ops.ed.undo()
if sys.argv[4] == "True":
    bpy.ops.ed.undo()
until(over(job))
answer([told(job)["code"], sorted(bpy.data.actions.keys()), left()])
""",
        stand_in("good"),
        tmp_path,
        save_take(frames=6),
        past,
    )
    assert got == (
        ["rig-gone", [], ["takes/my clip.npz"]] if past else ["", ["Hero", "my clip"], ["takes/my clip.npz"]]
    )


WHILE_BROUGHT = """
addon.register()
clear()
made = rigs.apply_take(bpy.context, take_file.load(sys.argv[3]), None, rigs.ApplySettings(name="Hero"))
bpy.ops.ed.undo_push(message="Hero")
bpy.context.scene.frame_end = 77
bpy.ops.ed.undo_push(message="something")
before = snapshot()
with_window()
session._SHARE_S = 0.0  # one step a tick
target = bpy.data.objects["Hero"] if sys.argv[4] == "mine" else None
job = start(target, rigs.ApplySettings(name="my clip", match_scene=True, camera=True))
until(lambda: "my clip" in bpy.data.actions)
for _ in range(5):
    session.advance()
halfway = [job.status.value, bpy.data.actions["my clip"].use_fake_user, snapshot() == before]
"""


@pytest.mark.parametrize("target", ["new", "mine"])
@pytest.mark.parametrize("way", ["cancel", "unregister"])
def test_a_motion_half_way_into_the_scene_is_taken_back(blender, stand_in, tmp_path, save_take, way, target):
    got = blender.run(
        START
        + WHILE_BROUGHT
        + """
session.cancel(job) if sys.argv[5] == "cancel" else addon.unregister()
after = snapshot()
answer([halfway, {k: [before[k], after[k]] for k in before if before[k] != after[k]}, told(job), left()])
""",
        stand_in("good"),
        tmp_path,
        save_take(frames=6),
        target,
        way,
    )
    assert got[0] == ["captured", False, False] and got[1] == {}
    assert got[2]["status"] == "cancelled" and "kept" in got[2]["hint"] and got[3] == ["takes/my clip.npz"]


def test_undo_while_a_motion_comes_into_the_scene_makes_it_begin_anew(blender, stand_in, tmp_path, save_take):
    got = blender.run(
        START
        + WHILE_BROUGHT
        + """
bpy.ops.ed.undo()
between = [bpy.data.actions.keys(), bpy.context.scene.frame_end]
until(over(job))
answer([between, told(job)["status"], sorted(bpy.data.actions.keys()), bpy.data.objects["Hero"].animation_data.action.name])
""",
        stand_in("good"),
        tmp_path,
        save_take(frames=6),
        "mine",
    )
    assert got == [[["Hero"], 250], "done", ["Hero", "my clip"], "my clip"]


@pytest.mark.parametrize("target", ["new", "mine"])
def test_a_file_saved_while_a_motion_comes_into_the_scene_holds_all_of_it(
    blender, stand_in, tmp_path, save_take, target
):
    got = blender.run(
        START
        + WHILE_BROUGHT
        + """
path = str(Path(sys.argv[2]) / "shot.blend")
bpy.ops.wm.save_as_mainfile(filepath=path)
status = job.status.value
addon.unregister()
bpy.ops.wm.open_mainfile(filepath=path)
action = bpy.data.actions["my clip"]
playing = [ob.name for ob in bpy.data.objects if ob.animation_data and ob.animation_data.action == action]
answer([status, playing, rigs.STORED in action, list(action.frame_range)])
""",
        stand_in("good"),
        tmp_path,
        save_take(frames=6),
        target,
    )
    assert got == ["done", ["Hero" if target == "mine" else "my clip"], True, [1.0, 6.0]]


def test_another_file_opened_while_a_motion_comes_into_the_scene_gets_nothing_of_it(
    blender, stand_in, tmp_path, save_take
):
    got = blender.run(
        START
        + WHILE_BROUGHT
        + """
bpy.ops.wm.read_homefile(use_empty=True)
for _ in range(5):
    session.advance()
answer([told(job), left(), bpy.data.actions.keys(), bpy.data.objects.keys()])
""",
        stand_in("good"),
        tmp_path,
        save_take(frames=6),
        "mine",
    )
    assert got[0]["status"] == "cancelled" and "another file" in got[0]["message"] and "kept" in got[0]["hint"]
    assert got[1:] == [["takes/my clip.npz"], [], []]


def test_an_armature_deleted_while_the_motion_is_put_on_it_is_told(blender, stand_in, tmp_path, save_take):
    got = blender.run(
        START
        + WHILE_BROUGHT
        + """
bpy.data.objects.remove(bpy.data.objects["Hero"])
until(over(job))
answer([told(job), left(), bpy.data.actions.keys()])
""",
        stand_in("good"),
        tmp_path,
        save_take(frames=6),
        "mine",
    )
    assert got[0]["code"] == "rig-gone" and got[0]["take"] == "my clip.npz"
    assert got[1] == ["takes/my clip.npz"] and "my clip" not in got[2]


def test_a_motion_waits_until_whoever_works_in_edit_mode_is_done(blender, stand_in, tmp_path):
    got = blender.run(
        START
        + """
clear()
bpy.ops.mesh.primitive_cube_add()
bpy.ops.object.mode_set(mode="EDIT")
with_window()
job = start()
until(lambda: job.hindrance)
waits = [job.hindrance, bpy.context.object.mode, job.status.value]
bpy.ops.object.mode_set(mode="OBJECT")
until(over(job))
answer([waits, told(job)["status"]])
""",
        stand_in("good"),
        tmp_path,
    )
    assert "Edit Mode" in got[0][0] and got[0][1:] == ["EDIT", "captured"] and got[1] == "done"


def test_reverting_the_file_stops_the_capture_and_it_can_be_tried_again_there(blender, stand_in, tmp_path, save_take):
    got = blender.run(
        START
        + """
addon.register()
made = rigs.apply_take(bpy.context, take_file.load(sys.argv[3]), None, rigs.ApplySettings(name="Hero"))
path = str(Path(sys.argv[2]) / "shot.blend")
bpy.ops.wm.save_as_mainfile(filepath=path)
with_window()
job = start(armature=bpy.data.objects["Hero"])
session.advance(0.0)
bpy.ops.wm.revert_mainfile()
stopped = told(job)["status"]
bpy.ops.video_to_pose.retry_job(number=job.number)
until(over(job))
answer([stopped, told(job)["message"]])
""",
        stand_in("good"),
        tmp_path,
        save_take(frames=6),
    )
    assert got[0] == "cancelled" and "frames on Hero" in got[1]


def test_a_file_that_cannot_be_opened_stops_nothing(blender, stand_in, tmp_path):
    got = blender.run(
        START
        + """
addon.register()
with_window()
job = start()
until(looking(job))
broken = Path(sys.argv[2]) / "broken.blend"
broken.write_bytes(b"no blend file")
try:
    bpy.ops.wm.open_mainfile(filepath=str(broken))
except RuntimeError:
    pass
answer([job.status.value, bpy.app.timers.is_registered(session._tick)])
session.stop()
""",
        stand_in("slow"),
        tmp_path,
    )
    assert got == ["running", True]


def test_the_log_opens_as_a_text(blender, stand_in, tmp_path):
    got = blender.run(
        START
        + """
addon.register()
job = start()
bpy.ops.video_to_pose.show_log(number=job.number)
bpy.ops.video_to_pose.show_log(number=job.number)
answer([bpy.data.texts.keys(), bpy.data.texts[0].as_string()])
""",
        stand_in("good"),
        tmp_path,
    )
    assert got[0] == ["Video to Pose Log"] and "frames on" in got[1] and "capture: {" in got[1]


def test_only_the_newest_logs_are_kept(blender, tmp_path):
    got = blender.run(
        """
from video_to_pose_extension import logs
logs.KEPT = 3
folder = Path(sys.argv[1]) / "logs"
names = [logs.begin(folder, "a/b").path.name for _ in range(6)]
answer([len(list(folder.iterdir())), names[-1] in {p.name for p in folder.iterdir()}])
""",
        tmp_path,
    )
    assert got == [3, True]


def test_finding_the_engine_says_what_is_missing(blender, tmp_path):
    got = blender.run(
        """
answers = []
for chosen in (sys.executable, "/no/such/python", sys.argv[1]):
    try:
        answers.append(str(engine.find_python(chosen, None)))
    except errors.SetupError as error:
        answers.append([error.code, error.message])
try:
    engine.find_python("", Path(sys.argv[1]).parent / "no engine")
except errors.SetupError as error:
    answers.append([error.code, error.message])
answer(answers)
""",
        __file__,
    )
    assert got[1][0] == "engine-python" and "/no/such/python" in got[1][1]
    assert got[2][0] == "engine-python"
    if isinstance(got[0], list):  # this Python has bpy but no engine
        assert got[0][0] == "engine-incomplete" and "mediapipe" in got[0][1]
        assert got[3][0] == "engine-missing"

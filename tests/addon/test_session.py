# SPDX-License-Identifier: GPL-3.0-or-later
"""A capture in the background starts, tells how it goes, and can always be stopped without a trace.

Worker process and pipes are real; the pipeline inside the worker is one made for the case.
"""

from __future__ import annotations

import sys
import textwrap
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
pipeline.confidence_spans = lambda take: []
def capture(video, settings, progress):
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
import os, time
session.user_folder = lambda name: Path(sys.argv[2]).joinpath("user", name)
session.user_folder("takes").mkdir(parents=True)
video = Path(sys.argv[2]) / "my clip.mp4"
video.touch()
python = Path(sys.argv[1])

def start(armature=None, apply=rigs.ApplySettings(name="my clip")):
    session.start(bpy.context, python, video, settings.CaptureSettings(), armature, apply)

def start_with_window(**options):
    '''As with a window: `start` returns at once and a timer calls `advance`.'''
    class Windowed:
        online_access = True
        background = False
        timers = bpy.app.timers
    class Bpy:
        app = Windowed
        def __getattr__(self, name):
            return getattr(bpy, name)
    session.bpy, real = Bpy(), session.bpy
    try:
        start(**options)
    finally:
        session.bpy = real

def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "too late"
        session.advance(wait_s=0.05)

def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False

def left():
    return sorted(str(p.relative_to(sys.argv[2])) for p in Path(sys.argv[2]).joinpath("user").rglob("*") if p.is_file())

def outcome():
    o = session.State.outcome
    told = o and {name: getattr(o, name) for name in ("message", "hint", "code", "details")}
    return told and {**told, "take": o.take and o.take.name}
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


def test_in_background_mode_a_capture_is_done_when_start_returns(blender, stand_in, tmp_path):
    got = blender.run(
        START + "start()\nanswer({'outcome': outcome(), 'left': left(), 'actions': bpy.data.actions.keys()})",
        stand_in("good"),
        tmp_path,
    )
    assert got["outcome"]["code"] == "" and "6 frames on a new armature" in got["outcome"]["message"]
    assert got["left"] == ["user/takes/my clip.npz"] and got["outcome"]["take"] == "my clip.npz"
    assert got["actions"] == ["my clip"]


def test_with_a_window_a_timer_brings_the_take_in_and_blender_never_waits(blender, stand_in, tmp_path):
    got = blender.run(
        START
        + """
began = time.monotonic()
start_with_window()
waited = time.monotonic() - began
running = session.State.capture is not None
timer = bpy.app.timers.is_registered(session._tick)
until(lambda: session.State.capture is None)
answer({"waited": waited, "running": running, "timer": timer, "outcome": outcome()})
""",
        stand_in("good"),
        tmp_path,
    )
    assert got["running"] and got["timer"] and got["waited"] < 0.5
    assert got["outcome"]["code"] == ""


def test_progress_is_told_in_words_and_as_a_share(blender, stand_in, tmp_path):
    got = blender.run(
        START
        + """
start_with_window()
until(lambda: (session.State.capture.done or 0) > 0)
capture = session.State.capture
answer([capture.stage, 0 < capture.done < 1])
session.stop()
""",
        stand_in("slow"),
        tmp_path,
    )
    assert got[0].startswith("Looking for the person, frame ") and got[0].endswith(" of 2000") and got[1]


@pytest.mark.parametrize("way", ["cancel", "stop", "load a file", "unregister"])
@pytest.mark.parametrize("body", ["slow", "deaf"])
def test_stopping_leaves_no_process_and_no_files(blender, stand_in, tmp_path, way, body):
    got = blender.run(
        START
        + """
engine.GRACE_S = 0.5
way = sys.argv[3]
addon.register()
before = snapshot()
start_with_window()
until(lambda: session.State.capture.stage.startswith("Looking"))
pid = session.State.capture.worker.pid
began = time.monotonic()
if way == "cancel":
    bpy.ops.video_to_pose.cancel()
    until(lambda: session.State.capture is None)
elif way == "stop":
    session.stop()
elif way == "load a file":
    bpy.ops.wm.read_homefile(use_empty=True)
else:
    addon.unregister()
seconds = time.monotonic() - began
same = way == "load a file" or snapshot() == before
answer({"gone": gone(pid), "left": left(), "same": same, "seconds": seconds, "outcome": outcome(),
        "timer": bpy.app.timers.is_registered(session._tick) and way != "cancel",
        "running": session.State.capture is not None,
        "threads": [t.name for t in __import__("threading").enumerate() if t.name == "video-to-pose"]})
""",
        stand_in(body),
        tmp_path,
        way,
    )
    assert got["gone"] and got["left"] == [] and got["same"] and not got["running"] and not got["timer"]
    assert got["threads"] == []
    assert got["seconds"] < 5
    assert (got["outcome"] or {"code": "cancelled"})["code"] == "cancelled"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("nobody", "no-person", "There is nobody in clip.mp4."),
        ("fault", "fault", "a bug"),
        ("crash", "engine-crashed", "exit code 7"),
        ("chatter", "", "6 frames"),
    ],
)
def test_what_the_worker_says_reaches_the_panel(blender, stand_in, tmp_path, body, code, words):
    got = blender.run(
        START
        + """
before = snapshot()
try:
    start()
except errors.VideoToPoseError as error:
    assert snapshot() == before
answer({"outcome": outcome(), "left": left()})
""",
        stand_in(body),
        tmp_path,
    )
    assert got["outcome"]["code"] == code and words in got["outcome"]["message"]
    if code:
        assert got["outcome"]["hint"] and got["left"] == []
    if code == "engine-crashed":
        assert "last words" in got["outcome"]["details"]
    if code == "fault":
        assert "Traceback" in got["outcome"]["details"]


def test_an_armature_deleted_meanwhile_is_told_and_the_take_is_kept(blender, stand_in, tmp_path, save_take):
    got = blender.run(
        START
        + """
made = rigs.apply_take(bpy.context, take_file.load(sys.argv[3]), None, rigs.ApplySettings())
armature = bpy.data.objects[made.armature]
start_with_window(armature=armature)
bpy.data.objects.remove(armature)
until(lambda: session.State.capture is None)
answer({"outcome": outcome(), "left": left()})
""",
        stand_in("good"),
        tmp_path,
        save_take(frames=6),
    )
    assert got["outcome"]["code"] == "rig-gone" and got["outcome"]["hint"]
    assert got["outcome"]["take"] == "my clip.npz" and got["left"] == ["user/takes/my clip.npz"]


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
start_with_window(armature=armature)
other = bpy.data.scenes.new("Other")
bpy.context.window.scene = other
until(lambda: session.State.capture is None)
answer({"code": outcome()["code"], "there": sum(ob.type == "ARMATURE" for ob in asked.objects),
        "here": len(other.objects), "shown": bpy.context.scene.name, "action": "my clip" in bpy.data.actions})
""",
        stand_in("good"),
        tmp_path,
        save_take(frames=6),
        target,
    )
    assert got == {"code": "", "there": 1, "here": 0, "shown": "Other", "action": True}


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
    answer([error.code, session.State.capture is None, left()])
""",
        stand_in("slow"),
        tmp_path,
    )
    assert got == ["rig-unmapped", True, []]


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

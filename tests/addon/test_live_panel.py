# SPDX-License-Identifier: GPL-3.0-or-later
"""Live in Blender: poses turn bones without keys, a recording becomes an action, and nothing is left behind.

Worker process and pipes are real; the poses that it sends are those of a take, in place of a person.
"""

from __future__ import annotations

import sys

import pytest

STAND_IN = """
import sys, time, types
sys.path.insert(0, STAGED_CORE)
import video_to_pose
from video_to_pose import errors, protocol, worker
from video_to_pose.formats import take as take_file

live_worker = types.ModuleType("video_to_pose.live_worker")
def follow(job, send, stop, lines):
    if job.name == "broken":
        raise errors.InputError("The camera broken cannot be opened.", "Plug it in.", "camera-unreadable")
    take = take_file.load(TAKE)
    m = take.motion
    send(protocol.Actor(m.skeleton.name, m.skeleton.joints, m.skeleton.parents, 0.067))
    send(protocol.Pose(0.0, "", False, 0.1, 30.0, 0))
    frame, path = 0, None
    while not stop.is_set():
        f = min(frame, m.frame_count - 1)
        lost = 10 <= frame < 50
        confidence = m.confidence[f] * (not lost)
        numbers = protocol.packed(m.directions[f].ravel(), m.lengths, m.root[f], confidence)
        send(protocol.Pose(frame / 30, numbers, frame > 5, 0.12, 29.5, 3))
        while not lines.empty():
            asked = protocol.decode_record(lines.get())
            if asked is None and path is not None:
                take_file.save(take, path)
                send(protocol.Recorded(path))
            path = asked
        frame += 1
        if job.name == "short" and frame == 30:
            return protocol.Followed(3)
        time.sleep(0.02)
    raise errors.Cancelled
live_worker.follow = follow
sys.modules["video_to_pose.live_worker"] = video_to_pose.live_worker = live_worker
if sys.argv[1:2] != ["-c"]:
    sys.exit(worker.main())
"""

START = """
import os, time
from video_to_pose_extension import live, live_panel
State = live.State
session.user_folder = lambda name: folder(Path(sys.argv[2]).joinpath("user", name))
def folder(path):
    path.mkdir(parents=True, exist_ok=True)
    return path
TAKES = Path(sys.argv[2]) / "user" / "takes"

def start(name="0", armature=None, **retarget):
    live.start(bpy.context, Path(sys.argv[1]), "camera", name, settings.CaptureSettings(), settings.LiveSettings(),
               armature, settings.RetargetSettings(**retarget))
    return State.following

def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, (State.outcome, State.following)
        live.advance(wait_s=0.02)

def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False

def own_rig():
    take = take_file.load(sys.argv[3])
    armature = rigs.make_armature(bpy.context, take.motion, "Mine")
    return take, armature

def shape(armature):
    return [[round(x, 5) for row in bone.matrix_basis for x in row] for bone in armature.pose.bones]
"""


@pytest.fixture
def stand_in(tmp_path, staged, save_take):
    """A program that behaves as the engine's Python does, whose live poses are those of a take; and that take."""
    take = save_take(frames=40)
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN.replace("STAGED_CORE", repr(str(staged / "core"))).replace("TAKE", repr(str(take))))
    program = tmp_path / "engine python"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    program.chmod(0o755)
    return program, tmp_path, take


def test_a_new_armature_is_made_when_the_person_is_measured_and_moves_without_keys(blender, stand_in):
    got = blender.run(
        START
        + """
following = start()
until(lambda: following.seen)
early = len(bpy.data.armatures)
until(lambda: following.stream is not None)
armature = bpy.data.objects["Camera"] if "Camera" in bpy.data.objects else None
armature = next(ob for ob in bpy.data.objects if ob.type == "ARMATURE")
first = shape(armature)
until(lambda: shape(armature) != first)
take = take_file.load(sys.argv[3])
bpy.context.view_layer.update()
tall = max((armature.matrix_world @ b.head)[2] for b in armature.pose.bones)
pid = following.worker.pid
live.stop()
until(lambda: State.following is None)
until(lambda: gone(pid))
answer({"early": early, "actions": len(bpy.data.actions), "tall": tall, "outcome": State.outcome and State.outcome.message,
        "rest": all(b.matrix_basis.is_identity for b in armature.pose.bones)})
""",
        *stand_in,
    )
    assert got == {"early": 0, "actions": 0, "tall": pytest.approx(1.6, abs=0.25), "outcome": None, "rest": True}


def test_an_armature_follows_in_its_own_rotation_modes_and_goes_back_to_its_pose(blender, stand_in):
    got = blender.run(
        START
        + """
take, armature = own_rig()
armature.pose.bones["LeftArm"].rotation_mode = "XYZ"
armature.pose.bones["RightArm"].rotation_mode = "AXIS_ANGLE"
armature.pose.bones["Head"].rotation_quaternion = (0.9, 0.1, 0.0, 0.4)
before = shape(armature)
following = start(armature=armature)
until(lambda: following.newest is not None and following.newest.time_s >= 45 / 30)
bpy.context.view_layer.update()
now = {b.name: (armature.matrix_world @ b.matrix).col[1].to_3d().normalized()[:] for b in armature.pose.bones}
m = take.motion
truth = {"LeftForeArm": "left_wrist", "RightForeArm": "right_wrist", "LeftArm": "left_elbow", "RightArm": "right_elbow"}
off = [float(np.degrees(np.arccos(np.clip(np.dot(now[b], m.directions[-1, m.skeleton.index(j) - 1]), -1, 1))))
       for b, j in truth.items()]
live.stop()
until(lambda: State.following is None)
answer({"off": max(off), "back": shape(armature) == before, "actions": len(bpy.data.actions)})
""",
        *stand_in,
    )
    assert got["off"] < 3 and got["back"] and got["actions"] == 0


def test_a_recording_becomes_an_action_at_the_true_time_and_knows_its_take(blender, stand_in):
    got = blender.run(
        START
        + """
bpy.context.scene.render.fps = 24
_, armature = own_rig()
following = start(armature=armature)
until(lambda: following.stream is not None)
live.record()
until(lambda: len(following.recording.poses) >= 25)
held = [bool(p.confidence.any()) for p in following.recording.poses]
lengths = following.recording.lengths.tolist()
seconds = following.recording.poses[-1].time_s - following.recording.poses[0].time_s
live.stop_recording()
action = armature.animation_data.action
awaited, span = bool(State.awaited), list(action.frame_range)
until(lambda: not State.awaited)
stored = json.loads(action[rigs.STORED])
again = rigs.solve_again(bpy.context, armature, settings.RetargetSettings())
live.stop()
until(lambda: State.following is None)
answer({"range": span, "seconds": seconds, "awaited": awaited, "take": Path(stored["take"]).is_file(),
        "outcome": [State.outcome.message, State.outcome.hint, State.outcome.code], "again": again.frames})
""",
        *stand_in,
    )
    start, end = got["range"]
    assert start == 1 and end - start == pytest.approx(24 * got["seconds"], abs=1.01)
    assert got["awaited"] and got["take"] and got["again"] > 20
    message, hint, code = got["outcome"]
    assert message.startswith("Recorded ") and "Solve Again" in hint and code == ""


def test_the_end_of_the_source_ends_it_and_keeps_the_recording(blender, stand_in):
    got = blender.run(
        START
        + """
_, armature = own_rig()
following = start("short", armature)
until(lambda: following.stream is not None)
live.record()
until(lambda: State.following is None)
answer({"actions": len(bpy.data.actions), "said": State.outcome.message, "dropped": following.dropped})
""",
        *stand_in,
    )
    assert got["actions"] == 1 and got["said"].startswith("Recorded") and got["dropped"] == 3


def test_a_lost_person_is_told_and_the_pose_held(blender, stand_in):
    got = blender.run(
        START
        + """
_, armature = own_rig()
following = start(armature=armature)
until(lambda: following.seen is False)
lost = live_panel.told(following)
until(lambda: following.seen)
back = live_panel.told(following)
live.close()
answer({"lost": lost, "back": back, "gone": gone(following.worker.pid)})
""",
        *stand_in,
    )
    assert "Nobody" in got["lost"][0] and got["lost"][1] == "ERROR"
    assert got["back"][0] == "Following" and got["gone"]


def test_what_does_not_go_is_told_and_leaves_nothing(blender, stand_in):
    got = blender.run(
        START
        + """
_, armature = own_rig()
start("broken", armature)
until(lambda: State.following is None)
told = [State.outcome.message, State.outcome.hint, State.outcome.code]
following = start(armature=armature)
try:
    start(armature=armature)
except errors.VideoToPoseError as error:
    twice = error.code
until(lambda: following.stream is not None)
bpy.data.objects.remove(armature)
until(lambda: State.following is None)
until(lambda: gone(following.worker.pid))
answer({"told": told, "twice": twice, "rig": State.outcome.code, "gone": gone(following.worker.pid)})
""",
        *stand_in,
    )
    assert got["told"][2] == "camera-unreadable" and got["told"][1]
    assert got["twice"] == "busy" and got["rig"] == "rig-gone" and got["gone"]


@pytest.mark.parametrize("how", ["unregister", "load"])
def test_disabling_and_opening_a_file_end_the_process(blender, stand_in, how):
    end = {"unregister": "live.unregister()", "load": "live._before_load()"}[how]
    got = blender.run(
        START
        + f"""
addon.register()
_, armature = own_rig()
following = start(armature=armature)
until(lambda: following.stream is not None)
{end}
answer({{"gone": gone(following.worker.pid), "over": State.following is None}})
""",
        *stand_in,
    )
    assert got == {"gone": True, "over": True}


def test_every_field_and_button_has_a_tooltip_and_the_defaults_are_the_cores(blender, stand_in):
    got = blender.run(
        START
        + """
addon.register()
fields = bpy.context.scene.video_to_pose_live
words = [p.description for p in fields.bl_rna.properties if p.identifier not in ("rna_type", "name")]
buttons = [getattr(bpy.ops.video_to_pose, n).get_rna_type().description for n in ("start_live", "stop_live", "record_live")]
answer({"words": all(words + buttons), "same": live_panel.live_settings(fields) == settings.LiveSettings(),
        "people": live_panel.follow_settings(bpy.context).detect.max_people})
""",
        *stand_in,
    )
    assert got == {"words": True, "same": True, "people": 1}

# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is in a video is found by the real engine, listed, split, merged and captured, one action each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "wave.mp4"

START = """
from video_to_pose_extension import clip, errands, people
session.user_folder = lambda name: (Path(sys.argv[2]) / name, (Path(sys.argv[2]) / name).mkdir(parents=True, exist_ok=True))[0]
addon.register()
preferences.engine_python = lambda context: sys.argv[1]
scene = bpy.context.scene
fields = scene.video_to_pose
fields.video = sys.argv[3] if len(sys.argv) > 3 else "/clips/dance.mp4"
listed = scene.video_to_pose_people

def found(*people_found, **settings):
    '''As if the engine had told these: (number, first, last).'''
    looking = people.Search(scene.session_uid, clip.path_of(scene), people._how(properties.capture_settings(fields)))
    looking.found = [
        protocol.Person(n, a, b, b - a, 0.9, False, 0, tuple((a + (b - a) * i / 4, f"/p/{n}-{i}.png") for i in range(5)))
        for n, a, b in people_found
    ]
    people.fill(scene, looking)

def lines():
    return [[t.name, t.spoken, round(t.first_s, 3), round(t.last_s, 3), round(t.seconds, 3), [round(p.second, 3) for p in t.portraits]]
            for t in listed.tracks]

def spoken(*chosen):
    for index, track in enumerate(listed.tracks):
        track.use = index in chosen
    return [[name, made.track.person, made.video.start_s, made.video.end_s] for name, made in people.orders(scene, clip.path_of(scene))]

def refused(work, *arguments):
    try:
        return work(*arguments)
    except errors.InputError as error:
        return error.code
"""


@pytest.fixture
def engine() -> str:
    """A Python that has the engine's packages."""
    python = os.environ.get("VIDEO_TO_POSE_ENGINE_PYTHON", "")
    if not python:
        pytest.skip("VIDEO_TO_POSE_ENGINE_PYTHON names no engine")
    return python


def test_people_are_found_and_captured_without_looking_again(blender, engine, tmp_path):
    got = blender.run(
        START
        + """
fields.end_s = 0.6
told = []
note = people._note
def listen(looking, message):
    told.append([type(message).__name__, getattr(message, "stage", "")])
    note(looking, message)
people._note = listen
assert bpy.ops.video_to_pose.find_people() == {"FINISHED"}
pictures = [Path(p.path).is_file() for t in listed.tracks for p in t.portraits]
first = lines()[0]
kept = sorted(f.name for f in (Path(sys.argv[2]) / "seen").rglob("*.npz"))
stamp = [f.stat().st_mtime_ns for f in (Path(sys.argv[2]) / "seen").rglob("*.npz")]
fields.match_scene = fields.camera = False
assert bpy.ops.video_to_pose.capture() == {"FINISHED"}
take = take_file.load(next((Path(sys.argv[2]) / "takes").glob("*.npz")))
again = [f.stat().st_mtime_ns for f in (Path(sys.argv[2]) / "seen").rglob("*.npz")]
answer({"first": first, "pictures": pictures, "told": told, "kept": kept, "same": stamp == again,
        "detect_s": take.provenance["seconds"]["detect"], "decoded": "decode" in take.provenance["seconds"],
        "person": take.provenance["options"]["track"]["person"], "actions": bpy.data.actions.keys(),
        "use": [t.use for t in listed.tracks], "problem": people.State.problem is None})
""",
        engine,
        tmp_path,
        EXAMPLE,
    )
    name, spoken, first_s, last_s, seconds, times = got["first"]
    assert (name, spoken, first_s) == ("Person 1", "1", 0.0) and 0.5 < last_s < 0.6 and 0.5 < seconds <= 0.62
    assert len(times) >= 4 and all(got["pictures"]) and got["problem"]
    assert ["Progress", "detect"] in got["told"] and got["told"][-1][0] == "Found"
    assert got["kept"] == ["detections.npz"] and got["same"] and not got["decoded"]
    assert got["actions"] == ["wave"] and got["person"] == "1" and got["use"][0]


def test_a_video_without_people_is_said_where_one_looks(blender, engine, tmp_path):
    got = blender.run(
        START
        + """
done = bpy.ops.video_to_pose.find_people()
answer([people.State.problem.code, len(listed.tracks), people.State.search is None])
""",
        engine,
        tmp_path,
        empty_room(tmp_path),
    )
    assert got == ["no-person", 0, True]


def empty_room(folder: Path) -> Path:
    """A short video of nothing; made by the engine's Python, because Blender's has no PyAV."""
    import subprocess

    out = folder / "empty room é.mp4"
    code = (
        "import av, numpy as np, sys\n"
        "with av.open(sys.argv[1], 'w') as t:\n"
        "    s = t.add_stream('libx264', rate=30); s.width, s.height, s.pix_fmt = 320, 240, 'yuv420p'\n"
        "    for i in range(8): t.mux(s.encode(av.VideoFrame.from_ndarray(np.full((240, 320, 3), 90 + i, np.uint8), format='rgb24')))\n"
        "    t.mux(s.encode())\n"
    )
    subprocess.run([os.environ["VIDEO_TO_POSE_ENGINE_PYTHON"], "-c", code, str(out)], check=True, timeout=60)
    return out


def test_cancel_works_at_once_and_leaves_no_process(blender, engine, tmp_path):
    got = blender.run(
        START
        + """
import os, time
class Windowed:
    background = False
    online_access = True
    timers, handlers = bpy.app.timers, bpy.app.handlers
class Bpy:
    app = Windowed
    def __getattr__(self, name):
        return getattr(bpy, name)
errands.bpy = Bpy()
bpy.ops.video_to_pose.find_people()
looking = people.State.search
worker, pid = looking.errand.worker, looking.errand.worker.pid
deadline = time.monotonic() + 150
while not looking.stage.startswith("Looking for people, frame") and time.monotonic() < deadline:
    errands.advance(wait_s=0.05)
stage, poll = looking.stage, bpy.ops.video_to_pose.find_people.poll()
began = time.monotonic()
bpy.ops.video_to_pose.cancel_search()
waited = time.monotonic() - began
over = people.State.search is None
while (errands.State.errands or not worker.gone) and time.monotonic() < deadline:
    errands.advance(wait_s=0.05)
    time.sleep(0.01)
try:
    os.kill(pid, 0)
    gone = False
except ProcessLookupError:
    gone = True
answer([stage, poll, over, gone, len(listed.tracks), list((Path(sys.argv[2]) / "seen").rglob("*")) == []])
""",
        engine,
        tmp_path,
        EXAMPLE,
    )
    assert got[0].endswith("of 150") and got[1:] == [False, True, True, 0, True]


def test_splitting_makes_two_of_one_and_merging_undoes_it(blender, tmp_path):
    got = blender.run(
        START
        + """
found((1, 0.0, 4.0), (2, 1.0, 3.0))
told = [lines()]
people.split(listed, 0, 2.5)
told.append(lines())
people.merge(listed, 0, 1)
told.append(lines())
answer(told)
""",
        "",
        tmp_path,
    )
    whole = ["Person 1", "1", 0.0, 4.0, 4.0, [0.0, 1.0, 2.0, 3.0, 4.0]]
    other = ["Person 2", "2", 1.0, 3.0, 2.0, [1.0, 1.5, 2.0, 2.5, 3.0]]
    assert got[0] == [whole, other]
    assert got[1] == [
        ["Person 1", "1:-2.5", 0.0, 2.5, 2.5, [0.0, 1.0, 2.0]],
        ["Person 3", "1:2.5-", 2.5, 4.0, 1.5, [3.0, 4.0]],
        other,
    ]
    assert got[2] == [whole, other]


def test_an_exchange_is_put_right_by_splitting_both_and_merging_across(blender, tmp_path):
    got = blender.run(
        START
        + """
found((1, 0.0, 4.0), (2, 0.0, 4.0))
people.split(listed, 0, 2.0)
people.split(listed, 2, 2.0)
names = [t.name for t in listed.tracks]
people.merge(listed, 0, 3)
people.merge(listed, 2, 1)
answer([names, [t.spoken for t in listed.tracks], spoken(0, 1)])
""",
        "",
        tmp_path,
    )
    assert got[0] == ["Person 1", "Person 3", "Person 2", "Person 4"]
    assert got[1] == ["1:-2+2:2-", "2:-2+1:2-"]
    assert [line[:2] for line in got[2]] == [["dance Person 1", "1:-2+2:2-"], ["dance Person 2", "2:-2+1:2-"]]


def test_splitting_follows_the_current_frame_and_says_when_it_cannot(blender, tmp_path):
    got = blender.run(
        START
        + """
found((1, 1.0, 3.0))
scene.render.fps, scene.frame_start = 30, 1
scene.frame_set(61)
bpy.ops.video_to_pose.split_person(index=0)
told = [t.spoken for t in listed.tracks]
scene.frame_set(200)
answer([told, sorted(bpy.ops.video_to_pose.split_person(index=0)), refused(people.split, listed, 0, 0.5),
        sorted(bpy.ops.video_to_pose.split_person(index=7)), len(listed.tracks)])
""",
        "",
        tmp_path,
    )
    assert got == [["1:-2", "1:2-"], ["CANCELLED"], "split-outside", ["CANCELLED"], 2]


def test_merging_takes_another_line_of_the_list(blender, tmp_path):
    got = blender.run(
        START
        + """
found((1, 0.0, 1.0), (2, 2.0, 3.0), (3, 0.0, 3.0))
bpy.ops.video_to_pose.merge_people(index=0, other="1")
answer(lines())
""",
        "",
        tmp_path,
    )
    assert [line[:5] for line in got] == [["Person 1", "1+2", 0.0, 3.0, 2.0], ["Person 3", "3", 0.0, 3.0, 3.0]]


def test_what_is_captured_follows_the_list_and_the_part_chosen_now(blender, tmp_path):
    got = blender.run(
        START
        + """
told = [spoken()]
fields.person = "largest"
told.append(spoken())
fields.start_s, fields.end_s = 1.0, 6.0
found((1, 1.0, 5.9), (2, 1.0, 3.0))
told += [spoken(0), spoken(0, 1)]
listed.tracks[1].name = "Bo/b ü"
fields.start_s, fields.end_s = 2.0, 4.0
told.append(spoken(0, 1))
fields.start_s = 3.5
told += [refused(spoken, 1), refused(spoken)]
answer(told)
""",
        "",
        tmp_path,
    )
    assert got[0] == [["dance", "main", 0.0, None]] and got[1] == [["dance", "largest", 0.0, None]]
    assert got[2] == [["dance Person 1", "1", 1.0, 6.0]]
    assert got[3] == [["dance Person 1", "1", 1.0, 6.0], ["dance Person 2", "2", 1.0, 6.0]]
    # what was looked through stays the same, so that it is not looked through again
    assert got[4] == [["dance Person 1", "1:2-4", 1.0, 6.0], ["dance Bo_b ü", "2:2-4", 1.0, 6.0]]
    assert got[5:] == ["nobody-there", "nobody-chosen"]


def test_one_person_alone_is_named_after_the_clip(blender, tmp_path):
    assert blender.run(START + "found((1, 0.0, 2.0))\nanswer(spoken(0))", "", tmp_path) == [["dance", "1", 0.0, None]]


def test_a_list_that_does_not_fit_any_more_is_told_and_not_used(blender, tmp_path):
    got = blender.run(
        START
        + """
fields.end_s = 4.0
found((1, 0.0, 3.0))
told = []
for field, value in (("variant", "heavy"), ("max_people", 4), ("end_s", 5.0), ("end_s", 0.0)):
    before = getattr(fields, field)
    setattr(fields, field, value)
    told.append([bool(people.is_stale(scene)), refused(spoken, 0)])
    setattr(fields, field, before)
fields.device, fields.lifter = "cpu", "default"
told.append(people.is_stale(scene))
fields.video = "/clips/another.mp4"
told.append([people.of_video(scene) is None, spoken()])
answer(told)
""",
        "",
        tmp_path,
    )
    assert got[:4] == [[True, "people-stale"]] * 4 and got[4] == ""
    assert got[5] == [True, [["another", "main", 0.0, 4.0]]]


def test_the_list_is_saved_with_the_file_and_cleared_by_a_button(blender, tmp_path):
    got = blender.run(
        START
        + """
found((1, 0.0, 4.0), (2, 1.0, 3.0))
people.split(listed, 0, 2.5)
before = lines()
path = str(Path(sys.argv[2]) / "file ü.blend")
bpy.ops.wm.save_as_mainfile(filepath=path)
bpy.ops.wm.read_homefile(use_empty=True)
empty = len(bpy.context.scene.video_to_pose_people.tracks)
bpy.ops.wm.open_mainfile(filepath=path)
listed = bpy.context.scene.video_to_pose_people
after = lines()
bpy.ops.video_to_pose.clear_people()
answer([before == after, empty, len(listed.tracks)])
""",
        "",
        tmp_path,
    )
    assert got == [True, 0, 0]


def test_several_go_onto_the_chosen_armature_and_new_ones(blender, tmp_path):
    got = blender.run(
        START
        + """
Path(sys.argv[2], "dance.mp4").touch()
fields.video = str(Path(sys.argv[2], "dance.mp4"))
found((1, 0.0, 4.0), (2, 1.0, 3.0), (3, 1.0, 3.0))
listed.tracks[2].use = True
mine = bpy.data.objects.new("Hero", bpy.data.armatures.new("Hero"))
scene.collection.objects.link(mine)
fields.target, fields.armature = "EXISTING", mine
asked = []
operators.session = type("Queue", (), {**vars(session), "enqueue": staticmethod(
    lambda context, python, video, made, armature, apply: asked.append(
        [armature.name if armature else None, apply.name, made.track.person]))})
operators.engine = type("Engine", (), {"find_python": staticmethod(lambda *_: None)})
bpy.ops.video_to_pose.capture()
answer(asked)
""",
        "",
        tmp_path,
    )
    assert got == [["Hero", "dance Person 1", "1"], [None, "dance Person 3", "3"]]

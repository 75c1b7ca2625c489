# SPDX-License-Identifier: GPL-3.0-or-later
"""A video that is dropped or picked is described by the real engine; its part is set from the timeline; presets hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "wave.mp4"

START = """
from types import SimpleNamespace
from video_to_pose_extension import clip, errands, people, quality
addon.register()
scene = bpy.context.scene
fields = scene.video_to_pose
preferences.engine_python = lambda context: sys.argv[1]

def told():
    known = clip.known(scene)
    if known is None:
        return None
    return {
        "lines": clip.describe(known.facts) if known.facts else None,
        "picture": Path(known.facts.picture).is_file() if known.facts else None,
        "code": known.problem.code if known.problem else "",
        "message": known.problem.message if known.problem else "",
        "hint": known.problem.hint if known.problem else "",
    }

def choose(path):
    bpy.ops.video_to_pose.choose_video(filepath=str(path))
    clip.look(bpy.context)
"""


@pytest.fixture
def engine() -> str:
    """A Python that has the engine's packages."""
    python = os.environ.get("VIDEO_TO_POSE_ENGINE_PYTHON", "")
    if not python:
        pytest.skip("VIDEO_TO_POSE_ENGINE_PYTHON names no engine")
    return python


def test_a_chosen_video_is_described_with_a_picture(blender, engine):
    got = blender.run(START + "choose(sys.argv[2])\nanswer([told(), clip.path_of(scene).name])", engine, EXAMPLE)
    assert got[0]["lines"] == ["5.0 s", "150 frames", "30 frames/s", "1280 × 720"] and got[0]["picture"]
    assert got[0]["code"] == "" and got[1] == "wave.mp4"


@pytest.mark.parametrize(("name", "code"), [("none.mp4", "video-missing"), ("text é.mp4", "video-invalid")])
def test_a_broken_or_missing_video_is_said_in_a_sentence(blender, engine, tmp_path, name, code):
    (tmp_path / "text é.mp4").write_text("no video")
    got = blender.run(START + "choose(sys.argv[2])\nanswer(told())", engine, tmp_path / name)
    assert got["code"] == code and name in got["message"] and got["hint"] and got["lines"] is None


def test_without_an_engine_the_panel_says_so(blender):
    got = blender.run(START + "choose(sys.argv[2])\nanswer(told())", "/no/such/python", EXAMPLE)
    assert got["code"] == "engine-python" and got["hint"]


def test_a_video_that_was_mended_is_looked_at_anew(blender, engine, tmp_path):
    (tmp_path / "clip.mp4").write_text("half a video")
    got = blender.run(
        START
        + """
path = Path(sys.argv[2])
choose(path)
before = told()["code"]
path.write_bytes(Path(sys.argv[3]).read_bytes())
clip.look(bpy.context)
again = clip.State.clip
clip.look(bpy.context)
answer([before, told()["code"], clip.State.clip is again])
""",
        engine,
        tmp_path / "clip.mp4",
        EXAMPLE,
    )
    assert got == ["video-invalid", "", True]


def test_another_video_takes_the_whole_of_it(blender):
    got = blender.run(
        START
        + """
fields.start_s, fields.end_s = 1.0, 2.0
bpy.ops.video_to_pose.choose_video(filepath="/some/clip ü.mov")
answer([fields.video, fields.start_s, fields.end_s])
""",
        "",
    )
    assert got == ["/some/clip ü.mov", 0.0, 0.0]


def test_videos_may_be_dropped_on_the_viewport_alone(blender):
    got = blender.run(
        START
        + """
handler = bpy.types.VIDEO_TO_POSE_FH_video
poll = lambda kind: handler.poll_drop(SimpleNamespace(area=kind and SimpleNamespace(type=kind)))
answer([handler.bl_import_operator, handler.bl_file_extensions, [poll("VIEW_3D"), poll("SEQUENCE_EDITOR"), poll(None)]])
""",
        "",
    )
    assert got[0] == "video_to_pose.choose_video" and got[2] == [True, False, False]
    assert {".mp4", ".mov", ".mkv"} <= set(got[1].split(";"))


RANGE = """
facts = protocol.Clip(1280, 720, 5.0, 150, 30.0, False, "h264", Path("none.png"))
fields.video = "/some/clip.mp4"
clip.State.clip = clip.Clip(Path("/some/clip.mp4"), (1, 1), facts)
scene.render.fps, scene.frame_start = 24, 11

def at(frame, end):
    scene.frame_set(frame)
    done = bpy.ops.video_to_pose.set_range(end=end)
    return [sorted(done), round(fields.start_s, 4), round(fields.end_s, 4)]
"""


def test_the_part_is_set_from_the_current_frame(blender):
    got = blender.run(
        START
        + RANGE
        + """
answer([at(35, "FROM"), at(82, "TO"), at(23, "TO"), at(107, "FROM"), at(11 + 24 * 9, "FROM"), at(130, "TO"), at(1, "ALL")])
""",
        "",
    )
    assert got[0] == [["FINISHED"], 1.0, 0.0]
    assert got[1] == [["FINISHED"], 1.0, 3.0]  # frame 82 is the last one captured
    assert got[2] == [["CANCELLED"], 1.0, 3.0]  # an end before the start
    assert got[3] == [["FINISHED"], 4.0, 0.0]  # a start after the end frees the end
    assert got[4] == [["CANCELLED"], 4.0, 0.0]  # beyond the video
    assert got[5] == [["FINISHED"], 4.0, 0.0]  # the last frame is the end
    assert got[6] == [["FINISHED"], 0.0, 0.0]


def test_where_the_video_is_shown_the_frame_means_what_it_shows(blender):
    got = blender.run(
        START
        + """
fields.video = sys.argv[2]
movie = bpy.data.movieclips.load(sys.argv[2])
movie.frame_start, movie.frame_offset = 101, 30

def at(frame):
    scene.frame_set(frame)
    return clip.moment(scene)[0]

answer([at(101), at(131), at(1)])
""",
        "",
        EXAMPLE,
    )
    assert got == pytest.approx([1.0, 2.0, 0.0])


def test_a_preset_sets_the_fields_and_changing_one_shows_custom(blender):
    got = blender.run(
        START
        + """
told = [fields.quality]
for preset in ("FAST", "BEST", "BALANCED"):
    fields.quality = preset
    told.append([fields.quality, fields.variant, fields.flip])
fields.flip = False
told.append(fields.quality)
fields.quality = "CUSTOM"
told.append([fields.quality, fields.variant, fields.flip])
fields.quality, fields.device = "BALANCED", "cpu"
made = properties.capture_settings(fields)
told.append([fields.quality, made.detect.device, made.lift.device, made.lift.flip])
answer(told)
""",
        "",
    )
    assert got[0] == "BALANCED"  # the core's defaults
    assert got[1:4] == [["FAST", "lite", False], ["BEST", "heavy", True], ["BALANCED", "full", True]]
    assert got[4] == "CUSTOM" and got[5] == ["CUSTOM", "full", False]
    assert got[6] == ["CUSTOM", "cpu", "cpu", True]


def test_presets_and_menus_name_what_the_core_has(blender):
    shown = blender.run(
        START
        + "answer([[i[0] for i in quality.LIFTER_ITEMS], [i[0] for i in quality.DEVICES], list(quality.PRESETS.values())])",
        "",
    )
    lift = pytest.importorskip("video_to_pose.lift")
    onnx_session = pytest.importorskip("video_to_pose.onnx_session")
    detect = pytest.importorskip("video_to_pose.detect")
    assert shown[0] == list(lift.LIFTERS)
    assert set(shown[1]) == {"auto", *onnx_session.PROVIDERS}
    assert [p["variant"] for p in shown[2]] == list(detect.DETECTORS["mediapipe"].variants)
    assert all(p["lifter"] in lift.LIFTERS for p in shown[2])


def test_opening_another_file_forgets_nothing_that_runs(blender, engine):
    got = blender.run(
        START
        + """
from video_to_pose_extension import errands
class Windowed:
    background = False
    online_access = True
    timers, handlers = bpy.app.timers, bpy.app.handlers
class Bpy:
    app = Windowed
    def __getattr__(self, name):
        return getattr(bpy, name)
errands.bpy = Bpy()
choose(sys.argv[2])
running = len(errands.State.errands)
pid = errands.State.errands[0].worker.pid
bpy.ops.wm.read_homefile(use_empty=True)
import os, time
deadline = time.monotonic() + 20
while errands.State.errands and time.monotonic() < deadline:
    errands.advance(wait_s=0.1)
try:
    os.kill(pid, 0)
    gone = False
except ProcessLookupError:
    gone = True
left = len(errands.State.errands)
bpy.context.scene.video_to_pose.video = sys.argv[2]
clip.look(bpy.context)
another = errands.State.errands[0].worker.pid
addon.unregister()
try:
    os.kill(another, 0)
    killed = False
except ProcessLookupError:
    killed = True
answer([running, left, gone, killed, bpy.app.timers.is_registered(errands._tick)])
""",
        engine,
        EXAMPLE,
    )
    assert got == [1, 0, True, True, False]

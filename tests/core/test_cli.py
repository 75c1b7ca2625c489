# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line as a person meets it: good clips, and every kind of bad input with one sentence and a hint."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest

from tests.films import av, set_display_matrix, write_sound, write_video
from video_to_pose import cli, settings, video
from video_to_pose.formats import bvh, take

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "wave.mp4"


def left_behind(folder: Path) -> list[str]:
    """Files and empty folders."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or not any(path.iterdir())
    )


def refused(capsys, arguments, code=2) -> str:
    assert cli.main([str(a) for a in arguments]) == code
    said = capsys.readouterr().err.strip().splitlines()
    said = [line for line in said if line.startswith(("error: ", "hint: "))]
    assert len(said) == 2, said
    assert said[0].startswith("error: ") and said[0].rstrip().endswith(".")
    assert said[1].startswith("hint: ") and len(said[1]) > 12
    return said[0]


def test_a_clip_becomes_animation_a_take_and_a_preview(detector_model, short_example, tmp_path, capsys):
    out = tmp_path / "a new folder"
    arguments = ["convert", str(short_example), "-o", str(out / "m.bvh"), "-o", str(out / "m.npz")]
    assert cli.main([*arguments, "--preview", str(out / "p.mp4"), "--height", "1.7"]) == 0
    assert "1.70 m tall" in capsys.readouterr().out
    assert left_behind(out) == ["m.bvh", "m.npz", "p.mp4"]
    found = take.load(out / "m.npz")
    assert found.motion.frame_count == 24
    assert found.provenance["video"]["name"] == short_example.name
    assert found.provenance["options"]["camera"]["height_m"] == 1.7
    assert len(bvh.read(out / "m.bvh").values) == 24
    with av.open(str(out / "p.mp4")) as container:
        assert container.streams.video[0].frames == 24


def test_json_lines_tell_progress_and_one_result(detector_model, short_example, tmp_path, capsys):
    assert cli.main(["convert", str(short_example), "-o", str(tmp_path / "m.bvh"), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all("progress" in line for line in lines[:-1])
    assert lines[-1]["result"]["outputs"] == [str(tmp_path / "m.bvh")]
    found = [line["progress"] for line in lines[:-1] if line["progress"]["stage"] == "detect"]
    assert [progress["done"] for progress in found] == list(range(1, 25))
    assert {progress["total"] for progress in found} == {24}
    seconds = lines[-1]["result"]["stage_seconds"]
    assert set(seconds) == {"load", "decode", "detect", "track", "lift", "solve", "write"}
    assert max(seconds, key=lambda stage: seconds[stage] if stage != "load" else 0.0) == "detect"


def test_the_stages_one_by_one_give_what_convert_gives(detector_model, short_example, tmp_path):
    def run(*arguments):
        assert cli.main([str(a) for a in (*arguments, "-q")]) == 0

    run("convert", short_example, "-o", tmp_path / "whole.npz")
    run("detect", short_example, "-o", tmp_path / "keypoints.npz")
    run("lift", tmp_path / "keypoints.npz", "-o", tmp_path / "parts.npz")
    run("retarget", tmp_path / "parts.npz", "-o", tmp_path / "m.bvh")
    whole, parts = take.load(tmp_path / "whole.npz"), take.load(tmp_path / "parts.npz")
    assert np.allclose(whole.motion.root, parts.motion.root, atol=1e-5)


def test_a_missing_file(capsys, tmp_path):
    error = refused(capsys, ["convert", tmp_path / "no such.mp4", "-o", tmp_path / "new" / "out" / "a.bvh"])
    assert "no such.mp4" in error and not left_behind(tmp_path)


def test_not_a_video(capsys, tmp_path):
    (tmp_path / "text.mp4").write_text("no film at all " * 100)
    assert "text.mp4" in refused(capsys, ["convert", tmp_path / "text.mp4", "-o", tmp_path / "a.bvh"])
    assert left_behind(tmp_path) == ["text.mp4"]


def test_a_file_of_no_length(capsys, tmp_path):
    (tmp_path / "empty.mp4").touch()
    assert "empty" in refused(capsys, ["convert", tmp_path / "empty.mp4", "-o", tmp_path / "a.bvh"])
    assert left_behind(tmp_path) == ["empty.mp4"]


def test_a_truncated_file(capsys, tmp_path):
    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    refused(capsys, ["convert", tmp_path / "cut.mp4", "-o", tmp_path / "a.bvh"])
    assert left_behind(tmp_path) == ["cut.mp4", "whole.mp4"]


def test_sound_alone(capsys, tmp_path):
    write_sound(tmp_path / "song.mp4")
    refused(capsys, ["convert", tmp_path / "song.mp4", "-o", tmp_path / "a.bvh"])
    assert left_behind(tmp_path) == ["song.mp4"]


def test_nobody_in_any_frame(detector_model, capsys, tmp_path):
    write_video(tmp_path / "empty room.mp4", size=(160, 120))
    refused(capsys, ["convert", tmp_path / "empty room.mp4", "-o", tmp_path / "a.bvh"])
    assert left_behind(tmp_path) == ["empty room.mp4"]


def test_a_single_frame(detector_model, capsys, tmp_path):
    write_video(tmp_path / "still.mp4", stamps=[0], size=(160, 120))
    refused(capsys, ["convert", tmp_path / "still.mp4", "-o", tmp_path / "a.bvh"])
    assert left_behind(tmp_path) == ["still.mp4"]


def reshoot(source: Path, target: Path, size: tuple[int, int], turn: int = 0, stamps=None, pix_fmt="yuv420p") -> Path:
    """The example again in another size, on its side, or with other presentation times (in 1/30 s)."""
    from fractions import Fraction

    with av.open(str(source)) as clip, av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = Fraction(1, 3000)
        for i, frame in enumerate(clip.decode(video=0)):
            if stamps is not None and i >= len(stamps):
                break
            upright = (size[1], size[0]) if turn % 2 else size
            rgb = frame.reformat(width=upright[0], height=upright[1], format="rgb24").to_ndarray()
            new = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(rgb, turn)), format="rgb24")
            new.pts, new.time_base = round(100 * (stamps[i] if stamps is not None else i)), Fraction(1, 3000)
            container.mux(stream.encode(new))
        container.mux(stream.encode())
    return target


def converted(path: Path, out: Path):
    assert cli.main(["convert", str(path), "-o", str(out), "-q"]) == 0
    return take.load(out)


def test_odd_sizes_work(detector_model, short_example, tmp_path):
    odd = reshoot(short_example, tmp_path / "odd.mp4", (481, 271), pix_fmt="yuv444p")
    found = converted(odd, tmp_path / "a.npz")
    assert found.track.image_size == (481, 271) and found.motion.frame_count == 24


def test_a_phones_turned_video_is_upright(detector_model, short_example, tmp_path):
    turned = reshoot(short_example, tmp_path / "phone.mp4", (360, 640), turn=1)
    set_display_matrix(turned, 0, 1, -1, 0)
    found = converted(turned, tmp_path / "a.npz")
    assert found.track.image_size == (640, 360)
    plain = converted(short_example, tmp_path / "b.npz")
    assert np.median(np.abs(found.track.positions - plain.track.positions)) < 4


def test_a_variable_frame_rate_keeps_true_time(detector_model, short_example, tmp_path):
    stamps = np.cumsum([1, 1, 2] * 8) - 1  # every third frame lasts twice as long
    found = converted(reshoot(short_example, tmp_path / "vfr.mp4", (640, 360), stamps=stamps), tmp_path / "a.npz")
    times = found.motion.timestamps
    assert times[-1] - times[0] == pytest.approx((stamps[-1] - stamps[0]) / 30, abs=0.05)
    assert np.allclose(np.diff(times), np.diff(times)[0])


def test_a_video_is_never_written_over(capsys, tmp_path):
    clip = write_video(tmp_path / "clip.mp4")
    before = clip.read_bytes()
    (tmp_path / "other name.mp4").symlink_to(clip)
    for name in ("clip.mp4", "other name.mp4"):
        error = refused(capsys, ["convert", clip, "-o", tmp_path / "a.npz", "--preview", tmp_path / name])
        assert "written over" in error
    assert clip.read_bytes() == before and left_behind(tmp_path) == ["clip.mp4", "other name.mp4"]


def test_a_result_is_not_written_twice(capsys, tmp_path):
    clip = write_video(tmp_path / "clip.mp4")
    assert "twice" in refused(capsys, ["convert", clip, "-o", tmp_path / "a.npz", "-o", f"{tmp_path}/./a.npz"])


@pytest.mark.parametrize(
    "options",
    [
        ("--height", "-1"),
        ("--height", "nan"),
        ("--fov", "200"),
        ("--assumed-fov", "0"),
        ("--max-people", "0"),
        ("--min-score", "7"),
        ("--smoothing", "-3"),
        ("--max-gap", "-1"),
        ("--start", "-1"),
        ("--variant", "huge"),
        ("--detector", "nosuch"),
        ("--lifter", "nosuch"),
        ("--device", "nosuch"),
        ("--lifter-model", "nosuch.onnx"),
        ("--blender", "/no/such/blender"),
    ],
    ids=" ".join,
)
def test_options_that_cannot_be_are_refused_before_the_long_work(capsys, monkeypatch, tmp_path, options):
    def long_work(*_):
        pytest.fail("frames were read")

    monkeypatch.setattr(video, "read_frames", long_work)
    out = tmp_path / ("a.fbx" if "--blender" in options else "a.bvh")
    refused(capsys, ["convert", EXAMPLE, "-o", out, *options])
    assert not left_behind(tmp_path)


def test_a_part_with_nothing_in_it(detector_model, capsys, tmp_path):
    for part in (("--start", "2", "--end", "1"), ("--start", "500")):
        refused(capsys, ["convert", EXAMPLE, "-o", tmp_path / "a.bvh", *part])
    assert not left_behind(tmp_path)


def test_a_fault_is_told_in_words_and_in_full_with_debug(capsys, monkeypatch, tmp_path):
    def break_down(*_):
        raise ZeroDivisionError("out of luck")

    monkeypatch.setattr(video, "probe", break_down)
    error = refused(capsys, ["convert", EXAMPLE, "-o", tmp_path / "a.bvh"], code=1)
    assert "ZeroDivisionError: out of luck" in error
    assert cli.main(["convert", str(EXAMPLE), "-o", str(tmp_path / "a.bvh"), "--debug"]) == 1
    assert "in break_down" in capsys.readouterr().err


def test_no_permission_to_write_is_said_before_the_long_work(capsys, tmp_path):
    (tmp_path / "file").touch()
    began = time.monotonic()
    error = refused(capsys, ["convert", EXAMPLE, "-o", tmp_path / "file" / "a.bvh"])
    assert "a.bvh" in error and time.monotonic() - began < 2
    assert left_behind(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission(capsys, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    refused(capsys, ["convert", EXAMPLE, "-o", tmp_path / "locked" / "a.bvh"])


def test_an_ending_that_cannot_be_written(capsys, tmp_path):
    assert "a.xyz" in refused(capsys, ["convert", EXAMPLE, "-o", tmp_path / "a.xyz"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child")
def test_ctrl_c_halfway_leaves_nothing(detector_model, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "core"), "PYTHONUNBUFFERED": "1"}
    # a shell's background jobs, and all they start, ignore SIGINT: a person's terminal does not
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from video_to_pose.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "convert", str(EXAMPLE), "-o", str(tmp_path / "a.bvh"), "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None
    for line in child.stdout:
        if '"detect"' in line and json.loads(line)["progress"]["done"] > 5:
            break
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "error: Stopped" in said and "Traceback" not in said
    assert not left_behind(tmp_path)


def test_doctor_finds_a_working_installation(capsys):
    assert cli.main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["can_convert"]


def test_models_and_weights_are_listed(capsys):
    assert cli.main(["models"]) == 0 and cli.main(["weights", "list"]) == 0
    said = capsys.readouterr().out
    assert "default" in said and "mediapipe-pose-full" in said
    assert cli.main(["weights", "verify", "default"]) == 0


def test_an_unknown_weight_is_refused(capsys):
    refused(capsys, ["weights", "fetch", "nosuch"])


def test_what_is_damaged_is_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("VIDEO_TO_POSE_WEIGHTS", str(tmp_path))
    (tmp_path / "pose_landmarker_full.task").write_text("cut off")
    assert "mediapipe-pose-full" in refused(capsys, ["weights", "verify"])
    assert cli.main(["doctor"]) == 3
    assert "video-to-pose weights fetch mediapipe-pose-full" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("lift", "{0}/text.npz", "-o", "{0}/out/a.npz"),
        ("lift", "{0}/none.npz", "-o", "{0}/out/a.bvh"),
        ("retarget", "{0}/text.npz", "-o", "{0}/out/a.bvh"),
        ("preview", "{0}/none.npz", "--video", "{0}/none.mp4", "-o", "{0}/out/a.mp4"),
        ("detect", "{0}/none.mp4", "-o", "{0}/out/a.npz"),
        ("evaluate", "{0}"),
        ("evaluate", "{0}/none.mp4"),
        ("train", "--mocap", "{0}", "--human", "{0}", "-o", "{0}/out/a.pt"),
        ("export", "{0}/none.pt", "-o", "{0}/out/a.onnx"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_command_refuses_what_is_missing_or_no_such_thing(capsys, tmp_path, arguments):
    (tmp_path / "text.npz").write_text("nothing of the kind")
    refused(capsys, [argument.format(tmp_path) for argument in arguments])
    assert left_behind(tmp_path) == ["text.npz"]


STAGES = [
    settings.VideoSettings,
    settings.DetectSettings,
    settings.TrackSettings,
    settings.LiftSettings,
    settings.CameraSettings,
    settings.MotionSettings,
    settings.RetargetSettings,
    settings.ExportSettings,
]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_every_setting_is_an_option_with_the_same_default(stage):
    options = cli._parser().parse_args(["convert", "clip.mp4", "-o", "out.bvh"])
    assert {field for s, field in cli.STAGE_OPTIONS if s is stage} == {field.name for field in fields(stage)}
    for field in fields(stage):
        default = field.default if field.default is not MISSING else None
        assert getattr(options, cli._dest(stage, field.name)) == default
    assert isinstance(options, argparse.Namespace)

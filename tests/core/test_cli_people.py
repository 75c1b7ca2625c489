# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing a person on the command line, and converting everybody."""

import argparse
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from video_to_pose import cli, cli_people, video
from video_to_pose.formats import take as take_format
from video_to_pose.settings import CaptureSettings, TrackSettings


def settings_of(*arguments):
    return cli.capture_settings(cli._parser().parse_args(["convert", "clip.mp4", "-o", "out.bvh", *arguments])).track


def test_a_person_is_named_by_a_word_a_number_or_a_point():
    assert settings_of() == TrackSettings()
    assert settings_of("--person", "largest").person == "largest"
    assert settings_of("--person", "2").person == "2"
    assert settings_of("--at", "3.2s,640,360").at == (3.2, 640.0, 360.0)
    assert settings_of("--at", "0, 10, 20.5").at == (0.0, 10.0, 20.5)
    assert settings_of("--no-mend-sides").mend_sides is False


@pytest.mark.parametrize("text", ["", "3.2", "3.2,1", "1,2,3,4", "a,2,3", "1,2,nan", "1,2s,3"])
def test_what_is_no_point_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"3\.2s,640,360"):
        cli_people.moment(text)


def test_a_point_survives_the_way_to_the_worker_and_back():
    given = CaptureSettings(track=TrackSettings(at=(1.5, 20.0, 30.0), person="3"))
    told = given.to_dict()
    told["track"]["at"] = list(told["track"]["at"])  # as JSON has it
    assert CaptureSettings.from_dict(told) == given


def test_nonsense_and_contradictions_are_told_before_the_work(capsys, short_example, tmp_path):
    out = str(tmp_path / "a.bvh")
    assert cli.main(["convert", str(short_example), "-o", out, "--person", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err
    assert cli.main(["convert", str(short_example), "-o", out, "--all-people", "--person", "2"]) == 2
    assert "--all-people" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_outputs_are_numbered_before_their_ending():
    assert cli_people.numbered(Path("a/walk.v1.bvh"), 2) == Path("a/walk.v1.2.bvh")


@pytest.fixture
def two_people(short_example, tmp_path) -> Path:
    """The example beside itself, the left one some frames behind: two people moving alike, but not as one."""
    frames = [frame.rgb for frame in video.read_frames(short_example)]
    path = tmp_path / "two.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30))
        stream.height, stream.width = frames[0].shape[0] // 2 * 2, 2 * frames[0].shape[1]
        stream.pix_fmt = "yuv420p"
        for i, right in enumerate(frames):
            both = np.ascontiguousarray(np.hstack([frames[max(i - 6, 0)], right])[: stream.height])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(both, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_everybody_gets_files_of_their_own(detector_model, two_people, tmp_path, capsys):
    assert cli.main(["convert", str(two_people), "-o", str(tmp_path / "out.npz"), "--all-people", "--json"]) == 0
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.1.npz", "out.2.npz"]
    takes = [take_format.load(tmp_path / f"out.{number}.npz") for number in (1, 2)]
    middles = sorted(float(np.nanmedian(take.track.positions[..., 0])) for take in takes)
    half = takes[0].track.image_size[0] / 2
    assert middles[0] < half < middles[1]
    assert [take.provenance["options"]["track"]["person"] for take in takes] == ["1", "2"]
    assert capsys.readouterr().out.count('"result"') == 2


def test_a_point_chooses_the_person_there(detector_model, two_people, tmp_path):
    info = video.probe(two_people)
    for x, name in ((info.width / 4, "left"), (3 * info.width / 4, "right")):
        out = tmp_path / f"{name}.npz"
        given = ["--at", f"0.3s,{x:g},{info.height / 2:g}", "-q"]
        assert cli.main(["convert", str(two_people), "-o", str(out), *given]) == 0
        middle = float(np.nanmedian(take_format.load(out).track.positions[..., 0]))
        assert abs(middle - x) < info.width / 8

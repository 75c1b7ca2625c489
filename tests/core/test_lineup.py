# SPDX-License-Identifier: GPL-3.0-or-later
"""What a clip is and who is in it, asked of the worker as Blender asks, with the real detector on a real file."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import EXAMPLE
from video_to_pose import lineup, pipeline, protocol, seen, video
from video_to_pose.errors import Cancelled, InputError
from video_to_pose.settings import CaptureSettings, TrackSettings, VideoSettings

CORE = Path(__file__).resolve().parents[2] / "core"
SETTINGS = CaptureSettings(video=VideoSettings(end_s=1.0))


def ask(order: protocol.Order) -> list[protocol.Message]:
    """What a worker answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "video_to_pose.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(CORE)},
    )
    process.stdin.write(protocol.encode_job(order).encode())
    process.stdin.flush()
    messages = [protocol.decode(line) for line in process.stdout]
    process.stdin.close()
    process.wait(timeout=20)
    return messages


@pytest.fixture(scope="module")
def two_people(tmp_path_factory) -> Path:
    """The example twice side by side, the right one a second ahead: two people who do not mirror each other."""
    av = pytest.importorskip("av")
    out = tmp_path_factory.mktemp("clips") / "two people é.mp4"
    pictures = [frame.rgb[::2, ::2] for frame in video.read_frames(EXAMPLE, VideoSettings(end_s=2.2))]
    with av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 1280, 360, "yuv420p"
        for early, late in zip(pictures, pictures[30:], strict=False):
            both = np.ascontiguousarray(np.concatenate([early, late], axis=1))
            target.mux(stream.encode(av.VideoFrame.from_ndarray(both, format="rgb24")))
        target.mux(stream.encode())
    return out


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("what was seen")


@pytest.fixture(scope="module")
def answered(detector_model, two_people, cache) -> list[protocol.Message]:
    return ask(protocol.Search(two_people, SETTINGS, cache))


@pytest.fixture(scope="module")
def people(answered) -> list[protocol.Person]:
    return [message for message in answered if isinstance(message, protocol.Person)]


def test_a_clip_is_told_with_a_small_picture_of_it(tmp_path):
    clip = ask(protocol.Glance(EXAMPLE, tmp_path / "picture ü.png"))[-1]
    assert isinstance(clip, protocol.Clip)
    assert (clip.width, clip.height, clip.duration_s, clip.frame_rate) == (1280, 720, 5.0, 30.0)
    assert (clip.frame_count, clip.is_variable, clip.codec) == (150, False, "h264")
    assert clip.picture.read_bytes().startswith(b"\x89PNG") and [p.name for p in tmp_path.iterdir()] == [
        clip.picture.name
    ]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("none.mp4", None, "video-missing"),
        ("text.mp4", b"no video", "video-invalid"),
        ("empty.mp4", b"", "video-empty"),
    ],
)
def test_what_is_no_clip_is_said_in_a_sentence(tmp_path, name, content, code):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    failed = ask(protocol.Glance(tmp_path / name, tmp_path / "picture.png"))[-1]
    assert isinstance(failed, protocol.Failed) and failed.code == code
    assert name in failed.message and failed.hint
    assert not (tmp_path / "picture.png").exists()


def test_everybody_is_told_with_time_score_and_portraits(answered, people):
    assert answered[-1] == protocol.Found(2)
    assert [person.number for person in people] == [1, 2]
    for person in people:
        assert person.first_s < 0.2 and person.last_s > 0.8 and 0.7 < person.seconds <= 1.05
        assert 0.5 < person.score <= 1 and not person.still and person.reflection_of == 0
        times = [time_s for time_s, _ in person.portraits]
        assert len(times) >= 4 and all(a < b for a, b in pairwise(times))
        assert all(Path(path).read_bytes().startswith(b"\x89PNG") for _, path in person.portraits)


def test_the_frames_are_counted_on_the_way(answered):
    told = [message for message in answered if isinstance(message, protocol.Progress)]
    assert list(dict.fromkeys(message.stage for message in told)) == ["load", "detect", "portraits"]
    assert [message.done for message in told if message.stage == "detect"] == list(range(1, 31))


def test_portraits_show_different_people(people):
    from PIL import Image

    def mean(person: protocol.Person) -> np.ndarray:
        return np.asarray(Image.open(person.portraits[0][1]).resize((8, 8)), float)

    assert np.abs(mean(people[0]) - mean(people[1])).max() > 20


def test_capture_afterwards_does_not_look_again(two_people, cache, people, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("looked again")

    monkeypatch.setattr(pipeline.detect, "load", refuse)
    takes = [pipeline.capture(two_people, with_person(str(person.number)), cache=cache) for person in people]
    sides = sorted(float(np.nanmean(take.track.positions[..., 0])) for take in takes)
    assert sides[0] < 640 < sides[1]


def with_person(person: str) -> CaptureSettings:
    return CaptureSettings(video=SETTINGS.video, track=TrackSettings(person=person))


def test_a_part_of_a_person_is_captured_alone(two_people, cache, people):
    take = pipeline.capture(two_people, with_person("1:0.2-0.6"), cache=cache)
    assert take.motion.timestamps[0] == pytest.approx(0.2, abs=0.04)
    assert take.motion.timestamps[-1] == pytest.approx(0.57, abs=0.04)


def test_what_was_kept_gives_the_very_same_take(detector_model, tmp_path):
    part = CaptureSettings(video=VideoSettings(end_s=0.5))
    first = pipeline.capture(EXAMPLE, part, cache=tmp_path)
    again = pipeline.capture(EXAMPLE, part, cache=tmp_path)
    np.testing.assert_array_equal(first.track.positions, again.track.positions)
    np.testing.assert_array_equal(first.motion.directions, again.motion.directions)
    assert again.provenance["detector"] == first.provenance["detector"]


def test_a_search_that_is_stopped_leaves_nothing(detector_model, tmp_path):
    def stop(progress: pipeline.Progress) -> None:
        if progress.done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        lineup.line_up(EXAMPLE, SETTINGS, tmp_path, stop)
    assert list(tmp_path.iterdir()) == []


def test_settings_that_cannot_be_are_refused_before_the_work(tmp_path):
    with pytest.raises(InputError, match="is empty"):
        lineup.line_up(EXAMPLE, CaptureSettings(video=VideoSettings(3.0, 2.0)), tmp_path)
    assert seen.load(tmp_path) is None

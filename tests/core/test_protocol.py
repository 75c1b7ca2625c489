# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes over the line comes out the same, and what is no message is refused."""

import json
from pathlib import Path

import pytest

from video_to_pose import protocol
from video_to_pose.settings import CameraSettings, CaptureSettings, DetectSettings, LiveSettings, VideoSettings

MESSAGES = [
    protocol.Hello("0.1.0", "3.11.2"),
    protocol.Progress("detect", 3, 150),
    protocol.Progress("detect", 3, None),
    protocol.Warning("Die Füße sind selten zu sehen.\nZweite Zeile"),
    protocol.Result(Path("/tmp/take of žofie 動画.npz")),
    protocol.Failed("The file x does not exist.", "Check the path.", "video-missing"),
    protocol.Failed("It stopped.", "Report it.", "fault", "Traceback\n  …"),
    protocol.Cancelled(),
    protocol.Clip(1920, 1080, 12.5, 375, 30.0, False, "h264", Path("picture ü.png")),
    protocol.Person(2, 0.5, 3.25, 2.5, 0.9, True, 1, ((1.0, "a.png"), (2.5, "ü.png"))),
    protocol.Found(2),
    protocol.Actor("body22", ("pelvis", "spine"), (-1, 0), 0.067),
    protocol.Pose(1.5, protocol.packed([0.0, 1.0], [0.25]), True, 0.12, 29.9, 3),
    protocol.Recorded(Path("take ü.npz")),
    protocol.Followed(12),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_one_ascii_line_and_comes_back_equal(message):
    line = protocol.encode(message)
    assert line.endswith("\n") and line.count("\n") == 1 and line.isascii()
    assert protocol.decode(line) == message
    assert protocol.decode(line.encode("ascii")) == message


def test_a_job_comes_back_equal_with_all_its_settings():
    settings = CaptureSettings(
        video=VideoSettings(1.5, 4.0),
        detect=DetectSettings(variant="heavy", model_path=Path("/models/pose ü.task")),
        camera=CameraSettings(fov_degrees=50.0, height_m=1.8),
    )
    job = protocol.Job(Path("clip with spaces ě.mp4"), settings, Path("out.npz"))
    line = protocol.encode_job(job)
    assert line.isascii() and line.count("\n") == 1
    assert protocol.decode_job(line) == job


@pytest.mark.parametrize(
    "job",
    [
        protocol.Job(Path("a.mp4"), CaptureSettings(), Path("a.npz"), Path("kept é")),
        protocol.Glance(Path("a.mp4"), Path("a.png")),
        protocol.Search(Path("a.mp4"), CaptureSettings(detect=DetectSettings(variant="lite")), Path("kept")),
        protocol.Follow("camera", "0", CaptureSettings(), LiveSettings(delay_frames=4)),
    ],
    ids=lambda job: type(job).__name__,
)
def test_every_kind_of_job_comes_back_equal(job):
    assert protocol.decode_job(protocol.encode_job(job)) == job


def test_settings_left_out_of_a_job_take_their_defaults():
    line = json.dumps({"video": "a.mp4", "take": "a.npz", "settings": {"camera": {"height_m": 1.6}}})
    assert protocol.decode_job(line).settings == CaptureSettings(camera=CameraSettings(height_m=1.6))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("W0000 a native library prints", "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"type": "applause"}', "unknown message type"),
        ('{"type": ["hello"]}', "unknown message type"),
        ('{"type": "progress", "stage": "detect", "done": 1}', "fields"),
        ('{"type": "progress", "stage": "detect", "done": "1", "total": 2}', "done"),
        ('{"type": "progress", "stage": "detect", "done": true, "total": 2}', "done"),
        ('{"type": "failed", "message": null, "hint": "", "code": "", "details": ""}', "message"),
        ('{"type": "cancelled", "why": "boredom"}', "fields"),
        ('{"type": "found", "people": 1.5}', "people"),
    ],
)
def test_what_is_no_message_is_refused_with_the_reason(line, reason):
    with pytest.raises(ValueError, match=reason):
        protocol.decode(line)


@pytest.mark.parametrize(
    "job",
    [
        {"video": "a.mp4", "take": "a.npz"},
        {"do": "dance", "video": "a.mp4"},
        {"do": "glance", "video": "a.mp4", "take": "a.npz"},
        {"video": 3, "take": "a.npz", "settings": {}},
        {"video": "a.mp4", "take": "a.npz", "settings": {"sorcery": {}}},
        {"video": "a.mp4", "take": "a.npz", "settings": {"camera": {"brand": "Leica"}}},
    ],
)
def test_what_is_no_job_is_refused(job):
    with pytest.raises(ValueError):
        protocol.decode_job(json.dumps(job))


def test_only_a_cancel_line_cancels():
    assert protocol.is_cancel(protocol.CANCEL_LINE)
    assert not protocol.is_cancel('{"cancel": false}')
    assert not protocol.is_cancel("cancel")
    assert not protocol.is_cancel("[]")


def test_numbers_come_back_as_parts_and_what_is_not_finite_or_not_all_is_refused():
    text = protocol.packed([0.5, -1.0, 2.0], [], [1e-3])
    assert text.isascii()
    assert protocol.unpacked(text, 3, 0, 1) == [[0.5, -1.0, 2.0], [], [pytest.approx(1e-3)]]
    for wrong, counts in ((text, (3, 2)), (text[:-4], (3, 1)), ("?", (4,)), (protocol.packed([float("nan")]), (1,))):
        with pytest.raises(ValueError):
            protocol.unpacked(wrong, *counts)


@pytest.mark.parametrize("take", [Path("takes of ü/a.npz"), None])
def test_asking_to_record_comes_back_equal_and_is_no_cancel(take):
    line = protocol.encode_record(take)
    assert protocol.decode_record(line) == take and not protocol.is_cancel(line)
    with pytest.raises(ValueError):
        protocol.decode_record(protocol.CANCEL_LINE)


def test_a_source_that_there_is_not_is_refused():
    line = protocol.encode_job(protocol.Follow("camera", "0", CaptureSettings(), LiveSettings()))
    with pytest.raises(ValueError, match="source"):
        protocol.decode_job(line.replace('"camera"', '"telepathy"'))

# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages in order: what a capture holds, tells on its way, and how it stops."""

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from video_to_pose import bones, motion, pipeline, review, summary, video
from video_to_pose.errors import Cancelled, InputError
from video_to_pose.settings import CaptureSettings, DetectSettings, LiftSettings, MotionSettings, VideoSettings
from video_to_pose.types import Take

ONE_PERSON = CaptureSettings(detect=DetectSettings(max_people=1))


@pytest.fixture(scope="module")
def told() -> list[pipeline.Progress]:
    return []


@pytest.fixture(scope="module")
def captured(detector_model, short_example, told) -> Take:
    return pipeline.capture(short_example, ONE_PERSON, told.append)


def test_a_take_says_how_it_was_made(captured, short_example, detector_model):
    made = captured.provenance
    assert made["video"]["name"] == short_example.name
    assert made["video"]["sha256"] == hashlib.sha256(short_example.read_bytes()).hexdigest()
    assert made["detector"] == {
        "id": "mediapipe",
        "variant": "full",
        "model": detector_model.name,
        "sha256": hashlib.sha256(detector_model.read_bytes()).hexdigest(),
    }
    assert made["lifter"]["id"] == "default" and len(made["lifter"]["sha256"]) == 64
    assert {"video-to-pose", "numpy", "onnxruntime", "mediapipe", "av"} <= set(made["versions"])
    assert CaptureSettings.from_dict(made["options"]) == ONE_PERSON


def test_every_stage_is_timed(captured):
    seconds = captured.provenance["seconds"]
    assert list(seconds) == ["load", "decode", "detect", "track", "lift", "solve"]
    assert all(value >= 0 for value in seconds.values())
    assert max(seconds, key=lambda stage: seconds[stage] if stage != "load" else 0.0) == "detect"


def test_a_capture_moves_a_person_whose_bones_never_stretch(captured):
    motion = captured.motion
    joints = bones.compose(motion.skeleton, motion.directions, motion.lengths, motion.root)
    lengths = np.linalg.norm(
        joints[:, motion.skeleton.bone_children] - joints[:, motion.skeleton.bone_parents], axis=-1
    )
    assert np.ptp(lengths, axis=0).max() < 1e-5
    assert summary.describe(captured)["height_m"] == pytest.approx(1.7, abs=0.2)
    assert joints[..., 2].min() > -0.1


def test_progress_counts_every_frame_and_names_every_stage(captured, told):
    stages = list(dict.fromkeys(progress.stage for progress in told))
    assert stages == ["load", "detect", "lift", "solve"]
    assert [progress.done for progress in told if progress.stage == "detect"] == list(range(1, 25))
    assert all(progress.total is None or progress.done <= progress.total for progress in told)


def test_an_error_out_of_the_report_stops_at_once_and_leaves_no_thread(detector_model, short_example):
    def stop(progress: pipeline.Progress) -> None:
        if progress.stage == "detect" and progress.done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        pipeline.capture(short_example, ONE_PERSON, stop)
    assert not [thread for thread in threading.enumerate() if thread.name == "video-decode"]


def test_a_part_of_a_clip_knows_its_number_of_frames(short_example):
    info = video.probe(short_example)
    assert pipeline.expected_frames(info, VideoSettings()) == 24
    assert pipeline.expected_frames(info, VideoSettings(start_s=0.2, end_s=0.6)) == 12
    assert pipeline.expected_frames(info, VideoSettings(start_s=0.4, end_s=100)) == 12
    assert pipeline.expected_frames(info, VideoSettings(start_s=7)) == 1


def test_a_lifter_of_ones_own_is_named_by_its_file(captured, tmp_path):
    from video_to_pose import lift

    own = tmp_path / "my lifter.onnx"
    own.write_bytes(lift.LIFTERS["default"].path.read_bytes())
    settings = replace(ONE_PERSON, lift=LiftSettings(model_path=own))
    take = pipeline.lift_and_solve(captured.track, lift.load(settings.lift), settings)
    assert take.provenance["lifter"]["id"] == "my lifter.onnx"
    assert np.allclose(take.motion.root, captured.motion.root, atol=1e-5)


def test_a_number_that_cannot_be_is_named_with_what_it_may_be():
    settings = CaptureSettings(motion=MotionSettings(smoothing_cutoff_hz=-2))
    with pytest.raises(InputError, match="smoothing cut-off of -2") as raised:
        pipeline.check_settings(settings)
    assert raised.value.hint == "Give 0 or more hertz."


def test_every_setting_that_is_checked_exists_and_its_default_passes():
    pipeline.check_settings(CaptureSettings())
    for place in pipeline._POSSIBLE:
        stage, field = place.split(".")
        assert hasattr(getattr(CaptureSettings(), stage), field)


def test_seconds_of_low_confidence_are_named(captured):
    confidence = np.ones_like(captured.motion.confidence)
    confidence[6:15] = 0.1
    confidence[20] = 0.1  # too short to bother a person with
    dim = replace(captured, motion=replace(captured.motion, confidence=confidence))
    times = captured.motion.timestamps
    assert review.confidence_spans(captured) == []
    assert review.confidence_spans(dim) == [(times[6], times[14])]


def test_the_lens_is_the_one_that_is_given_or_that_the_file_tells_or_a_usual_one(short_example, captured):
    plain = video.probe(short_example)
    telephone = replace(plain, fov_degrees=72.0)
    given = replace(CaptureSettings(), camera=replace(CaptureSettings().camera, fov_degrees=50.0))

    def angle(settings, info):
        focal, _ = motion.intrinsics((1000, 500), pipeline._through_its_lens(settings, info).camera)
        return 2 * np.degrees(np.arctan(500 / focal))

    assert angle(CaptureSettings(), plain) == pytest.approx(60)
    assert angle(CaptureSettings(), telephone) == pytest.approx(72)
    assert angle(given, telephone) == pytest.approx(50)
    assert captured.provenance["camera"]["fov_from"] == "assumption"


def test_a_missing_video_is_told_before_anything_is_loaded(tmp_path):
    with pytest.raises(InputError, match="nosuch"):
        pipeline.capture(Path(tmp_path / "nosuch.mp4"), ONE_PERSON)

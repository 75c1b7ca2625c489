# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from video_to_pose import detect, video, weights
from video_to_pose.errors import InputError, SetupError
from video_to_pose.settings import DetectSettings, VideoSettings
from video_to_pose.skeleton import MEDIAPIPE_33

pytest.importorskip("mediapipe")

ROOT = Path(__file__).parents[3]
CLIPS = [path for path in (ROOT / "examples" / "walk.mp4", ROOT / "../shared/clips/street_walk.mp4") if path.is_file()]


@pytest.fixture(scope="module")
def model():
    try:
        return weights.find("mediapipe-pose-full") or weights.fetch("mediapipe-pose-full")
    except SetupError as error:
        pytest.skip(error.message)


@pytest.fixture(scope="module")
def frames():
    """Six frames with a person in the picture."""
    if not CLIPS:
        pytest.skip("no clip with a person here")
    return list(islice(video.read_frames(CLIPS[0], VideoSettings(start_s=3.0)), 6))


def detect_all(frames, **settings):
    with detect.load(DetectSettings(**settings)) as detector:
        return [detector(frame) for frame in frames]


def test_the_person_is_found_in_every_frame(model, frames):
    for people in detect_all(frames):
        assert people
        for person in people:
            assert person.names == MEDIAPIPE_33
            assert person.positions.shape == (33, 2)
            assert person.scores.shape == (33,)
            assert person.scores.min() >= 0
            assert person.scores.max() <= 1
            assert person.world_landmarks.shape == (33, 3)
        best = max(people, key=lambda person: person.scores.mean())
        assert best.scores.mean() > 0.5
        height, width = frames[0].rgb.shape[:2]
        inside = (best.positions >= 0).all(axis=1) & (best.positions < (width, height)).all(axis=1)
        assert inside.mean() > 0.8
        head, feet = best.positions[0, 1], best.positions[[27, 28], 1].mean()
        assert feet - head > 0.15 * height, "pixels, y down"


def test_rows_with_padding_change_nothing(model, frames):
    padded = []
    for frame in frames:
        height, width = frame.rgb.shape[:2]
        wider = np.zeros((height, width + 7, 3), np.uint8)
        wider[:, :width] = frame.rgb
        padded.append(replace(frame, rgb=wider[:, :width]))
    for people, same in zip(detect_all(frames), detect_all(padded), strict=True):
        assert len(people) == len(same) > 0
        np.testing.assert_array_equal(people[0].positions, same[0].positions)


def test_frames_closer_than_a_millisecond_are_taken(model, frames):
    crowded = [replace(frame, time_s=1.0 + 1e-4 * i) for i, frame in enumerate(frames)]
    assert all(detect_all(crowded))


def test_nobody_is_found_in_an_empty_picture(model):
    grey = np.full((120, 160, 3), 128, np.uint8)
    assert detect_all([video.Frame(i, i / 30, grey) for i in range(3)]) == [[], [], []]


def test_startup_leaves_stderr_clean(model, capfd):
    detect_all([video.Frame(0, 0.0, np.zeros((64, 64, 3), np.uint8))])
    assert capfd.readouterr().err == ""


def test_a_model_of_the_users_own_that_is_no_model(tmp_path):
    with pytest.raises(InputError) as caught:
        detect.load(DetectSettings(model_path=tmp_path / "none.task"))
    assert caught.value.code == "model-missing"
    (tmp_path / "noise.task").write_bytes(b"noise")
    with pytest.raises(SetupError) as caught:
        detect.load(DetectSettings(model_path=tmp_path / "noise.task"))
    assert caught.value.code == "model-damaged"


@pytest.mark.parametrize("settings", [DetectSettings(detector="magic"), DetectSettings(variant="huge")])
def test_unknown_choices_are_the_users_error(settings):
    with pytest.raises(InputError) as caught:
        detect.load(settings)
    assert caught.value.hint.startswith("Choose one of")

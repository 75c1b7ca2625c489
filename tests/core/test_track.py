# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims about people over time, on synthetic people."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from video_to_pose import track
from video_to_pose.errors import InputError, SetupError
from video_to_pose.settings import DetectSettings, TrackSettings

SIZE = (1280, 720)
NAMES = ("nose", *(f"{s}_{p}" for s in ("left", "right") for p in ("shoulder", "hip", "knee", "ankle", "wrist")))
SHAPE = np.array(  # a standing person one unit tall
    [
        [0, 0],
        *([0.1, 0.2], [0.08, 0.5], [0.1, 0.75], [0.1, 1.0], [0.2, 0.5]),
        *([-0.1, 0.2], [-0.08, 0.5], [-0.1, 0.75], [-0.1, 1.0], [-0.2, 0.5]),
    ]
)


def person(x, y=100.0, height=300.0, score=0.9):
    positions = (SHAPE * height + (x, y)).astype(np.float32)
    return SimpleNamespace(names=NAMES, positions=positions, scores=np.full(len(NAMES), score, np.float32))


def even(count, rate=30.0):
    return np.arange(count) / rate


def nose_x(result):
    return result.positions[:, 0, 0]


def test_a_person_in_every_frame_is_taken_as_found():
    walker = [[person(100 + 5 * i)] for i in range(20)]
    result = track.make_track(even(20), walker, SIZE)
    assert result.names == NAMES
    assert result.image_size == SIZE
    np.testing.assert_allclose(result.timestamps, even(20), atol=1e-9)
    np.testing.assert_allclose(nose_x(result), 100 + 5 * np.arange(20))
    assert np.all(result.scores == np.float32(0.9))


def test_frames_before_and_after_the_person_are_left_out():
    frames = [[]] * 7 + [[person(100 + 5 * i)] for i in range(10)] + [[]] * 5
    result = track.make_track(even(22), frames, SIZE)
    assert result.frame_count == 10
    np.testing.assert_allclose(result.timestamps, even(22)[7:17], atol=1e-9)


def test_the_order_of_detections_does_not_matter():
    def frame(i):
        people = [person(100 + 5 * i), person(900 - 5 * i, height=200)]
        return people[::-1] if i % 3 else people

    result = track.make_track(even(30), [frame(i) for i in range(30)], SIZE)
    np.testing.assert_allclose(nose_x(result), 100 + 5 * np.arange(30))


def test_the_nearer_person_is_chosen_though_others_are_there_longer():
    def frame(i):
        far = [person(900, height=200)]
        return [*far, person(100 + 5 * i, height=320)] if 10 <= i < 50 else far

    result = track.make_track(even(60), [frame(i) for i in range(60)], SIZE)
    assert nose_x(result).max() < 400


def test_somebody_passing_close_for_a_moment_is_not_chosen():
    def frame(i):
        subject = [person(600, height=300)]
        return [*subject, person(20 * i, height=450)] if 20 <= i < 28 else subject

    result = track.make_track(even(120), [frame(i) for i in range(120)], SIZE)
    np.testing.assert_allclose(nose_x(result), 600)


def test_raised_arms_make_nobody_nearer():
    up = person(900, height=290)
    up.positions[[5, 10], 1] -= 400
    frames = [[person(200, height=300), up]] * 10
    np.testing.assert_allclose(nose_x(track.make_track(even(10), frames, SIZE)), 200)


def test_a_jump_onto_a_bystander_is_rejected():
    frames = [[person(100 + 5 * i)] for i in range(20)]
    frames[9] = [person(800)]  # the detector took somebody else
    result = track.make_track(even(20), frames, SIZE)
    np.testing.assert_allclose(nose_x(result), 100 + 5 * np.arange(20), atol=1e-3)
    assert result.scores[9].max() < result.scores[8].min()


def test_one_person_found_twice_is_one_person():
    frames = [[person(100 + 5 * i), person(103 + 5 * i, score=0.6)] for i in range(10)]
    assert len(track.find_people(even(10), frames, SIZE)) == 1
    np.testing.assert_allclose(nose_x(track.make_track(even(10), frames, SIZE)), 100 + 5 * np.arange(10))


def test_a_short_gap_is_interpolated_with_low_score():
    frames = [[person(100 + 5 * i)] if not 5 <= i < 10 else [] for i in range(20)]
    result = track.make_track(even(20), frames, SIZE)
    np.testing.assert_allclose(nose_x(result), 100 + 5 * np.arange(20), atol=1e-3)
    assert np.all((result.scores[5:10] > 0) & (result.scores[5:10] < 0.5))


def test_a_long_gap_stays_missing():
    frames = [[person(100)] if not 5 <= i < 30 else [] for i in range(40)]
    result = track.make_track(even(40), frames, SIZE, TrackSettings(max_gap_s=0.5))
    assert result.frame_count == 40
    assert np.isnan(result.positions[5:30]).all()
    assert np.all(result.scores[5:30] == 0)
    assert np.isfinite(result.positions[:5]).all()


def test_a_variable_frame_rate_becomes_even_at_the_usual_rate():
    times = np.delete(even(60), [7, 20, 21, 40])
    frames = [[person(100 + 150 * time)] for time in times]
    result = track.make_track(times, frames, SIZE)
    assert result.frame_count == 60
    np.testing.assert_allclose(np.diff(result.timestamps), 1 / 30, atol=1e-9)
    np.testing.assert_allclose(nose_x(result), 100 + 150 * even(60), atol=1e-2)


def test_resampled_scores_are_the_lower_neighbours():
    times = np.array([0.0, 0.1, 0.2, 0.35, 0.45, 0.55])
    scores = np.array([[0.9], [0.8], [0.3], [0.9], [0.9], [0.9]])
    even_times, _, even_scores = track.resample_evenly(times, np.zeros((6, 1, 2)), scores, 0.5)
    np.testing.assert_allclose(even_times, np.arange(6) / 10)
    np.testing.assert_allclose(even_scores[:, 0], [0.9, 0.8, 0.3, 0.3, 0.9, 0.9])


def test_a_pause_of_the_recording_longer_than_a_gap_is_missing():
    times = np.concatenate([even(10), even(10) + 2.0])
    result = track.make_track(times, [[person(100)]] * 20, SIZE)
    assert np.isnan(result.positions[(result.timestamps > 0.34) & (result.timestamps < 1.96)]).all()


def test_times_rounded_by_the_container_are_straightened_and_values_kept():
    times = np.round(even(50, 29.97), 3)  # as Matroska stores them
    frames = [[person(100 + i)] for i in range(50)]
    result = track.make_track(times, frames, SIZE)
    np.testing.assert_allclose(result.timestamps, even(50, 29.97), atol=1e-3)
    assert np.ptp(np.diff(result.timestamps)) < 1e-9
    np.testing.assert_array_equal(nose_x(result), 100 + np.arange(50))


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([[], [], []], "no-person"),
        ([[person(100)]], "too-short"),
        ([], "too-short"),
        ([[], [person(100)], []], "too-short"),
    ],
)
def test_nothing_to_make_a_motion_from_is_one_clear_sentence(frames, code):
    with pytest.raises(InputError) as caught:
        track.make_track(even(len(frames)), frames, SIZE)
    assert caught.value.code == code
    assert caught.value.message.endswith(".")
    assert caught.value.hint


@pytest.mark.slow
def test_on_real_footage_the_walker_is_chosen_and_not_the_man_on_the_roof():
    clip = Path(__file__).parents[2] / "../shared/clips/street_walk.mp4"
    if not clip.is_file():
        pytest.skip("no street_walk.mp4 here")
    pytest.importorskip("mediapipe")
    from video_to_pose import detect, video

    times, detections = [], []
    try:
        with detect.load(DetectSettings()) as detector:
            for frame in video.read_frames(clip):
                times.append(frame.time_s)
                detections.append(detector(frame))
    except SetupError as error:
        pytest.skip(error.message)
    result = track.make_track(times, detections, (1768, 994))
    assert result.frame_count > 120
    assert result.timestamps[0] > 1.0, "nobody is on the ground at first"
    assert result.timestamps[-1] < 7.5
    hips = result.positions[:, [result.names.index("left_hip"), result.names.index("right_hip")]].mean(axis=1)
    assert np.all(hips[:, 1] > 550), "below the roof"
    assert np.all(np.diff(hips[::15, 0]) < 0), "she walks to the left"

# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered clips: their truth, and what is kept of what a detector said."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from video_to_pose.data import clips
from video_to_pose.errors import InputError
from video_to_pose.settings import CaptureSettings
from video_to_pose.types import KeypointTrack

EXAMPLE = Path(__file__).parents[3] / "examples" / "wave.mp4"


def test_truth_is_one_in_picture_and_space():
    truth = clips.load_truth(EXAMPLE)
    assert np.allclose(truth.camera.project(truth.landmarks), truth.landmarks_2d, atol=0.05)
    assert truth.up @ truth.up == pytest.approx(1, abs=1e-5) and truth.up[1] < -0.9


def test_a_joint_that_old_files_lack_is_the_landmark_at_its_place():
    truth = clips.load_truth(EXAMPLE)
    heel = truth.point("left_heel")
    near = np.linalg.norm(heel - truth.landmarks[:, truth.landmark_names.index("left_heel")], axis=-1)
    assert near.max() < 0.01
    knuckle = truth.landmarks[:, truth.landmark_names.index("right_pinky")]
    assert truth.has("right_little") and np.linalg.norm(truth.point("right_little") - knuckle, axis=-1).max() < 0.01
    assert not truth.has("tail")


def test_truth_is_taken_at_the_nearest_frames():
    truth = clips.load_truth(EXAMPLE)
    some = truth.at(truth.timestamps[[3, 5]] + 0.004)
    assert np.array_equal(some.joints, truth.joints[[3, 5]]) and np.array_equal(
        some.timestamps, truth.timestamps[[3, 5]]
    )


def test_what_is_no_truth_is_refused(tmp_path):
    np.savez(tmp_path / "clip.npz", timestamps=np.zeros(3))
    for name in ("clip.mp4", "none.mp4"):
        with pytest.raises(InputError) as refused:
            clips.load_truth(tmp_path / name)
        assert refused.value.code == "truth-unreadable"


def test_a_clip_is_watched_once(tmp_path, monkeypatch):
    video, settings, cache = tmp_path / "walk.mp4", CaptureSettings(), tmp_path / "a" / "cache"
    shutil.copy(EXAMPLE, video)
    names = ("nose", "left_hip")
    person = KeypointTrack(np.array([0.0, 0.1]), names, np.ones((2, 2, 2)), np.ones((2, 2)), (64, 48))
    seen = clips.Watched("walk", person, np.array([[[1.0, 2, 3]] * 2, [[np.nan] * 3] * 2]))
    times = []
    monkeypatch.setattr(clips, "_watch", lambda *_: times.append(1) or seen)
    first, again = clips.watch(video, settings, cache), clips.watch(video, settings, cache)
    assert len(times) == 1 and again.name == "walk"
    assert np.array_equal(first.world, again.world, equal_nan=True)
    assert again.track.names == names and again.track.image_size == (64, 48)
    (kept,) = cache.iterdir()
    kept.write_bytes(b"damaged")
    clips.watch(video, settings, cache)
    assert len(times) == 2

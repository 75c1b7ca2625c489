# SPDX-License-Identifier: GPL-3.0-or-later
"""The tool that measures a detector takes whole truths only and says what it found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tools import measure_detector
from video_to_pose.data.detector_errors import KINDS, load_errors
from video_to_pose.data.detector_fit import Observed
from video_to_pose.errors import InputError
from video_to_pose.lift.normalize import LIFTER_KEYPOINTS
from video_to_pose.settings import CaptureSettings

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "wave.mp4"


def test_a_truth_without_some_landmark_is_refused_by_name(tmp_path):
    with np.load(EXAMPLE.with_suffix(".npz")) as whole:
        truth = dict(whole)
    thumbless = ~np.char.endswith(truth["landmark_names"], "thumb")
    for name in ("landmarks_camera", "landmarks_2d"):
        truth[name] = truth[name][:, thumbless]
    truth["landmark_names"] = truth["landmark_names"][thumbless]
    np.savez(tmp_path / "old.npz", **truth)
    with pytest.raises(InputError, match=r"old\.mp4 lacks left_thumb, right_thumb"):
        measure_detector.observe(tmp_path / "old.mp4", CaptureSettings(), None)


def test_the_summary_sets_measured_beside_drawn():
    rng = np.random.default_rng(0)
    pixels = rng.normal(0, 60, (1, len(LIFTER_KEYPOINTS), 2)).repeat(40, axis=0)
    size = np.sqrt(np.mean(np.sum((pixels[0] - pixels[0].mean(axis=0)) ** 2, axis=-1)))
    points = np.concatenate([pixels * 4 / 500, np.full((*pixels.shape[:2], 1), 4.0)], axis=-1)
    found = pixels + [0.1 * size, 0.0]
    clip = Observed(pixels, points, np.array([320, 240]), found, np.full(pixels.shape[:2], 0.75), 30.0)
    lines = measure_detector.summary([clip], load_errors()).splitlines()
    assert lines[0] == "1 clips, 40 frames"
    assert [line.split()[0] for line in lines[2 : 2 + len(KINDS)]] == list(KINDS)
    assert lines[2].split()[1:4] == ["10.0", "/", "10.0"]
    assert "score 0.75" in lines[2]

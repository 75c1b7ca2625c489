# SPDX-License-Identifier: GPL-3.0-or-later
"""True pairs: what the detector said of the example clip against its exact truth."""

from pathlib import Path

import numpy as np
import pytest

from video_to_pose import weights
from video_to_pose.data import rendered
from video_to_pose.errors import SetupError
from video_to_pose.settings import CaptureSettings
from video_to_pose.skeleton import BODY_32

EXAMPLE = Path(__file__).parents[3] / "examples" / "wave.mp4"


@pytest.fixture(scope="module")
def detected() -> rendered.Detected:
    try:
        weights.fetch("mediapipe-pose-full")
    except SetupError as error:
        pytest.skip(f"no detector model: {error.message}")
    return rendered.detect_clip(EXAMPLE, CaptureSettings())


def test_the_detector_finds_the_person_in_every_frame_of_the_example(detected):
    assert detected.track.frame_count == 150
    assert np.isfinite(detected.world).all()


def test_pairs_are_samples_like_synthetic_ones(detected):
    batch = rendered.draw_pairs([detected], 6, 28, 13, np.random.default_rng(1))
    assert batch.features.shape == (6, 28, 84) and batch.joints.shape == (6, 2, 32, 3)
    assert np.isfinite(batch.features).all()
    # the true pose, projected with its own view, lies under what the detector said
    shoulders = [BODY_32.index("left_shoulder"), BODY_32.index("right_shoulder")]
    across_true = batch.joints[:, :, shoulders[0], 0] - batch.joints[:, :, shoulders[1], 0]
    left, right = (batch.features[:, 13:15, 3 * k] for k in (5, 6))
    assert np.mean(np.sign(across_true) == np.sign(left - right)) > 0.95
    assert np.allclose(np.linalg.norm(batch.up, axis=-1), 1, atol=1e-4)

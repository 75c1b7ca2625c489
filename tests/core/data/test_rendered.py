# SPDX-License-Identifier: GPL-3.0-or-later
"""True pairs: what the detector said of the example clip against its exact truth."""

from pathlib import Path

import numpy as np
import pytest

from video_to_pose import lift, weights
from video_to_pose.data import rendered
from video_to_pose.errors import SetupError
from video_to_pose.evaluation import rendered as evaluation
from video_to_pose.settings import CaptureSettings, LiftSettings
from video_to_pose.skeleton import BODY_22

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


def test_the_shipped_lifter_beats_the_detectors_own_3d_on_the_example(detected):
    result = evaluation.compare(detected, lift.load(LiftSettings()), CaptureSettings())
    for measure in ("mpjpe_mm", "p_mpjpe_mm", "acceleration_m_s2"):
        assert result["solved"][measure] < result["detector"][measure]
    assert result["solved"]["bone_std_mm"] < 0.01 < result["detector"]["bone_std_mm"]


def test_pairs_are_samples_like_synthetic_ones(detected):
    batch = rendered.draw_pairs([detected], 6, 28, np.random.default_rng(1))
    assert batch.features.shape == (6, 28, 78) and batch.joints.shape == (6, 28, 22, 3)
    assert np.isfinite(batch.features).all()
    # the true pose, projected with its own view, lies under what the detector said
    shoulders = [BODY_22.index("left_shoulder"), BODY_22.index("right_shoulder")]
    across_true = batch.joints[:, :, shoulders[0], 0] - batch.joints[:, :, shoulders[1], 0]
    left, right = (batch.features[:, :, 3 * k] for k in (5, 6))
    assert np.mean(np.sign(across_true) == np.sign(left - right)) > 0.95
    assert np.allclose(np.linalg.norm(batch.up, axis=-1), 1, atol=1e-4)

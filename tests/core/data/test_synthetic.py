# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples for training: cameras that show halves of people, detectors that err less, and none that errs at all."""

import numpy as np
import pytest

from tests.motions import LENGTHS_32, landmark_joints
from video_to_pose import bones
from video_to_pose.data import synthetic
from video_to_pose.lift.normalize import EXTRA_FEATURES
from video_to_pose.retarget.rig import rest_directions
from video_to_pose.skeleton import BODY_32


@pytest.fixture(scope="module")
def bank() -> synthetic.Bank:
    """Somebody who stands with arms spread, for two seconds."""
    joints = bones.compose(BODY_32, rest_directions(BODY_32), LENGTHS_32) + [0, 0, 1.0]
    points = np.concatenate([joints[landmark_joints()], joints]).astype(np.float32)
    return synthetic.Bank(np.broadcast_to(points, (1, 60, *points.shape)), np.array([0, 60]), 30.0)


def scores(batch: synthetic.Batch) -> np.ndarray:
    return batch.features[..., :-EXTRA_FEATURES].reshape(*batch.features.shape[:2], -1, 3)[..., 2]


def test_clean_projections_are_all_certain_and_others_are_not(bank):
    clean = synthetic.draw(bank, 32, 10, 4, np.random.default_rng(1), exact_keypoints=True)
    assert (scores(clean) == 1).all()
    assert (scores(synthetic.draw(bank, 32, 10, 4, np.random.default_rng(1))) < 1).any()


def test_a_sample_holds_the_truth_of_two_neighbouring_frames_from_the_pelvis(bank):
    batch = synthetic.draw(bank, 16, 10, 4, np.random.default_rng(2), exact_keypoints=True)
    assert batch.features.shape[:2] == (16, 10) and batch.joints.shape == (16, 2, 32, 3)
    assert not batch.joints[:, :, 0].any()
    lengths = np.linalg.norm(
        batch.joints[:, :, BODY_32.bone_children] - batch.joints[:, :, BODY_32.bone_parents], axis=-1
    )
    assert np.allclose(lengths, LENGTHS_32, atol=1e-4)
    upright = batch.joints[:, :, BODY_32.index("thorax")]
    assert (np.sum(upright * batch.up, axis=-1) > 0.9 * np.linalg.norm(upright, axis=-1)).all()


def test_some_detectors_err_less_or_not_at_all_and_some_are_sure_of_everything():
    rng = np.random.default_rng(3)
    exact = rng.normal(size=(2000, 2, 27, 2)).astype(np.float32)
    told = np.full((2000, 2, 27), 0.4, dtype=np.float32)
    told[:, :, 0] = 0
    noisy, trust = synthetic._other_detectors(exact, exact + 1, told, rng)
    error = (noisy - exact)[:, 0, 0, 0]
    assert np.mean(error == 0) == pytest.approx(0.1, abs=0.03)
    assert np.mean(np.isclose(error, 1)) == pytest.approx(0.65, abs=0.04)
    assert error.min() >= 0 and error.max() <= 1 + 1e-6
    assert np.mean(trust[:, 0, 1] == 1) == pytest.approx(0.08, abs=0.03)
    assert not trust[:, :, 0].any()  # what is not seen stays unseen


def test_some_cameras_show_somebody_to_about_the_hips():
    target = np.zeros((4000, 3), dtype=np.float32)
    R, position, focal, half_size = synthetic._cameras(target, 3, np.random.default_rng(4))
    person = np.array([[0, 0, 0.65], [0, 0, 0.35], [0, 0, -0.4], [0, 0, -0.85]], dtype=np.float32)  # head … feet
    seen = (person - position[:, None]) @ R[:, 1]
    pixels = focal[:, None, None] * seen[..., :2] / np.maximum(seen[..., 2:], 0.05)
    inside = (np.abs(pixels) < half_size[:, None]).all(axis=-1)
    halves = inside[:, 0] & inside[:, 1] & ~inside[:, 2] & ~inside[:, 3]
    assert 0.04 < halves.mean() < 0.25
    assert inside.all(axis=-1).mean() > 0.5

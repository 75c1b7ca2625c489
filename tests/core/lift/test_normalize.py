# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims: the lifter sees the same person the same way wherever the picture shows them."""

import numpy as np
import pytest

from video_to_pose.lift.normalize import (
    LIFTER_KEYPOINTS,
    feature_count,
    mirror_features,
    normalize_keypoints,
)
from video_to_pose.rotation import axis_angle_to_matrix
from video_to_pose.skeleton import mirror_indices

K = len(LIFTER_KEYPOINTS)
CENTRE = np.array([640.0, 360.0])


@pytest.fixture
def person() -> np.ndarray:
    """(5, 25, 3) points about 4 m before the camera."""
    return np.random.default_rng(3).normal(size=(5, K, 3)) * [0.3, 0.7, 0.2] + [0, 0, 4]


def project(points: np.ndarray, focal: float) -> np.ndarray:
    return focal * points[..., :2] / points[..., 2:] + CENTRE


def test_one_frame_has_three_features_a_keypoint_and_three_more(person):
    features, R = normalize_keypoints(project(person, 900), np.ones((5, K)), 900.0, CENTRE)
    assert features.shape == (5, feature_count(K)) and R.shape == (5, 3, 3)


def test_turning_the_camera_turns_only_the_view(person):
    person = person * [1, 0.5, 1]
    turn = axis_angle_to_matrix([0.6, 0.8, 0.0], 0.3)
    features, _ = normalize_keypoints(project(person, 900), np.ones((5, K)), 900.0, CENTRE)
    turned, R = normalize_keypoints(project(person @ turn.T, 900), np.ones((5, K)), 900.0, CENTRE)

    # the view is the same up to a small twist about its axis: distances within the picture agree
    def spread(f):
        xy = f[:, :-3].reshape(5, K, 3)[..., :2]
        return np.linalg.norm(xy[:, :, None] - xy[:, None], axis=-1)

    assert np.allclose(spread(features), spread(turned), atol=0.02, rtol=0.05)
    assert np.allclose(R @ np.swapaxes(R, -1, -2), np.eye(3))


def test_resolution_does_not_matter(person):
    small, _ = normalize_keypoints(project(person, 900), np.ones((5, K)), 900.0, CENTRE)
    large, _ = normalize_keypoints(3 * project(person, 900), np.ones((5, K)), 2700.0, 3 * CENTRE)
    assert np.allclose(small, large, atol=1e-5)


def test_unseen_keypoints_say_nothing(person):
    pixels, scores = project(person, 900), np.ones((5, K))
    scores[:, 7] = 0.0
    pixels_b = pixels.copy()
    pixels_b[:, 7] = np.nan
    a, _ = normalize_keypoints(pixels, scores, 900.0, CENTRE)
    b, _ = normalize_keypoints(pixels_b, scores, 900.0, CENTRE)
    assert np.array_equal(a, b)
    assert np.all(a[:, 21:24] == 0)


def test_a_frame_without_anybody_is_zero():
    features, R = normalize_keypoints(np.full((2, K, 2), np.nan), np.zeros((2, K)), 900.0, CENTRE)
    assert not features.any() and np.array_equal(R[0], np.eye(3))


def test_mirrored_features_are_the_features_of_the_mirrored_picture(person):
    mirror = mirror_indices(LIFTER_KEYPOINTS)
    scores = np.random.default_rng(0).uniform(0.2, 1, (5, K))
    features, _ = normalize_keypoints(project(person, 900), scores, 900.0, CENTRE)
    flipped = (person * [-1, 1, 1])[:, mirror]
    expected, _ = normalize_keypoints(project(flipped, 900), scores[:, mirror], 900.0, CENTRE)
    assert np.allclose(mirror_features(features, mirror), expected, atol=1e-5)

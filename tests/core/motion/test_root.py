# SPDX-License-Identifier: GPL-3.0-or-later
"""The root is where the picture says, outliers or not."""

import numpy as np
import pytest

from tests import walker
from tests.walker import SIZE, seen
from video_to_pose import bones
from video_to_pose.motion.root import root_path
from video_to_pose.skeleton import BODY_22
from video_to_pose.types import KeypointTrack


def found(view, track=None, **cutoffs):
    joints = bones.compose(BODY_22, view.pose.directions, view.pose.lengths)
    cutoffs = {"depth_cutoff_hz": 0.0, "cutoff_hz": 0.0, **cutoffs}
    return root_path(BODY_22, joints, track or view.track, view.camera.focal_px, view.camera.centre_px, **cutoffs)


def truth(view):
    return view.camera.to_camera(view.joints[:, 0])


@pytest.fixture(scope="module")
def view():
    return seen(walker.walk()[0])


def changed(view, positions=None, scores=None):
    track = view.track
    return KeypointTrack(
        track.timestamps,
        track.names,
        track.positions if positions is None else positions,
        track.scores if scores is None else scores,
        SIZE,
    )


def test_exact_keypoints_give_the_exact_root(view):
    np.testing.assert_allclose(found(view), truth(view), atol=1e-3)


def test_one_wild_keypoint_in_every_frame_hardly_moves_the_root(view):
    positions = view.track.positions.copy()
    positions[:, 3] += [250, -180]
    error = np.linalg.norm(found(view, changed(view, positions)) - truth(view), axis=-1)
    assert error.mean() < 0.08 and error.max() < 0.15  # at 5 m


def test_keypoints_that_are_missing_are_left_out(view):
    positions, scores = view.track.positions.copy(), view.track.scores.copy()
    positions[:, 5:], scores[:, 5:] = np.nan, 0
    np.testing.assert_allclose(found(view, changed(view, positions, scores)), truth(view), atol=5e-3)


def test_frames_without_keypoints_lie_between_their_neighbours(view):
    positions, scores = view.track.positions.copy(), view.track.scores.copy()
    positions[50:60], scores[50:60] = np.nan, 0
    error = np.linalg.norm(found(view, changed(view, positions, scores)) - truth(view), axis=-1)
    assert error.max() < 0.05


def test_smoothing_depth_leaves_the_person_in_place_in_the_picture(view):
    rng = np.random.default_rng(1)
    track = changed(view, view.track.positions + 4 * rng.normal(size=view.track.positions.shape))
    raw, calm = found(view, track), found(view, track, depth_cutoff_hz=1.0)
    depth_error = [np.std(path[:, 2] - truth(view)[:, 2]) for path in (raw, calm)]
    assert depth_error[1] < 0.5 * depth_error[0]
    beside = calm[:, :2] / calm[:, 2:] - truth(view)[:, :2] / truth(view)[:, 2:]
    assert np.abs(beside).max() * view.camera.focal_px < 8


def test_a_bigger_person_is_further_away(view):
    joints = bones.compose(BODY_22, view.pose.directions, view.pose.lengths)
    camera, none = view.camera, {"depth_cutoff_hz": 0.0, "cutoff_hz": 0.0}
    doubled = root_path(BODY_22, 2 * joints, view.track, camera.focal_px, camera.centre_px, **none)
    np.testing.assert_allclose(doubled, 2 * truth(view), atol=5e-3)


def test_nobody_is_behind_the_camera(view):
    rng = np.random.default_rng(2)
    noise = changed(view, rng.uniform(0, 700, view.track.positions.shape))
    assert np.all(found(view, noise)[:, 2] > 0)

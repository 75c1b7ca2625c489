# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that travel are checked at birth and frozen."""

import numpy as np
import pytest

from video_to_pose.rotation import axis_angle_to_matrix, normalize
from video_to_pose.skeleton import BODY_22
from video_to_pose.types import Camera, KeypointTrack, LiftedPose, Motion, Rig, RigAnimation, Take

FRAMES = 4
TIMES = np.arange(FRAMES) / 30.0


def track(**changes):
    values = {
        "timestamps": TIMES,
        "names": ("a", "b"),
        "positions": np.zeros((FRAMES, 2, 2)),
        "scores": np.ones((FRAMES, 2)),
        "image_size": (8, 6),
    }
    return KeypointTrack(**{**values, **changes})


def motion(**changes):
    values = {
        "skeleton": BODY_22,
        "timestamps": TIMES,
        "directions": normalize(np.ones((FRAMES, 21, 3))),
        "lengths": np.full(21, 0.3),
        "root": np.zeros((FRAMES, 3)),
        "confidence": np.ones((FRAMES, 22)),
        "contact_names": ("left_toe",),
        "contacts": np.zeros((FRAMES, 1), dtype=bool),
    }
    return Motion(**{**values, **changes})


def test_arrays_are_frozen_copies_of_the_right_kind():
    positions = np.zeros((FRAMES, 2, 2))
    made = track(positions=positions)
    positions[:] = 5
    assert made.positions.dtype == np.float32 and not made.positions.any()
    assert made.timestamps.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        made.positions[0, 0, 0] = 1
    with pytest.raises(AttributeError):
        made.positions = positions


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"positions": np.zeros((FRAMES, 3, 2))}, r"positions: expected shape \(4, 2, 2\), got \(4, 3, 2\)"),
        ({"scores": np.zeros(FRAMES)}, "scores"),
        ({"timestamps": np.zeros(FRAMES)}, "increase"),
        ({"timestamps": TIMES[::-1]}, "increase"),
        ({"positions": np.full((FRAMES, 2, 2), np.nan)}, "must have a position"),
    ],
)
def test_wrong_tracks_are_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        track(**changes)


def test_a_missing_keypoint_has_no_place_and_no_score():
    made = track(positions=np.full((FRAMES, 2, 2), np.nan), scores=np.zeros((FRAMES, 2)))
    assert made.frame_count == FRAMES


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"directions": np.ones((FRAMES, 21, 3))}, "unit vectors"),
        ({"directions": np.full((FRAMES, 21, 3), np.nan)}, "unit vectors"),
        ({"directions": normalize(np.ones((FRAMES, 22, 3)))}, "directions"),
        ({"lengths": np.zeros(21)}, "positive"),
        ({"lengths": np.full((FRAMES, 21), 0.3)}, "lengths"),
        ({"root": np.zeros((FRAMES + 1, 3))}, "root"),
        ({"confidence": np.ones((FRAMES, 21))}, "confidence"),
        ({"contacts": np.zeros((FRAMES, 4), dtype=bool)}, "contacts"),
    ],
)
def test_wrong_motions_are_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        motion(**changes)


def test_lifted_poses_are_checked_like_motions():
    with pytest.raises(ValueError, match="unit vectors"):
        LiftedPose(BODY_22, TIMES, np.ones((FRAMES, 21, 3)), np.ones(21), np.ones((FRAMES, 22)), [0, -1, 0])


def test_the_frame_rate_comes_from_the_timestamps():
    assert motion().frame_rate == pytest.approx(30)
    assert motion(timestamps=5 + TIMES * 2).frame_rate == pytest.approx(15)
    single = {"timestamps": [0.0], "directions": normalize(np.ones((1, 21, 3))), "root": np.zeros((1, 3))}
    assert motion(**single, confidence=np.ones((1, 22)), contacts=[[True]]).frame_rate == 30


def test_a_camera_goes_to_the_world_and_back_exactly():
    R = axis_angle_to_matrix(normalize([1.0, 2.0, -1.0]), 0.9)
    camera = Camera(800.0, [320, 240], (640, 480), R, [1.0, -3.0, 1.5])
    points = np.random.default_rng(0).normal(size=(7, 5, 3))
    np.testing.assert_allclose(camera.to_camera(camera.to_world(points)), points, atol=1e-6)
    np.testing.assert_allclose(camera.to_world(np.zeros(3)), camera.position)


def test_a_camera_projects_like_a_pinhole():
    camera = Camera(800.0, [320, 240], (640, 480))
    np.testing.assert_allclose(camera.project([0, 0, 2]), [320, 240])
    np.testing.assert_allclose(camera.project([[1, 0, 2], [2, 0, 4]]), [[720, 240]] * 2)
    assert camera.project([0, 1, 2])[1] > 240  # y is down


def test_a_take_needs_one_clock():
    camera = Camera(800.0, [4, 3], (8, 6))
    Take(track(), motion(), camera, {})
    with pytest.raises(ValueError, match="timestamps"):
        Take(track(timestamps=TIMES + 1), motion(), camera, {})


def test_rigs_and_their_keys_are_checked():
    rig = Rig(("hips", "leg"), (-1, 0), np.tile(np.eye(4), (2, 1, 1)), [1.0, 1.0])
    with pytest.raises(ValueError, match="before"):
        Rig(("a", "b"), (1, -1), np.tile(np.eye(4), (2, 1, 1)), [1.0, 1.0])
    with pytest.raises(ValueError, match="rotations"):
        RigAnimation(rig, TIMES, (0, 1), np.zeros((FRAMES, 1, 4)), (), np.zeros((FRAMES, 0, 3)))
    assert RigAnimation(rig, TIMES, (1,), np.zeros((FRAMES, 1, 4)), (), np.zeros((FRAMES, 0, 3))).frame_rate == 30

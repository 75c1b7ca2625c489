# SPDX-License-Identifier: GPL-3.0-or-later
"""What the picture does not show is at rest, and said to be."""

from dataclasses import replace

import numpy as np
import pytest

from tests import walker
from tests.walker import KNOWN_CAMERA
from video_to_pose import bones, motion
from video_to_pose.motion.unseen import unseen_joints
from video_to_pose.rotation import axis_angle_to_matrix
from video_to_pose.settings import MotionSettings
from video_to_pose.skeleton import BODY_22

LEGS = [j for j, name in enumerate(BODY_22.joints) if name.endswith(("knee", "ankle", "toe"))]
UPPER = [BODY_22.index(name) for name in ("thorax", "head", "nose", "left_shoulder", "right_shoulder")]


def scored(view, parts, frames=slice(None), score=0.0):
    """The view with another score for the keypoints of some parts."""
    scores = view.track.scores.copy()
    for k, name in enumerate(view.track.names):
        if name.partition("_")[2] in parts:
            scores[frames, k] = score
    return replace(view, track=replace(view.track, scores=scores))


def cut_below(view, part):
    """The view with the picture ending just above where the part ever is."""
    rows = [view.track.names.index(f"{side}_{part}") for side in ("left", "right")]
    height = int(view.track.positions[:, rows, 1].min())
    return replace(view, track=replace(view.track, image_size=(walker.SIZE[0], height)))


def wild_legs(view, seed=0):
    """The view with legs that a network makes up."""
    directions = view.pose.directions.copy()
    rng = np.random.default_rng(seed)
    for joint in LEGS:
        turns = axis_angle_to_matrix([1.0, 0, 0], np.cumsum(rng.normal(0, 0.1, len(directions))))
        directions[:, joint - 1] = np.einsum("fij,fj->fi", turns, directions[:, joint - 1])
    return replace(view, pose=replace(view.pose, directions=directions))


def solve(view, **settings):
    return motion.solve(view.track, view.pose, KNOWN_CAMERA, MotionSettings(**settings))


def world(solved):
    return bones.compose(solved.skeleton, solved.directions, solved.lengths, solved.root)


@pytest.fixture
def view():
    return walker.seen(walker.walk()[0])


@pytest.mark.parametrize("how", [lambda v: scored(v, ("knee", "ankle")), lambda v: cut_below(v, "knee")])
def test_unseen_legs_are_straight_and_still_and_the_rest_is_as_it_was(view, how):
    whole, _ = solve(view)
    half, _ = solve(how(wild_legs(view)))
    for joint in ("left_knee", "right_knee", "left_ankle", "right_ankle"):
        np.testing.assert_allclose(half.directions[:, BODY_22.index(joint) - 1], [[0, 0, -1]] * len(half.root))
    assert not half.confidence[:, LEGS].any()
    assert half.confidence[:, UPPER].all()
    assert not half.contacts.any()
    upper = [world(solved)[:, UPPER] - world(solved)[:, :1] for solved in (half, whole)]
    assert np.abs(upper[0] - upper[1]).max() < 0.02


def test_who_has_no_legs_in_view_stands_on_the_floor(view):
    half, camera = solve(scored(wild_legs(view), ("knee", "ankle")))
    joints = world(half)
    np.testing.assert_allclose(joints[:, BODY_22.index("left_toe"), 2], walker.TOE, atol=0.02)
    np.testing.assert_allclose(half.root[:, 2], walker.LEG + walker.ANKLE, atol=0.03)
    assert camera.position[2] == pytest.approx(1.5, abs=0.2)
    toes = half.directions[:, BODY_22.index("left_toe") - 1]
    assert np.all(toes[:, 1] < -0.6)  # feet point where the body faces


def test_shanks_below_the_frame_hang_from_the_knees_that_are_seen(view):
    half, _ = solve(scored(view, ("ankle",)))
    shank = half.directions[:, BODY_22.index("left_ankle") - 1]
    thigh = half.directions[:, BODY_22.index("left_knee") - 1]
    np.testing.assert_allclose(shank, [[0, 0, -1]] * len(shank), atol=1e-6)
    assert np.ptp(thigh[:, 1]) > 0.3
    assert half.confidence[:, BODY_22.index("left_knee")].all()
    assert world(half)[..., 2].min() > -0.04


def test_arms_out_of_the_picture_hang(view):
    half, _ = solve(scored(view, ("elbow", "wrist")))
    for side in ("left", "right"):
        assert np.all(half.directions[:, BODY_22.index(f"{side}_wrist") - 1, 2] < -0.9)
        assert not half.confidence[:, BODY_22.index(f"{side}_hand")].any()


def test_arms_behind_the_back_are_left_to_the_lifter(view):
    hidden = scored(view, ("elbow", "wrist"), score=0.05)
    assert not unseen_joints(BODY_22, hidden.track, walker.RATE).any()


def test_short_gaps_are_left_to_the_lifter(view):
    gap = slice(40, 50)
    short = scored(view, ("knee", "ankle"), gap)
    assert not unseen_joints(BODY_22, short.track, walker.RATE).any()
    assert not unseen_joints(BODY_22, scored(view, ("knee", "ankle"), slice(0, 10)).track, walker.RATE).any()


def test_a_flash_of_a_leg_does_not_bring_it_back(view):
    hidden = scored(scored(view, ("knee", "ankle")), ("knee", "ankle"), slice(50, 56), score=1.0)
    assert unseen_joints(BODY_22, hidden.track, walker.RATE)[:, LEGS].all()


def test_legs_that_come_into_view_ease_from_rest():
    view = walker.seen(walker.walk(seconds=6)[0], position=(1.5, -10.0, 1.5))
    half, _ = solve(scored(view, ("knee", "ankle"), slice(0, 90)))
    whole, _ = solve(view)
    step = np.linalg.norm(np.diff(world(half)[:, LEGS], axis=0), axis=-1).max()
    assert step < 1.5 * np.linalg.norm(np.diff(world(whole)[:, LEGS], axis=0), axis=-1).max()
    assert not half.confidence[:60, LEGS].any()
    assert half.confidence[100:, LEGS].all()
    np.testing.assert_allclose(world(half)[120:, 0, 2], world(whole)[120:, 0, 2], atol=0.03)
    assert not half.contacts[:60].any()
    assert half.contacts[120:].any()


def test_one_unseen_leg_leaves_the_other_its_contacts(view):
    scores = view.track.scores.copy()
    scores[:, [view.track.names.index(name) for name in ("left_knee", "left_ankle")]] = 0.0
    half, _ = solve(replace(view, track=replace(view.track, scores=scores)))
    left, right = half.contacts[:, :2], half.contacts[:, 2:]
    assert not left.any()
    assert right.any()


def test_where_nobody_is_found_nothing_is_called_unseen(view):
    gone = replace(view.track, scores=np.zeros_like(view.track.scores))
    assert not unseen_joints(BODY_22, gone, walker.RATE).any()
    away = view.track.scores.copy()
    away[30:90] = 0.0
    assert not unseen_joints(BODY_22, replace(view.track, scores=away), walker.RATE).any()


def test_who_lies_is_at_rest_along_the_trunk(view):
    joints = walker.jump(0.0)[0] @ axis_angle_to_matrix([1.0, 0, 0], np.pi / 2).T
    lying = scored(walker.seen(joints, position=(0.5, -4.0, 1.8), target=(0, 0, 0.2)), ("knee", "ankle"))
    half, _ = solve(lying)
    trunk, thigh = (half.directions[:, BODY_22.index(joint) - 1] for joint in ("spine", "left_knee"))
    assert np.all(np.sum(trunk * thigh, axis=-1) < -0.98)
    assert world(half)[..., 2].min() > -0.08

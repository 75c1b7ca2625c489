# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion in `BODY_32`: heels, ears and knuckles are treated as what they are."""

import numpy as np
import pytest

from tests import motions, walker
from video_to_pose import bones, motion
from video_to_pose.motion import ground
from video_to_pose.motion.rigid import even_sides, rigid_parts
from video_to_pose.rotation import axis_angle_to_matrix, normalize
from video_to_pose.settings import MotionSettings
from video_to_pose.skeleton import BODY_22, BODY_32
from video_to_pose.types import KeypointTrack, LiftedPose

HEAD = ("head_top", "nose", "left_ear", "right_ear")
HAND = ("hand", "index", "little", "thumb")
LIMITS = {"head": HEAD, **{f"{s}_hand": tuple(f"{s}_{end}" for end in HAND) for s in ("left", "right")}}
LIMITS |= {f"{s}_foot": (f"{s}_toe", f"{s}_heel") for s in ("left", "right")}


def bones_of(part):
    return [BODY_32.index(joint) - 1 for joint in LIMITS[part]]


@pytest.fixture(scope="module")
def walk():
    """Joints (F, 32, 3) of a captured walk on the training body, and which of its soles are down."""
    if not motions.SHARED.is_dir():
        pytest.skip("the body and the motion are not beside the repository")
    body, posed = motions.posed_body("test/14_37", 3.0)
    return motions.bodies.joints(body, posed, BODY_32).astype(float), motions.true_contacts(body, posed)


def seen(joints, degrees=0.0, seed=0):
    """What a still camera sees of them, as a lifter says it, its directions off by so much."""
    middle = joints[:, 0].mean(axis=0)
    view = walker.seen(joints[:, : BODY_22.joint_count], position=middle + [1.5, -4.5, 0.5], target=middle)
    R = view.camera.R_world_camera.astype(float)
    directions, lengths = bones.decompose(BODY_32, joints)
    noise = np.random.default_rng(seed).normal(size=directions.shape) * np.radians(degrees)
    pose = LiftedPose(
        BODY_32, view.track.timestamps, normalize(directions @ R + noise), lengths.mean(axis=0),
        np.ones(joints.shape[:2]), R[2],
    )  # fmt: skip
    return view.track, pose, R


def angles(directions):
    return np.degrees(np.arccos(np.clip(directions @ np.swapaxes(directions, -1, -2), -1, 1)))


@pytest.mark.parametrize("part", LIMITS)
def test_parts_come_out_rigid_and_nearer_to_the_truth(walk, part):
    joints, _ = walk
    true, lengths = bones.decompose(BODY_32, joints)
    rng = np.random.default_rng(0)
    lengths = lengths.mean(axis=0)
    noisy = normalize(true + rng.normal(size=true.shape) * 0.015 / lengths[:, None])
    rigid = rigid_parts(BODY_32, noisy, lengths)
    here = bones_of(part)
    assert angles(rigid[:, here]).std(axis=0).max() < 1e-4
    off, before = (
        np.arccos(np.clip(np.sum(d[:, here] * true[:, here], axis=-1), -1, 1)).mean() for d in (rigid, noisy)
    )
    assert off < 0.95 * before
    np.testing.assert_allclose(rigid_parts(BODY_32, rigid, lengths), rigid, atol=1e-9)


def test_what_is_rigid_stays_to_the_last_bit_of_shape(walk):
    true, lengths = bones.decompose(BODY_32, walk[0])
    np.testing.assert_allclose(rigid_parts(BODY_32, true, lengths.mean(axis=0)), true, atol=1e-4)


def test_hands_are_alike_but_mirrored(walk):
    true, _ = bones.decompose(BODY_32, walk[0])
    noisy = normalize(true + np.random.default_rng(0).normal(size=true.shape) * 0.1)
    rigid = rigid_parts(BODY_32, noisy)
    left, right = (rigid[:, bones_of(f"{side}_hand")] for side in ("left", "right"))
    np.testing.assert_allclose(angles(left)[0], angles(right)[0], atol=1e-4)
    hand = [np.linalg.det(side[0, [0, 1, 3]]) for side in (left, right)]
    assert hand[0] * hand[1] < 0


def test_the_parts_of_the_smaller_skeleton_are_treated_as_ever():
    directions = normalize(np.random.default_rng(0).normal(size=(20, BODY_22.bone_count, 3)))
    lengths = np.linspace(0.1, 0.4, BODY_22.bone_count)
    np.testing.assert_array_equal(rigid_parts(BODY_22, directions, lengths), rigid_parts(BODY_22, directions))


def test_heels_are_told_by_themselves():
    assert ground.contact_joints(BODY_32)["left_heel"] == "left_heel"
    assert ground.contact_joints(BODY_22)["left_heel"] == "left_ankle"


def test_heel_and_ball_of_who_stands_on_them_are_on_the_floor(walk):
    joints, down = walk
    leg = sum(np.linalg.norm(np.diff(joints[0, [BODY_32.index(j) for j in span]], axis=0))
              for span in (("left_hip", "left_knee"), ("left_knee", "left_ankle")))  # fmt: skip
    heights = ground.sole_heights(BODY_32, joints, leg)
    flat = down[:, :2].all(axis=1)
    assert np.abs(heights[flat, 0] - heights[flat, 1]).mean() < 0.015
    assert np.abs(heights[flat, :2]).mean() < 0.03


def test_exact_details_give_back_the_motion(walk):
    joints, down = walk
    track, pose, _ = seen(joints)
    solved, _ = motion.solve(track, pose, walker.KNOWN_CAMERA, MotionSettings(smoothing_cutoff_hz=0, plant_feet=False))
    got = bones.compose(BODY_32, solved.directions, solved.lengths, solved.root)
    turned = got - got[:, :1]
    true = joints - joints[:, :1]
    a, b = (x[:, BODY_32.index("left_hip"), :2] for x in (turned, true))
    angle = np.arctan2(np.sum(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]), np.sum(a * b))
    assert np.abs(turned @ axis_angle_to_matrix([0, 0, 1.0], angle).T - true).max() < 0.04
    assert (solved.contacts & down).sum() > 0.6 * down.sum()
    assert motion.standing_height(BODY_32, pose.lengths) == motion.standing_height(BODY_22, pose.lengths[:21])


def test_planted_details_stay_rigid_and_above_the_floor(walk):
    track, pose, _ = seen(walk[0], degrees=4.0)
    solved, _ = motion.solve(track, pose, walker.KNOWN_CAMERA, MotionSettings())
    for part in LIMITS:
        assert angles(solved.directions[:, bones_of(part)].astype(float)).std(axis=0).max() < 0.05
    got = bones.compose(BODY_32, solved.directions, solved.lengths, solved.root)
    assert got[..., 2].min() > -0.03
    np.testing.assert_array_equal(solved.lengths, even_sides(BODY_32, pose.lengths).astype(np.float32))


def test_uneven_limbs_are_kept_where_it_is_told(walk):
    track, pose, _ = seen(walk[0])
    lengths = pose.lengths.copy()
    lengths[BODY_32.index("left_wrist") - 1] *= 0.8
    pose = LiftedPose(BODY_32, pose.timestamps, pose.directions, lengths, pose.confidence, pose.up)
    even, _ = motion.solve(track, pose, walker.KNOWN_CAMERA, MotionSettings())
    own, _ = motion.solve(track, pose, walker.KNOWN_CAMERA, MotionSettings(even_sides=False))
    left, right = BODY_32.index("left_wrist") - 1, BODY_32.index("right_wrist") - 1
    assert even.lengths[left] == even.lengths[right]
    assert own.lengths[left] == pytest.approx(0.8 * own.lengths[right], rel=0.02)


def test_knuckles_of_hands_out_of_the_picture_have_no_confidence(walk):
    track, pose, _ = seen(walk[0])
    scores = track.scores.copy()
    scores[:, [track.names.index(name) for name in ("left_elbow", "left_wrist")]] = 0.0
    track = KeypointTrack(track.timestamps, track.names, track.positions, scores, track.image_size)
    solved, _ = motion.solve(track, pose, walker.KNOWN_CAMERA, MotionSettings())
    hand = [bone + 1 for bone in bones_of("left_hand")]
    assert not solved.confidence[:, hand].any()
    shape = angles(solved.directions[:, bones_of("left_hand")].astype(float))
    assert shape.std(axis=0).max() < 0.05

# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from video_to_pose.errors import InputError
from video_to_pose.lift.joint_keypoints import FROM_LANDMARKS, check_joints, joint_keypoints
from video_to_pose.lift.normalize import LIFTER_KEYPOINTS
from video_to_pose.skeleton import BODY_22, H36M_17, HUMANEVA_15, MPI_INF_3DHP_14, MPI_INF_3DHP_17, Skeleton


@pytest.mark.parametrize("skeleton", [BODY_22, H36M_17, HUMANEVA_15, MPI_INF_3DHP_17, MPI_INF_3DHP_14])
def test_joints_move_with_the_picture(skeleton):
    rng = np.random.default_rng(0)
    positions, scores = rng.normal(size=(4, 27, 2)), rng.uniform(size=(4, 27))
    joints, trust = joint_keypoints(positions, scores, skeleton)
    moved, _ = joint_keypoints(3 * positions + [5, -7], scores, skeleton)
    assert joints.shape == (4, skeleton.joint_count, 2)
    assert moved == pytest.approx(3 * joints + [5, -7])
    assert ((trust >= 0) & (trust <= 1)).all()


def test_pelvis_is_between_the_hips_and_the_crown_above_the_ears():
    positions = np.zeros((27, 2))
    for name, place in {
        "left_hip": (1, 0),
        "right_hip": (-1, 0),
        "left_shoulder": (1.5, -4),
        "right_shoulder": (-1.5, -4),
        "left_ear": (0.5, -6),
        "right_ear": (-0.5, -6),
        "left_index": (4, 0),
        "left_pinky": (4, 1),
    }.items():
        positions[LIFTER_KEYPOINTS.index(name)] = place
    joints, _ = joint_keypoints(positions, np.ones(27), BODY_22)
    at = {name: tuple(joints[BODY_22.index(name)]) for name in ("pelvis", "thorax", "head", "head_top", "left_hand")}
    assert at["pelvis"] == pytest.approx((0, 0)) and at["thorax"] == pytest.approx((0, -4))
    assert at["head"] == pytest.approx((0, -6)) and at["head_top"][1] < -6.5
    assert at["left_hand"] == pytest.approx((4, 0.5))


def test_weights_are_means():
    assert all(sum(weights.values()) == pytest.approx(1) for weights in FROM_LANDMARKS.values())


def test_a_tail_is_refused_by_name():
    with pytest.raises(InputError, match="tail of cat"):
        check_joints(Skeleton("cat", ("pelvis", "tail"), (-1, 0)))

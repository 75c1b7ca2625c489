# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from video_to_pose.errors import InputError
from video_to_pose.lift.joint_keypoints import FROM_LANDMARKS, check_joints, joint_confidence, joint_keypoints
from video_to_pose.lift.normalize import LIFTER_KEYPOINTS
from video_to_pose.skeleton import (
    BODY_22,
    BODY_32,
    COCO_17,
    H36M_17,
    HUMANEVA_15,
    MEDIAPIPE_33,
    MPI_INF_3DHP_14,
    MPI_INF_3DHP_17,
    Skeleton,
)
from video_to_pose.types import KeypointTrack


@pytest.mark.parametrize("skeleton", [BODY_22, BODY_32, H36M_17, HUMANEVA_15, MPI_INF_3DHP_17, MPI_INF_3DHP_14])
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


def confidence(names, scores):
    track = KeypointTrack(np.zeros(1), names, np.zeros((1, len(names), 2)), np.array([scores], np.float32), (640, 480))
    return dict(zip(BODY_32.joints, joint_confidence(BODY_32, track)[0].tolist(), strict=True))


def test_joints_are_as_sure_as_the_landmarks_that_show_them():
    sure = confidence(MEDIAPIPE_33, [0.2 if "pinky" in name or "shoulder" in name else 1.0 for name in MEDIAPIPE_33])
    assert sure["left_little"] == pytest.approx(0.2) and sure["left_hand"] == pytest.approx(0.6)
    assert sure["left_index"] == sure["left_thumb"] == sure["left_heel"] == sure["head_top"] == 1
    assert all(sure.values())


def test_joints_that_a_layout_does_not_show_have_no_confidence():
    sure = confidence(COCO_17, [1.0] * 17)
    dark = {joint for joint, value in sure.items() if not value}
    parts = ("toe", "heel", "hand", "thumb", "index", "little")
    assert dark == {f"{side}_{part}" for side in ("left", "right") for part in parts}

# SPDX-License-Identifier: GPL-3.0-or-later
"""Bones never stretch: joints are sums of directions times lengths, and back."""

import numpy as np
import pytest

from video_to_pose.bones import compose, decompose
from video_to_pose.rotation import axis_angle_to_matrix, normalize
from video_to_pose.skeleton import BODY_22, H36M_17


def some(skeleton, frames=12, seed=0):
    rng = np.random.default_rng(seed)
    directions = normalize(rng.normal(size=(frames, skeleton.bone_count, 3)))
    return directions, rng.uniform(0.05, 0.5, skeleton.bone_count), rng.normal(size=(frames, 3))


@pytest.mark.parametrize("skeleton", [BODY_22, H36M_17], ids=lambda s: s.name)
def test_what_is_composed_is_decomposed_to_the_same(skeleton):
    directions, lengths, root = some(skeleton)
    back, each = decompose(skeleton, compose(skeleton, directions, lengths, root))
    np.testing.assert_allclose(back, directions, atol=1e-12)
    np.testing.assert_allclose(each, np.tile(lengths, (12, 1)), atol=1e-12)


def test_joints_are_decomposed_and_composed_to_the_same():
    joints = np.random.default_rng(1).normal(size=(3, 4, 22, 3))
    directions, lengths = decompose(BODY_22, joints)
    np.testing.assert_allclose(compose(BODY_22, directions, lengths, joints[..., 0, :]), joints, atol=1e-12)


def test_one_set_of_lengths_gives_bones_of_constant_length():
    directions, lengths, root = some(BODY_22, frames=200)
    joints = compose(BODY_22, directions.astype(np.float32), lengths.astype(np.float32), root.astype(np.float32))
    _, each = decompose(BODY_22, joints.astype(np.float64))
    assert each.std(axis=0).max() < 1e-6


def test_a_bone_runs_from_its_parent():
    directions, lengths, _ = some(BODY_22, frames=1)
    joints = compose(BODY_22, directions, lengths)
    knee, ankle = BODY_22.index("left_knee"), BODY_22.index("left_ankle")
    np.testing.assert_allclose(joints[0, ankle] - joints[0, knee], directions[0, ankle - 1] * lengths[ankle - 1])


def test_without_a_root_joint_zero_is_the_origin():
    directions, lengths, root = some(BODY_22)
    at_origin = compose(BODY_22, directions, lengths)
    assert not at_origin[:, 0].any()
    np.testing.assert_allclose(compose(BODY_22, directions, lengths, root), at_origin + root[:, None])


def test_turning_the_directions_turns_the_joints():
    directions, lengths, root = some(BODY_22)
    R = axis_angle_to_matrix(normalize([1.0, -2.0, 0.5]), 0.7)
    np.testing.assert_allclose(
        compose(BODY_22, directions @ R.T, lengths, root @ R.T), compose(BODY_22, directions, lengths, root) @ R.T
    )


def test_joints_on_top_of_each_other_have_no_direction_and_no_nan():
    directions, lengths = decompose(BODY_22, np.zeros((1, 22, 3)))
    assert not directions.any() and not lengths.any()

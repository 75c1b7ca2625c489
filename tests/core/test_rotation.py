# SPDX-License-Identifier: GPL-3.0-or-later
"""Quaternions and matrices say the same."""

import numpy as np
import pytest

from video_to_pose import rotation as rot

RNG = np.random.default_rng(0)
QUATERNIONS = rot.normalize(RNG.normal(size=(200, 4)))
UNITS = rot.normalize(RNG.normal(size=(200, 3)))


def half_turns():
    return np.concatenate([np.zeros((50, 1)), UNITS[:50]], axis=1)


@pytest.mark.parametrize("q", [QUATERNIONS, half_turns(), np.eye(4)], ids=["any", "half turns", "axes"])
def test_quaternion_to_matrix_and_back(q):
    back = rot.matrix_to_quat(rot.quat_to_matrix(q))
    np.testing.assert_allclose(np.abs(np.sum(back * q, axis=-1)), 1.0, atol=1e-9)
    assert np.all(back[..., 0] >= 0)


def test_matrices_are_rotations():
    m = rot.quat_to_matrix(QUATERNIONS)
    np.testing.assert_allclose(m @ np.swapaxes(m, -1, -2), np.broadcast_to(np.eye(3), m.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(m), 1.0)


def test_products_of_quaternions_are_products_of_matrices():
    a, b = QUATERNIONS[:100], QUATERNIONS[100:]
    np.testing.assert_allclose(
        rot.quat_to_matrix(rot.quat_multiply(a, b)), rot.quat_to_matrix(a) @ rot.quat_to_matrix(b), atol=1e-12
    )


def test_the_conjugate_undoes():
    np.testing.assert_allclose(
        rot.quat_multiply(QUATERNIONS, rot.quat_conjugate(QUATERNIONS)), np.tile([1.0, 0, 0, 0], (200, 1)), atol=1e-12
    )


def test_a_quarter_turn_about_z_carries_x_to_y():
    np.testing.assert_allclose(rot.axis_angle_to_matrix([0, 0, 1], np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_angles_about_one_axis_add_up():
    a, b = 0.4, 1.3
    axis = UNITS[0]
    np.testing.assert_allclose(
        rot.axis_angle_to_matrix(axis, a) @ rot.axis_angle_to_matrix(axis, b), rot.axis_angle_to_matrix(axis, a + b)
    )


def test_between_carries_one_onto_the_other_by_the_smallest_angle():
    a, b = UNITS[:100], UNITS[100:]
    R = rot.between(a, b)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", R, a), b, atol=1e-9)
    angle = np.arccos(np.clip((np.trace(R, axis1=1, axis2=2) - 1) / 2, -1, 1))
    np.testing.assert_allclose(angle, np.arccos(np.clip(np.sum(a * b, axis=1), -1, 1)), atol=1e-6)


@pytest.mark.parametrize("a", [[1, 0, 0], [0, 1, 0], [0, 0, -1], [0.6, 0, 0.8]])
def test_between_opposite_and_equal_vectors(a):
    a = np.array(a, dtype=float)
    R = rot.between(a, -a)
    np.testing.assert_allclose(R @ a, -a, atol=1e-7)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(R) == pytest.approx(1)
    np.testing.assert_allclose(rot.between(a, a), np.eye(3), atol=1e-12)


def test_continuous_quaternions_never_jump_and_mean_the_same():
    angle = np.linspace(0, 4 * np.pi, 100)
    q = np.stack([np.cos(angle / 2), np.sin(angle / 2), 0 * angle, 0 * angle], axis=1)
    flipped = np.where(RNG.random(100)[:, None] < 0.5, -q, q)
    smooth = rot.make_continuous(flipped)
    assert np.all(np.sum(smooth[1:] * smooth[:-1], axis=1) > 0)
    np.testing.assert_allclose(rot.quat_to_matrix(smooth), rot.quat_to_matrix(q), atol=1e-12)
    np.testing.assert_array_equal(smooth[0], flipped[0])


@pytest.mark.parametrize("frames", [0, 1])
def test_one_quaternion_is_continuous(frames):
    np.testing.assert_array_equal(rot.make_continuous(QUATERNIONS[:frames]), QUATERNIONS[:frames])


def test_many_bones_are_made_continuous_each_by_itself():
    q = QUATERNIONS.reshape(20, 10, 4)
    whole = rot.make_continuous(q)
    for bone in range(10):
        np.testing.assert_array_equal(whole[:, bone], rot.make_continuous(q[:, bone]))


def test_frames_from_axes_are_right_handed_with_y_along_the_bone():
    frames = rot.frame_from_axes(UNITS[:100], UNITS[100:])
    np.testing.assert_allclose(frames[..., 1], UNITS[:100], atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(frames), 1.0)
    assert np.all(np.sum(frames[..., 0] * UNITS[100:], axis=-1) > 0)


def test_normalizing_nothing_gives_nothing():
    np.testing.assert_array_equal(rot.normalize(np.zeros((2, 3))), np.zeros((2, 3)))
    np.testing.assert_allclose(np.linalg.norm(rot.normalize(1e-3 * UNITS), axis=1), 1)

# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from video_to_pose.evaluation import metrics
from video_to_pose.rotation import axis_angle_to_matrix


@pytest.fixture
def joints() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(7, 12, 3))


def test_mpjpe_is_the_mean_distance_in_millimetres(joints):
    assert metrics.mpjpe(joints + np.array([0.003, 0.0, 0.004]), joints) == pytest.approx(5.0)


def test_procrustes_forgives_scale_rotation_and_place(joints):
    R = axis_angle_to_matrix([0.0, 0.6, 0.8], 2.0)
    assert metrics.p_mpjpe(0.7 * joints @ R.T + 3.0, joints) < 1e-6


def test_procrustes_never_mirrors(joints):
    assert metrics.p_mpjpe(joints * [-1, 1, 1], joints) > 100


def test_a_constant_offset_has_no_acceleration_error(joints):
    assert metrics.acceleration_error(joints + 1.0, joints, 30.0) < 1e-9


def test_acceleration_error_of_a_parabola_is_its_acceleration(joints):
    time = np.arange(7)[:, None, None] / 30.0
    moved = joints + 0.5 * time**2 * np.array([0, 0, 9.81])
    assert metrics.acceleration_error(moved, joints, 30.0) == pytest.approx(9.81)


def test_rigid_bones_do_not_deviate(joints):
    rigid = joints[:1] + np.arange(5)[:, None, None]
    assert metrics.bone_length_deviation(rigid, [(0, 1), (1, 2)]) < 1e-9

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


def test_no_similarity_is_better_than_procrustes(joints):
    rng = np.random.default_rng(1)
    predicted = joints + 0.2 * rng.normal(size=joints.shape)
    best = np.linalg.norm(metrics.procrustes(predicted, joints) - joints)
    for _ in range(20):
        R = axis_angle_to_matrix(rng.normal(size=3), rng.normal(0, 0.05))
        tried = rng.normal(1, 0.05) * metrics.procrustes(predicted, joints) @ R.T + rng.normal(0, 0.02, 3)
        assert np.linalg.norm(tried - joints) > best


def test_a_collapsed_answer_has_a_finite_error(joints):
    assert np.isfinite(metrics.p_mpjpe(np.zeros_like(joints), joints))
    assert metrics.n_mpjpe(np.zeros_like(joints), joints) == pytest.approx(metrics.mpjpe(0 * joints, joints))


def test_n_mpjpe_forgives_scale_but_neither_rotation_nor_place(joints):
    assert metrics.n_mpjpe(0.3 * joints, joints) < 1e-6
    assert metrics.n_mpjpe(joints @ axis_angle_to_matrix([0, 0, 1], 0.5).T, joints) > 50
    assert metrics.n_mpjpe(joints + 0.5, joints) > 50


def test_n_mpjpe_takes_the_best_scale_of_each_frame(joints):
    predicted = joints + 0.3 * np.random.default_rng(1).normal(size=joints.shape)
    squares = [
        min(np.sum((factor * p - t) ** 2) for factor in np.linspace(0.5, 1.5, 4001))
        for p, t in zip(predicted, joints, strict=True)
    ]
    factor = (predicted * joints).sum(axis=(1, 2)) / (predicted**2).sum(axis=(1, 2))
    assert np.sum((factor[:, None, None] * predicted - joints) ** 2, axis=(1, 2)) == pytest.approx(squares, rel=1e-5)
    assert metrics.n_mpjpe(predicted, joints) == pytest.approx(metrics.mpjpe(factor[:, None, None] * predicted, joints))


def test_velocity_error_sees_change_and_not_place(joints):
    assert metrics.mpjve(joints + 1.0, joints) < 1e-9
    drift = joints + np.arange(7)[:, None, None] * np.array([0.003, 0.0, 0.004])
    assert metrics.mpjve(drift, joints) == pytest.approx(5.0)


def test_a_constant_offset_has_no_acceleration_error(joints):
    assert metrics.acceleration_error(joints + 1.0, joints, 30.0) < 1e-9


def test_acceleration_error_of_a_parabola_is_its_acceleration(joints):
    time = np.arange(7)[:, None, None] / 30.0
    moved = joints + 0.5 * time**2 * np.array([0, 0, 9.81])
    assert metrics.acceleration_error(moved, joints, 30.0) == pytest.approx(9.81)


def test_clips_too_short_for_a_difference_have_none(joints):
    assert np.isnan(metrics.mpjve(joints[:1], joints[:1]))
    assert np.isnan(metrics.acceleration_error(joints[:2], joints[:2], 30.0))


def test_pck_counts_joints_nearer_than_the_threshold():
    true = np.zeros((1, 4, 3))
    predicted = true.copy()
    predicted[0, :, 2] = [0.0, 0.149, 0.1500001, 0.4]
    assert metrics.pck(predicted, true) == 50.0
    assert metrics.pck(predicted, true, threshold_mm=500) == 100.0


def test_auc_is_the_mean_of_the_pck_curve(joints):
    predicted = joints + 0.06 * np.random.default_rng(1).normal(size=joints.shape)
    curve = [metrics.pck(predicted, joints, threshold) for threshold in metrics.AUC_THRESHOLDS_MM]
    assert len(curve) == 31
    assert metrics.auc(predicted, joints) == pytest.approx(np.mean(curve))
    assert metrics.auc(joints, joints) == pytest.approx(100 * 30 / 31)


def test_rigid_bones_do_not_deviate(joints):
    rigid = joints[:1] + np.arange(5)[:, None, None]
    assert metrics.bone_length_deviation(rigid, [(0, 1), (1, 2)]) < 1e-9


def test_bone_length_error_is_the_mean_difference_of_lengths():
    true = np.zeros((2, 2, 3))
    true[:, 1, 0] = 0.4
    predicted = true.copy()
    predicted[:, 1, 0] = [0.41, 0.37]
    assert metrics.bone_length_error(predicted, true, [(0, 1)]) == pytest.approx(20.0)
    assert metrics.bone_length_deviation(predicted, [(0, 1)]) == pytest.approx(20.0)


@pytest.mark.parametrize("measure", [metrics.mpjpe, metrics.p_mpjpe, metrics.n_mpjpe, metrics.mpjve, metrics.pck])
def test_shapes_that_differ_are_refused_and_never_broadcast(joints, measure):
    with pytest.raises(ValueError, match="equal shapes"):
        measure(joints, joints[:1])

# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from video_to_pose.data.sequences import Sequence2D3D
from video_to_pose.errors import InputError
from video_to_pose.evaluation import metrics, protocols
from video_to_pose.skeleton import H36M_17, MPI_INF_3DHP_14, MPI_INF_3DHP_17, mirror_indices


def sequence(
    subject="S9", action="Walking 1", frames=20, seed=0, skeleton=H36M_17, spread=150.0, motion=1.0
) -> Sequence2D3D:
    rng = np.random.default_rng(seed)
    count = skeleton.joint_count
    drift = motion * rng.normal(size=(frames, count, 1)).cumsum(axis=0)
    return Sequence2D3D(
        subject=subject,
        action=action,
        camera="0",
        rate=50.0,
        skeleton=skeleton,
        keypoint_names=skeleton.joints,
        keypoints=500 + spread * rng.uniform(-1, 1, (1, count, 2)) + drift,
        scores=np.ones((frames, count)),
        joints=rng.normal(size=(1, count, 3)) * 0.4 + [0, 0, 4] + 0.003 * drift,
        image_size=(1000, 1000),
    )


def off_by(one: Sequence2D3D, millimetres: float) -> protocols.Answer:
    return protocols.Answer(one, one.targets() + np.array([millimetres / 1000, 0, 0]))


def linear_lift(keypoints: np.ndarray) -> np.ndarray:
    """A network of a kind: x and y from the picture, depth from where the person stands in it."""
    relative = keypoints[..., :2] - keypoints[:, :1, :2]
    return np.concatenate([relative, 0.5 * keypoints[..., :1] + 0.1 * keypoints[..., 1:2]], axis=-1)


def test_protocol_1_is_the_mean_of_actions_and_not_of_frames():
    answers = [
        off_by(sequence(action="Walking 1", frames=10), 10),
        off_by(sequence(action="Walking", frames=30), 30),
        off_by(sequence(action="Sitting 2", frames=5), 65),
    ]
    result = protocols.protocol_1(answers)
    assert result == pytest.approx({"Walking": 25.0, "Sitting": 65.0, "mean": 45.0}, rel=1e-4)


def test_protocol_2_aligns_every_frame():
    one = sequence()
    shrunk = protocols.Answer(one, 0.5 * one.targets() + 0.1)
    assert protocols.protocol_2([shrunk])["mean"] < 0.01
    assert protocols.protocol_1([shrunk])["mean"] > 100


def test_figures_can_be_grouped_by_subject_and_hold_every_measure():
    answers = [off_by(sequence("S9", seed=1), 10), off_by(sequence("S11", seed=2), 20)]
    table = protocols.figures(answers, by=protocols.by_subject)
    assert set(table) == {"S9", "S11", "mean"}
    assert set(table["S9"]) == set(protocols.MEASURES)
    assert table["S11"]["mpjpe_mm"] == pytest.approx(20, rel=1e-4)
    assert table["mean"]["mpjve_mm_per_frame"] < 0.01
    assert protocols.by_subject_and_action(answers[0].sequence) == "S9 Walking"


def test_invalid_frames_are_left_out_and_differences_never_reach_across_them():
    one = sequence(frames=9)
    valid = np.ones(9, dtype=bool)
    valid[4] = False
    answer = off_by(replace(one, valid=valid), 10)
    answer.predicted[4] += 100.0
    table = protocols.figures([answer])
    assert table["mean"]["mpjpe_mm"] == pytest.approx(10, rel=1e-3)
    assert table["mean"]["acceleration_m_s2"] < 0.01


def test_only_the_joints_named_count():
    one = sequence(skeleton=MPI_INF_3DHP_17)
    predicted = one.targets().copy()
    predicted[:, MPI_INF_3DHP_17.index("spine")] += 1.0
    answer = protocols.Answer(one, predicted)
    assert protocols.figures([answer])["mean"]["pck150_percent"] < 95
    assert protocols.figures([answer], joints=MPI_INF_3DHP_14.joints)["mean"]["pck150_percent"] == 100
    with pytest.raises(InputError, match="no left_ear"):
        protocols.figures([answer], joints=("left_ear",))


def test_nothing_to_measure_is_said():
    with pytest.raises(InputError, match="no sequences"):
        protocols.figures([])


def test_an_answer_of_the_wrong_shape_or_with_nan_is_a_fault():
    with pytest.raises(ValueError, match="expected"):
        protocols.answer(lambda keypoints: np.zeros((len(keypoints), 3, 3)), [sequence()])
    with pytest.raises(ValueError, match="NaN"):
        protocols.answer(lambda keypoints: np.full((len(keypoints), 17, 3), np.nan), [sequence()])


def test_scores_travel_as_a_third_channel():
    seen = []

    def lift(keypoints):
        seen.append(keypoints.shape[-1])
        return linear_lift(keypoints)

    protocols.answer(lift, [sequence()])
    protocols.answer(lift, [sequence()], scores=True)
    assert seen == [2, 3]


def test_flip_augmentation_makes_any_network_commute_with_mirrors():
    mirror = mirror_indices(H36M_17.joints)
    lift = protocols.flip_augmented(linear_lift, mirror, H36M_17.mirror)
    one = sequence()
    mirrored = one.mirrored()
    turned = lift(one.inputs())[:, H36M_17.mirror] * [-1, 1, 1]
    assert lift(mirrored.inputs()) == pytest.approx(turned, abs=1e-5)
    assert not np.allclose(linear_lift(mirrored.inputs()), linear_lift(one.inputs())[:, mirror] * [-1, 1, 1], atol=1e-3)


def test_flip_augmentation_leaves_a_network_that_already_commutes_alone():
    one = sequence()

    def lift(keypoints):
        return np.concatenate([keypoints[..., :2], keypoints[..., 1:2]], axis=-1)

    both = protocols.flip_augmented(lift, mirror_indices(H36M_17.joints), H36M_17.mirror)
    assert both(one.inputs()) == pytest.approx(lift(one.inputs()), abs=1e-6)


def test_cross_action_trains_on_one_action_and_tests_on_all():
    train = [sequence("S1", "Walking 1"), sequence("S1", "Walking"), sequence("S1", "Sitting")]
    test = [sequence("S9", "Walking"), sequence("S9", "Sitting")]
    splits = {action: (len(a), len(b)) for action, a, b in protocols.cross_action(train, test)}
    assert splits == {"Walking": (2, 2), "Sitting": (1, 2)}


def test_a_network_of_one_data_set_answers_another_on_the_joints_they_share():
    one = sequence("TS1", "TS1", skeleton=MPI_INF_3DHP_17)

    def perfect(keypoints):
        assert keypoints.shape[1] == 17  # a nose was asked for, the head stood in
        joints = np.full((len(keypoints), 17, 3), 9.0)  # what is not shared is never scored
        for j, name in enumerate(H36M_17.joints):
            if name in MPI_INF_3DHP_17.joints:
                joints[:, j] = one.joints[:, MPI_INF_3DHP_17.index(name)] + 3.0
        return joints

    (answer,) = protocols.cross_dataset(perfect, H36M_17, H36M_17.joints, [one])
    assert "head" not in answer.sequence.skeleton.joints and answer.sequence.skeleton.joint_count == 16
    assert answer.sequence.skeleton.parents[
        answer.sequence.skeleton.index("head_top")
    ] == answer.sequence.skeleton.index("thorax")
    assert protocols.protocol_1([answer])["mean"] < 0.01
    assert protocols.figures([answer], joints=MPI_INF_3DHP_14.joints)["mean"]["pck150_percent"] == 100


def test_a_keypoint_that_nothing_stands_in_for_is_said():
    with pytest.raises(InputError, match="left_ear"):
        protocols.cross_dataset(linear_lift, H36M_17, ("left_ear",), [sequence()])


def test_pose_similarity_is_equation_9():
    a = np.random.default_rng(0).normal(size=(5, 17, 3)) * 0.2
    b = a.copy()
    assert protocols.pose_similarity(a, b) == pytest.approx(np.ones(5))
    b[:, 0] += [0.3, 0, 0]
    expected = (16 + np.exp(-(0.3**2) / (2 * 0.2**2))) / 17
    assert protocols.pose_similarity(a, b, sigma=0.2) == pytest.approx(np.full(5, expected))
    program = (16 + np.exp(-0.3 / 0.5)) / 17
    assert protocols.pose_similarity(a, b, sigma=0.5, kernel="exponential") == pytest.approx(np.full(5, program))


@pytest.mark.parametrize("kernel", ["gaussian", "exponential"])
def test_occurrence_is_equation_10(kernel):
    rng = np.random.default_rng(0)
    poses, others = rng.normal(size=(30, 17, 3)) * 0.3, rng.normal(size=(40, 17, 3)) * 0.3
    sigma = rng.uniform(0.1, 0.5, 17)
    slow = [np.mean([protocols.pose_similarity(p, o, sigma, kernel) for o in others]) for p in poses]
    assert protocols.occurrence(poses, others, sigma=sigma, kernel=kernel) == pytest.approx(slow, rel=1e-4)
    assert protocols.occurrence(poses, sigma=sigma) == pytest.approx(protocols.occurrence(poses, poses, sigma=sigma))


def test_the_odd_pose_out_is_the_rarest():
    rng = np.random.default_rng(0)
    poses = np.repeat(rng.normal(size=(1, 17, 3)) * 0.3, 50, axis=0) + 0.02 * rng.normal(size=(50, 17, 3))
    poses[13] += rng.normal(size=(17, 3)) * 0.4
    assert list(protocols.rarest(protocols.occurrence(poses), 2)) == [13]


def test_errors_on_rare_poses_are_cut_out_by_rarity():
    common = sequence(frames=90, motion=0.1)
    odd = replace(
        sequence(seed=5, action="Sitting", frames=10, motion=0.1), joints=sequence(seed=7, frames=10).joints * 2
    )
    answers = [off_by(common, 10), off_by(odd, 100)]
    result = protocols.rare_poses(answers, percents=(10, 100))
    assert result["cumulative"] == pytest.approx({"10": 100.0, "100": 19.0}, rel=1e-3)
    assert result["interval"] == pytest.approx({"0-10": 100.0, "10-100": 10.0}, rel=1e-3)
    against_odd = protocols.rare_poses(
        answers, percents=(90,), reference=odd.targets(), kernel="exponential", sigma=0.5
    )
    assert against_odd["cumulative"]["90"] == pytest.approx(10.0, rel=1e-3)


def test_offsets_stay_within_the_limit_and_repeat():
    offsets = protocols.random_offsets()
    assert offsets.shape == (6, 2) and np.abs(offsets).max() <= 0.2
    assert np.array_equal(offsets, protocols.random_offsets())


def test_a_shift_costs_only_networks_that_look_at_place():
    sequences = [sequence(seed=1), sequence(seed=2, action="Sitting")]
    rows = protocols.offset_study(linear_lift, sequences, [[0.0, 0.0], [0.15, -0.1]])
    assert rows[0]["consistency"] == pytest.approx(0, abs=1e-3) and rows[1]["consistency"] > 5
    assert rows[0]["shifted"] == pytest.approx(rows[0]["original"])
    assert rows[1]["magnitude"] == pytest.approx(np.hypot(0.15, 0.1))

    def relative(keypoints):
        return linear_lift(keypoints - keypoints[:, :1])

    assert protocols.offset_study(relative, sequences, [[0.15, -0.1]])[0]["consistency"] < 0.01


def test_what_a_shift_moves_off_the_screen_does_not_count():
    wide, narrow = sequence(spread=490, motion=0), sequence(spread=100, motion=0, frames=7)
    (row,) = protocols.offset_study(linear_lift, [wide, narrow], [[0.2, 0.2]])
    assert row["frames"] == 7
    (nothing,) = protocols.offset_study(linear_lift, [wide], [[0.2, 0.2]])
    assert nothing["frames"] == 0 and np.isnan(nothing["shifted"])


def test_movement_range_is_equation_15():
    keypoints = sequence(frames=40).inputs()
    padded = np.clip(np.arange(-4, 44), 0, 39)
    slow = [
        np.mean(np.sum((keypoints[padded[f : f + 9]] - keypoints[f]) ** 2, axis=-1), dtype=np.float64)
        for f in range(40)
    ]
    assert protocols.movement_range(keypoints, 9) == pytest.approx(slow, rel=1e-4)
    assert protocols.movement_range(np.repeat(keypoints[:1], 12, axis=0), 9).max() < 1e-12


def test_movement_deciles_are_equal_and_ordered():
    still, lively = sequence(frames=50, motion=0.1), sequence(frames=50, motion=5.0, seed=3, action="Jumping")
    parts = protocols.movement_study([off_by(still, 10), off_by(lively, 30)], window=9)
    assert [part["frames"] for part in parts] == [10.0] * 10
    assert all(a["most"] <= b["least"] for a, b in pairwise(parts))
    assert parts[0]["mpjpe_mm"] == pytest.approx(10, rel=1e-3) and parts[-1]["mpjpe_mm"] == pytest.approx(30, rel=1e-3)


def test_noise_has_the_sigma_told_and_costs_more_the_larger_it_is():
    one = sequence(frames=400)
    noisy = protocols.with_noise(one, 10.0, np.random.default_rng(0))
    assert np.std(noisy.keypoints - one.keypoints) == pytest.approx(10, rel=0.03)
    study = protocols.noise_study(linear_lift, [replace(one, joints=linear_lift(one.inputs()) + [0, 0, 4])])
    assert list(study) == ["0", "5", "10", "15", "20"]
    errors = [row["p_mpjpe_mm"] for row in study.values()]
    assert errors[0] < 0.01 and errors == sorted(errors) and study["20"]["mpjpe_mm"] > study["5"]["mpjpe_mm"]


def test_the_measures_agree_with_the_metrics():
    one = sequence()
    answer = protocols.Answer(one, one.targets() + 0.05 * np.random.default_rng(0).normal(size=one.joints.shape))
    row = protocols.figures([answer])["mean"]
    true = one.targets()
    assert row["mpjpe_mm"] == pytest.approx(metrics.mpjpe(answer.predicted, true))
    assert row["auc_percent"] == pytest.approx(metrics.auc(answer.predicted, true))
    bones = np.stack([H36M_17.bone_parents, H36M_17.bone_children], axis=1)
    assert row["bone_deviation_mm"] == pytest.approx(metrics.bone_length_deviation(answer.predicted, bones))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Free motion in front of virtual cameras; on real motion where it is at hand."""

from pathlib import Path

import numpy as np
import pytest

from video_to_pose.data import body, virtual
from video_to_pose.data.sequences import Sequence2D3D
from video_to_pose.data.virtual import VirtualCameras
from video_to_pose.errors import InputError
from video_to_pose.lift.normalize import LIFTER_KEYPOINTS
from video_to_pose.skeleton import BODY_22, H36M_17, HUMANEVA_15, MPI_INF_3DHP_17

SHARED = Path(__file__).parents[4] / "shared"
real = pytest.mark.skipif(not (SHARED / "data" / "mocap").is_dir(), reason="no captured motion beside the project")


def path_of_points(frames: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    figure = rng.uniform([-0.4, -0.4, 0], [0.4, 0.4, 1.8], (17, 3))
    return figure + np.linspace(0, 1, frames)[:, None, None] * [4.0, 1.0, 0.0]


def test_cameras_stand_around_the_clip_and_see_all_of_it():
    points = path_of_points()
    settings = VirtualCameras(count=5, image_size=(1280, 720))
    cameras = virtual.place_cameras(points, settings, np.random.default_rng(3))
    assert len(cameras) == 5
    for camera in cameras:
        local = camera.to_camera(points)
        pixels = camera.project(local)
        assert local[..., 2].min() > 0.4
        assert pixels.min() > 0 and pixels[..., 0].max() < 1280 and pixels[..., 1].max() < 720
        assert camera.R_world_camera[:, 1] @ [0, 0, -1] > 0.8  # the picture's y runs down
    looks = [np.degrees(np.arctan2(*camera.R_world_camera[:2, 2])) for camera in cameras]
    gaps = np.diff(np.sort(looks), append=np.sort(looks)[0] + 360)
    assert gaps.max() < 120


def test_resampling_keeps_places_in_time():
    time = np.arange(61) / 60
    points = np.stack([time, 2 * time, 0 * time], axis=-1)[:, None]
    for rate in (30.0, 50.0, 60.0, 25.0):
        resampled = virtual._resampled(points, 60.0, rate)
        assert resampled[:, 0, 0] == pytest.approx(np.arange(len(resampled)) / rate, abs=1e-9)
        assert len(resampled) == rate + 1


def still(frames: int = 300) -> Sequence2D3D:
    points = path_of_points(frames) + [0, 0, 6]
    return Sequence2D3D(
        subject="a",
        action="walk 1",
        camera="0",
        rate=30.0,
        skeleton=H36M_17,
        keypoint_names=H36M_17.joints,
        keypoints=points[..., :2] * 100 + 300,
        scores=np.ones((frames, 17)),
        joints=points,
        image_size=(1000, 1000),
    )


def test_a_detectors_errors_last_and_its_scores_tell_of_them():
    one = still()
    seen = virtual.detected(one, seed=1)
    error = seen.keypoints - one.keypoints
    size = np.linalg.norm(error, axis=-1)
    assert size.mean() > 0.3 and np.isfinite(error).all()
    assert seen.scores.min() >= 0.05 and seen.scores.max() <= 1
    assert np.corrcoef(seen.scores.ravel(), size.ravel())[0, 1] < -0.3
    steps = np.linalg.norm(np.diff(error, axis=0), axis=-1)
    assert steps.mean() < size.mean()  # white noise would step by √2 of its size


def test_detection_repeats_by_seed_and_vanishes_at_level_zero():
    one = still()
    assert np.array_equal(virtual.detected(one, seed=1).keypoints, virtual.detected(one, seed=1).keypoints)
    assert not np.array_equal(virtual.detected(one, seed=1).keypoints, virtual.detected(one, seed=2).keypoints)
    assert virtual.detected(one, level=0).keypoints == pytest.approx(one.keypoints)


@real
def test_test_performers_come_as_17_joints_with_exact_projections():
    sequences = virtual.virtual_sequences(
        SHARED / "data" / "mocap" / "test", SHARED / "human", names=("09_03", "14_22"), cameras=VirtualCameras(count=2)
    )
    assert [(s.subject, s.camera) for s in sequences] == [("09", "0"), ("09", "1"), ("14", "0"), ("14", "1")]
    for one in sequences:
        assert one.skeleton is H36M_17 and one.keypoint_names == H36M_17.joints and one.rate == 30
        assert one.lens.project(one.joints) == pytest.approx(one.keypoints, abs=1e-2)
        assert one.inputs().min() > -1 and one.inputs().max() < 1
        bones = np.linalg.norm(one.joints[:, H36M_17.bone_children] - one.joints[:, H36M_17.bone_parents], axis=-1)
        legs = [H36M_17.index(name) - 1 for name in ("left_knee", "left_ankle", "right_knee", "right_ankle")]
        assert bones[:, legs].std(axis=0).max() < 2e-3  # interpolation shortens a swinging limb by less than 2 mm
        assert 0.3 < bones[0, legs].mean() < 0.55
    assert sequences[0].action_group == "running, some with sudden stops"


@real
def test_the_same_seed_gives_the_same_whatever_else_is_asked_for():
    folder, human = SHARED / "data" / "mocap" / "test", SHARED / "human"
    few = virtual.virtual_sequences(folder, human, names=("09_03",))
    more = virtual.virtual_sequences(folder, human, names=("09_02", "09_03"))
    other = virtual.virtual_sequences(folder, human, names=("09_03",), seed=1)
    assert np.array_equal(few[2].keypoints, more[6].keypoints) and np.array_equal(few[2].joints, more[6].joints)
    assert not np.array_equal(few[2].keypoints, other[2].keypoints)
    limbs = [
        H36M_17.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("knee", "ankle", "elbow", "wrist")
    ]
    parents = [H36M_17.parents[joint] for joint in limbs]
    lengths = [np.linalg.norm(s.joints[0, limbs] - s.joints[0, parents], axis=-1) for s in (more[0], more[4], other[0])]
    assert lengths[0] == pytest.approx(lengths[1], abs=1e-3)  # one performer, one body
    assert np.abs(lengths[0] - lengths[2]).max() > 5e-3


@real
@pytest.mark.parametrize("skeleton", [BODY_22, HUMANEVA_15, MPI_INF_3DHP_17], ids=lambda s: s.name)
def test_other_skeletons_and_keypoints_on_the_skin(skeleton):
    (one, *_) = virtual.virtual_sequences(
        SHARED / "data" / "mocap" / "test",
        SHARED / "human",
        names=("09_03",),
        skeleton=skeleton,
        keypoint_names=body.LANDMARKS,
    )
    assert one.joints.shape[1] == skeleton.joint_count and one.keypoints.shape[1] == len(body.LANDMARKS)
    ankle = one.lens.project(one.joints[:, skeleton.index("left_ankle")])
    gap = np.linalg.norm(ankle - one.keypoints[:, body.LANDMARKS.index("left_ankle")], axis=-1)
    assert gap.max() < 0.1 * np.ptp(one.keypoints[..., 1], axis=1).max()


@real
def test_a_detectors_landmarks_stand_in_for_the_joints():
    (one,) = virtual.virtual_sequences(
        SHARED / "data" / "mocap" / "test",
        SHARED / "human",
        names=("09_03",),
        skeleton=BODY_22,
        keypoint_names=LIFTER_KEYPOINTS,
        cameras=VirtualCameras(count=1),
    )
    taken = virtual.as_joints(one)
    assert taken.keypoint_names == BODY_22.joints and taken.keypoints.shape == (one.frame_count, 22, 2)
    true = one.lens.project(one.joints)
    gap = np.linalg.norm(taken.keypoints - true, axis=-1).mean(axis=0) / np.ptp(true[..., 1], axis=1).mean()
    assert gap.max() < 0.08 and gap.mean() < 0.03  # of the person's height in the picture


@real
def test_performers_clips_and_joints_that_are_not_there_are_said():
    folder, human = SHARED / "data" / "mocap" / "test", SHARED / "human"
    with pytest.raises(InputError, match="no performer 77"):
        virtual.virtual_sequences(folder, human, subjects=("77",))
    with pytest.raises(InputError, match="no clip 99_99"):
        virtual.virtual_sequences(folder, human, names=("99_99",))
    with pytest.raises(InputError, match="body has no left_antenna"):
        virtual.virtual_sequences(folder, human, keypoint_names=("left_antenna",))
    with pytest.raises(InputError, match="holds no performer"):
        virtual.virtual_sequences(human, human)

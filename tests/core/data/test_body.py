# SPDX-License-Identifier: GPL-3.0-or-later
"""The body follows captured motion: on real motion and the real body, skipped where they are not at hand."""

from pathlib import Path

import numpy as np
import pytest

from video_to_pose.data import body as bodies
from video_to_pose.data import mocap, synthetic
from video_to_pose.skeleton import BODY_22, BODY_32

SHARED = Path(__file__).parents[4] / "shared"
pytestmark = pytest.mark.skipif(
    not (SHARED / "data" / "mocap").is_dir(), reason="no captured motion beside the project"
)


@pytest.fixture(scope="module")
def body() -> bodies.Body:
    return bodies.load_body(SHARED / "human")


@pytest.fixture(scope="module", params=["test/09_03", "test/14_22"])
def clip(request) -> mocap.MocapClip:
    return mocap.load(SHARED / "data" / "mocap" / f"{request.param}.bvh")


def angles(a, b):
    return np.degrees(np.arccos(np.clip(np.sum(a * b, axis=-1), -1, 1)))


def test_limbs_point_where_the_performers_limbs_point(body, clip):
    joints = bodies.joints(body, bodies.pose(body, clip))
    for side in ("left", "right"):
        for limb, (start, end) in {
            "Arm": ("shoulder", "elbow"),
            "ForeArm": ("elbow", "wrist"),
            "UpLeg": ("hip", "knee"),
            "Leg": ("knee", "ankle"),
        }.items():
            bone = joints[:, BODY_22.index(f"{side}_{end}")] - joints[:, BODY_22.index(f"{side}_{start}")]
            bone /= np.linalg.norm(bone, axis=-1, keepdims=True)
            name = side.capitalize() + limb
            assert angles(bone, clip.rotations[name] @ clip.rest_directions[name]).max() < 0.01


def test_limb_lengths_do_not_change_with_time(body, clip):
    joints = bodies.joints(body, bodies.pose(body, clip))
    for joint in (
        "left_knee",
        "right_ankle",
        "left_elbow",
        "right_wrist",
        "right_toe",
        "nose",
        "head_top",
        "left_hand",
    ):
        j = BODY_22.index(joint)
        length = np.linalg.norm(joints[:, j] - joints[:, BODY_22.parents[j]], axis=-1)
        assert length.std() < 1e-6


def test_the_body_stands_on_the_floor(body, clip):
    soles = bodies.skin(body, bodies.pose(body, clip), body.sole)[..., 2]
    assert -0.06 < soles.min() < 0.01
    assert np.percentile(soles.min(axis=1), 5) == pytest.approx(0, abs=1e-6)


def test_the_performer_does_not_run_backwards(body):
    clip = mocap.load(SHARED / "data" / "mocap" / "test" / "09_03.bvh")
    joints = bodies.joints(body, bodies.pose(body, clip))
    run = joints[-1, 0] - joints[0, 0]
    face = joints[:, BODY_22.index("nose")] - joints[:, BODY_22.index("head")]
    assert angles(face / np.linalg.norm(face, axis=-1, keepdims=True), run / np.linalg.norm(run)).max() < 30


def test_landmarks_follow_their_side(body, clip):
    points = bodies.landmarks(body, bodies.pose(body, clip))
    joints = bodies.joints(body, bodies.pose(body, clip))
    for name in ("left_knee", "right_elbow", "left_ankle", "right_hip"):
        distance = np.linalg.norm(points[:, bodies.LANDMARKS.index(name)] - joints[:, BODY_22.index(name)], axis=-1)
        assert distance.max() < 0.06


def test_a_taller_body_is_taller(body, clip):
    tall = bodies.pose(body, clip, scales=dict.fromkeys(synthetic.PARTS, 1.1))
    plain = bodies.pose(body, clip)
    assert np.allclose(
        np.diff(bodies.joints(body, tall), axis=1), 1.1 * np.diff(bodies.joints(body, plain), axis=1), atol=1e-6
    )


def test_samples_are_finite_and_repeatable():
    bank = synthetic.make_bank(SHARED / "data/mocap/test", SHARED / "human", 2, seed=1, names=["09_02", "09_03"])
    one = synthetic.draw(bank, 8, 40, 20, np.random.default_rng(5))
    two = synthetic.draw(bank, 8, 40, 20, np.random.default_rng(5))
    assert one.features.shape == (8, 40, 84) and one.joints.shape == (8, 2, 32, 3)
    assert np.isfinite(one.features).all() and np.array_equal(one.features, two.features)
    assert np.allclose(np.linalg.norm(one.up, axis=-1), 1, atol=1e-4)
    # people mostly stand upright before the camera
    head = one.joints[:, :, BODY_22.index("head")]
    assert np.mean(np.sum(head * one.up, axis=-1) > 0.2) > 0.9


def test_every_clip_has_a_body_of_its_own():
    bank = synthetic.make_bank(SHARED / "data/mocap/test", SHARED / "human", 2, seed=1, names=["09_02", "09_03"])
    joints = bank.points[:, bank.starts[:-1], -BODY_32.joint_count :]
    shins = np.linalg.norm(
        joints[..., BODY_32.index("left_ankle"), :] - joints[..., BODY_32.index("left_knee"), :], axis=-1
    )
    assert len(np.unique(shins.round(4))) == 4


def test_other_detectors_layouts_and_half_bodies_are_drawn_too():
    unknown = synthetic._unknown(2000, np.random.default_rng(0))
    knees, hips, thumbs = (
        unknown[:, synthetic.LIFTER_KEYPOINTS.index(f"left_{part}")] for part in ("knee", "hip", "thumb")
    )
    assert 0.05 < knees.mean() < 0.12 and not hips.any() and 0.1 < thumbs.mean() < 0.3

# SPDX-License-Identifier: GPL-3.0-or-later
"""A network of the papers as a lifter, with a network of known answers: x and y as seen, z from the frame."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from video_to_pose import lift
from video_to_pose.errors import InputError
from video_to_pose.lift import net_lifter
from video_to_pose.lift.onnx_net import NORMALIZATION
from video_to_pose.rotation import axis_angle_to_matrix
from video_to_pose.settings import LiftSettings
from video_to_pose.skeleton import BODY_22, H36M_17, MEDIAPIPE_33, Skeleton, mirror_indices
from video_to_pose.types import KeypointTrack

SIZE = (1280, 720)
CENTRE = np.array([640.0, 360.0])
BODY = {  # a person seen from the front, units of a quarter of their height, y down
    "nose": (0.02, -3.5),
    **{f"{side}_{part}": (s * x, y) for side, s in (("left", 1), ("right", -1)) for part, x, y in (
        ("eye", 0.1, -3.7), ("ear", 0.2, -3.6), ("shoulder", 0.5, -2.9), ("elbow", 0.7, -2.0), ("wrist", 0.8, -1.2),
        ("index", 0.8, -1.0), ("pinky", 0.9, -1.0), ("hip", 0.3, -1.0), ("knee", 0.3, 0.9), ("ankle", 0.3, 2.8),
        ("heel", 0.3, 3.0), ("foot_index", 0.4, 3.1),
    )},
}  # fmt: skip


def network(path, skeleton: Skeleton = BODY_22, scores: bool = False):
    """Joints = (x, y, 0.1 x), which is no mirror image of itself but for the flip."""
    channels = 3 if scores else 2
    weights = np.zeros((channels, 3), dtype=np.float32)
    weights[0, 0] = weights[1, 1] = 1
    weights[0, 2] = 0.1
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["keypoints", "weights"], ["joints"])],
        "known",
        [helper.make_tensor_value_info("keypoints", TensorProto.FLOAT, [1, "frames", skeleton.joint_count, channels])],
        [helper.make_tensor_value_info("joints", TensorProto.FLOAT, [1, "frames", skeleton.joint_count, 3])],
        [helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    told = {
        "architecture": "known",
        "skeleton": skeleton.name,
        "joints": json.dumps(skeleton.joints),
        "parents": json.dumps(skeleton.parents),
        "keypoints": json.dumps(skeleton.joints),
        "scores": json.dumps(scores),
        "receptive_field": "1",
        "target": "0",
        "chunk": "0",
        "normalization": NORMALIZATION,
    }
    helper.set_model_props(model, told)
    onnx.save(model, str(path))
    return path


@pytest.fixture
def lifter(tmp_path) -> net_lifter.NetLifter:
    return lift.load(LiftSettings(model_path=network(tmp_path / "known.onnx"), flip=False, device="cpu"))


def make_track(frames: int = 12, rate: float = 30.0, at=CENTRE, size: float = 80.0) -> KeypointTrack:
    rng = np.random.default_rng(1)
    body = np.array([BODY.get(name, (0, -3.5)) for name in MEDIAPIPE_33]) * size
    sway = rng.normal(size=(1, 33, 2)) * np.sin(np.arange(frames) / rate * 3)[:, None, None]
    return KeypointTrack(np.arange(frames) / rate, MEDIAPIPE_33, body + sway + at, np.ones((frames, 33)), SIZE)


def test_what_is_seen_upright_is_answered_upright(lifter):
    pose = lifter(make_track(), 1000.0, CENTRE)
    down = pose.directions[:, BODY_22.index("left_knee") - 1]
    assert down[:, 1].min() > 0.95
    assert np.allclose(np.linalg.norm(pose.directions, axis=-1), 1, atol=1e-5)
    assert np.allclose(pose.lengths, pose.lengths[BODY_22.mirror[1:] - 1]) and pose.lengths.min() > 0
    assert pose.up == pytest.approx([0, -1, 0], abs=0.05)


def test_place_and_size_in_the_picture_change_nothing_but_the_line_of_sight(lifter):
    """The same rays, seen by a camera turned aside: the same pose, turned back."""
    rays = (make_track().positions - CENTRE) / 1000.0
    R = axis_angle_to_matrix(np.array([0.0, 1.0, 0.0]), 0.4)
    turned = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1) @ R.T
    screen, R_straight = net_lifter.framed(rays)
    aside, R_aside = net_lifter.framed(turned[..., :2] / turned[..., 2:])
    assert np.abs(screen).max() < 1 and aside == pytest.approx(screen, abs=0.03)
    assert R_aside.T @ R @ R_straight == pytest.approx(np.eye(3), abs=0.02)


def test_a_zoom_shows_the_network_the_same(lifter):
    near, far = lifter(make_track(size=80), 1000.0, CENTRE), lifter(make_track(size=80), 4000.0, CENTRE)
    assert near.directions == pytest.approx(far.directions, abs=0.03)


def test_a_mirrored_picture_gives_the_mirrored_pose(tmp_path):
    lifter = lift.load(LiftSettings(model_path=network(tmp_path / "known.onnx"), flip=True, device="cpu"))
    track = make_track()
    names = tuple(n.replace("mouth_left", "left_mouth").replace("mouth_right", "right_mouth") for n in MEDIAPIPE_33)
    positions = track.positions[:, mirror_indices(names)] * [-1, 1] + [SIZE[0], 0]
    pose = lifter(track, 1000.0, CENTRE)
    mirrored = lifter(dataclasses.replace(track, positions=positions), 1000.0, CENTRE)
    bones = BODY_22.mirror[1:] - 1
    assert mirrored.directions == pytest.approx(pose.directions[:, bones] * [-1, 1, 1], abs=1e-4)


def test_scores_reach_networks_that_read_them(tmp_path):
    lifter = lift.load(LiftSettings(model_path=network(tmp_path / "known.onnx", scores=True), device="cpu"))
    assert lifter(make_track(1), 1000.0, CENTRE).directions.shape == (1, 21, 3)


def test_lying_people_leave_the_camera_level():
    joints = np.zeros((5, 22, 3))
    for joint in ("left_ankle", "right_ankle"):
        joints[:, BODY_22.index(joint), 0] = 1.5
    assert net_lifter.leaning_up(BODY_22, joints) == pytest.approx([0, -1, 0])


def test_a_skeleton_without_feet_and_hands_is_refused(tmp_path):
    with pytest.raises(InputError, match="answers in h36m17") as caught:
        lift.load(LiftSettings(model_path=network(tmp_path / "net.onnx", H36M_17), device="cpu"))
    assert "--skeleton body22" in caught.value.hint

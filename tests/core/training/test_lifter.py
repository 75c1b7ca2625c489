# SPDX-License-Identifier: GPL-3.0-or-later
"""Training on made-up samples: it learns, what it exports is what it trained, and the file says how."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.motions import LENGTHS_32, landmark_joints  # noqa: E402
from video_to_pose import bones, lift  # noqa: E402
from video_to_pose.data.synthetic import Batch  # noqa: E402
from video_to_pose.lift.normalize import normalize_keypoints  # noqa: E402
from video_to_pose.retarget.rig import rest_directions  # noqa: E402
from video_to_pose.rotation import axis_angle_to_matrix  # noqa: E402
from video_to_pose.settings import LiftSettings  # noqa: E402
from video_to_pose.skeleton import BODY_32  # noqa: E402
from video_to_pose.training import lifter as training  # noqa: E402

SETTINGS = training.TrainingSettings(minutes=0.02, batch=32, channels=32, levels=1, learning_rate=3e-3)
ANSWERED = 4
"""The middle of nine frames."""


def draw(rng: np.random.Generator) -> Batch:
    """A T-posed person who is turned at random before a level camera."""
    angle = rng.uniform(-1.5, 1.5, SETTINGS.batch)[:, None] + np.linspace(0, 0.1, 10)
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # world to a level camera that looks along +Y
    joints = bones.compose(BODY_32, rest_directions(BODY_32), LENGTHS_32)
    turned = joints @ np.swapaxes(axis_angle_to_matrix(np.array([0, 0, 1.0]), angle), -1, -2) @ upright.T
    seen = turned[:, :, landmark_joints()] + [0, 0, 4.0]
    pixels = seen[..., :2] / seen[..., 2:]
    features, R = normalize_keypoints(pixels, np.ones(pixels.shape[:-1]), 1.0, np.zeros(2))
    up = np.einsum("nfij,i->nfj", R, [0.0, -1.0, 0.0])
    answered = slice(ANSWERED, ANSWERED + 2)
    return Batch(features, (turned @ R)[:, answered].astype(np.float32), up[:, answered].astype(np.float32))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("training") / "net.pt"
    training.train(draw, torch.as_tensor(LENGTHS_32), SETTINGS, path, report=lambda _: None)
    return path


def measure(net) -> float:
    batch = draw(np.random.default_rng(99))
    with torch.no_grad():
        return training.loss(net.eval(), *(torch.as_tensor(a) for a in (batch.features, batch.joints, batch.up)))[1][
            "mpjpe_mm"
        ]


def test_the_loss_teaches_the_pose():
    torch.manual_seed(0)
    net = training.make_net(SETTINGS, torch.as_tensor(LENGTHS_32))
    before, rng = measure(net), np.random.default_rng(1)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(60):
        batch = draw(rng)
        total, _ = training.loss(net.train(), *(torch.as_tensor(a) for a in (batch.features, batch.joints, batch.up)))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    training.calibrate(net, draw, seed=2, batches=10)
    assert measure(net) < 0.3 * before


def test_training_leaves_a_checkpoint_to_go_on_from(checkpoint):
    net, stored = training.load_checkpoint(checkpoint)
    assert stored["steps"] > 0 and net.receptive_field == 9


def test_joints_are_composed_as_the_core_composes_them():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(4, 31, 3)).astype(np.float32)
    ours = training.compose(torch.as_tensor(directions), torch.as_tensor(LENGTHS_32).expand(4, -1))
    assert np.allclose(ours, bones.compose(BODY_32, directions, LENGTHS_32), atol=1e-5)


def test_the_exported_file_is_the_trained_network_and_says_how_it_was_made(checkpoint, tmp_path):
    onnx = pytest.importorskip("onnx")
    training.export(checkpoint, tmp_path / "small.onnx", {"licence": "CC0-1.0"})
    lifter = lift.load(LiftSettings(model_path=tmp_path / "small.onnx"))
    features = draw(np.random.default_rng(5)).features
    got = lifter.session.run(None, {"features": features})
    with torch.no_grad():
        want = training.load_checkpoint(checkpoint)[0](torch.as_tensor(features))
    for a, b in zip(got, want, strict=True):
        assert np.abs(a - b.numpy()).mean() < 1e-2  # half precision counts here: so young a network is all rounding
    stored = {weight.data_type for weight in onnx.load(str(tmp_path / "small.onnx")).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in stored  # half the file
    assert lifter.receptive_field == 9 and lifter.skeleton.joints == BODY_32.joints
    assert lifter.metadata["licence"] == "CC0-1.0"
    assert json.loads(lifter.metadata["training_settings"])["channels"] == 32

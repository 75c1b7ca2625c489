# SPDX-License-Identifier: GPL-3.0-or-later
"""One frame at a time."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from video_to_pose.nets.fully_connected import FullyConnected, FullyConnectedSettings, loss  # noqa: E402
from video_to_pose.skeleton import BODY_22, H36M_17, SKELETONS  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    """Networks as small as these lose time to threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(skeleton=H36M_17, **kwargs) -> FullyConnected:
    torch.manual_seed(0)
    return FullyConnected(skeleton, FullyConnectedSettings(channels=16, **kwargs)).eval()


def test_frames_know_nothing_of_each_other():
    net = small()
    clip = torch.randn(2, 7, 17, 2)
    other = clip.clone()
    other[:, 3] += 1
    changed = (net(clip) != net(other)).flatten(2).any(dim=2)[0]
    assert changed.nonzero().flatten().tolist() == [3]
    torch.testing.assert_close(net(clip)[:, 3], net.window(clip[:, 3:4]), atol=1e-5, rtol=0)


def test_its_size_is_two_blocks_of_two_layers():
    with torch.device("meta"):
        net = FullyConnected(H36M_17)
    layer = 1024 * 1024 + 1024 + 2 * 1024
    ends = (34 * 1024 + 1024 + 2 * 1024) + (1024 * 51 + 51)
    assert sum(parameter.numel() for parameter in net.parameters()) == 4 * layer + ends == 4_296_755


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
def test_any_skeleton_will_do(skeleton):
    assert small(skeleton)(torch.randn(1, 4, skeleton.joint_count, 2)).shape == (1, 4, skeleton.joint_count, 3)


def test_scores_are_read_only_when_asked_for():
    clip = torch.randn(1, 2, 22, 3)
    other = clip.clone()
    other[..., 2] += 1
    assert torch.equal(small(BODY_22)(clip), small(BODY_22)(other))
    hearing = small(BODY_22, scores=True)
    assert hearing.needs_scores and not torch.equal(hearing(clip), hearing(other))


def test_constrained_weights_have_at_most_norm_one():
    net = small()
    net.constrain()
    norms = [module.weight.norm() for module in net.modules() if isinstance(module, torch.nn.Linear)]
    assert max(norms) <= 1 + 1e-5
    free = small(max_norm=None)
    before = free.net.head.weight.clone()
    free.constrain()
    assert torch.equal(before, free.net.head.weight)


def test_training_lowers_the_loss():
    net = small(dropout=0.0).train()
    keypoints, joints = torch.randn(32, 1, 17, 2), torch.randn(32, 1, 17, 3)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    first = float(loss(net, keypoints, joints)[0])
    for _ in range(30):
        optimizer.zero_grad()
        total, parts = loss(net, keypoints, joints)
        total.backward()
        optimizer.step()
    assert float(total) < 0.7 * first and float(parts["mpjpe"]) > 0


def test_other_keypoints_and_missing_scores_are_refused():
    net = small(scores=True)
    with pytest.raises(ValueError, match=r"17, 3.*16"):
        net(torch.zeros(1, 1, 16, 3))
    with pytest.raises(ValueError, match="scores"):
        net.window(torch.zeros(1, 1, 17, 2))


def test_onnx_runtime_agrees_at_any_length(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    net = small()
    path = str(tmp_path / "net.onnx")
    torch.onnx.export(
        net,
        (torch.zeros(1, 5, 17, 2),),
        path,
        input_names=["keypoints"],
        output_names=["joints"],
        dynamic_axes={"keypoints": {0: "clips", 1: "frames"}, "joints": {0: "clips", 1: "frames"}},
        opset_version=17,
        dynamo=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    clip = torch.randn(2, 11, 17, 2)
    (joints,) = session.run(None, {"keypoints": clip.numpy()})
    np.testing.assert_allclose(joints, net(clip).detach().numpy(), atol=1e-4)

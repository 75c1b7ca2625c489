# SPDX-License-Identifier: GPL-3.0-or-later
"""One set of weights in two forms; a frame sees its receptive field and no further."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from video_to_pose.nets.tcn import TCN, TCNSettings, in_chunks, loss  # noqa: E402
from video_to_pose.skeleton import BODY_22, H36M_17, SKELETONS  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    """Networks as small as these lose time to threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(receptive_field: int = 27, causal: bool = False, skeleton=H36M_17, **kwargs) -> TCN:
    torch.manual_seed(0)
    net = TCN(skeleton, TCNSettings(receptive_field, channels=16, causal=causal, **kwargs)).eval()
    settle(net)
    return net


def settle(net: torch.nn.Module) -> None:
    """Batch norms as after a training, not the identity they start as."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)


def held(keypoints: torch.Tensor, frame: int, net: TCN) -> torch.Tensor:
    """The window of a frame, the clip's ends held."""
    frames = torch.arange(net.receptive_field) - net.target + frame
    return keypoints[:, frames.clamp(0, keypoints.shape[1] - 1)]


@pytest.mark.parametrize(("receptive_field", "parameters"), [(27, 8_555_571), (81, 12_753_971), (243, 16_952_371)])
def test_it_has_the_papers_parameters(receptive_field, parameters):
    with torch.device("meta"):
        net = TCN(H36M_17, TCNSettings(receptive_field))
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("receptive_field", [9, 27, 81])
@pytest.mark.parametrize("frames", [1, 5, 30, 200])
def test_whole_clips_equal_windows_at_every_frame(frames, receptive_field, causal):
    net = small(receptive_field, causal)
    clip = torch.randn(2, frames, 17, 2)
    with torch.no_grad():
        dense = net(clip)
        windows = torch.stack([net.window(held(clip, frame, net)) for frame in range(frames)], dim=1)
    assert dense.shape == (2, frames, 17, 3)
    torch.testing.assert_close(dense, windows, atol=1e-5, rtol=0)


@pytest.mark.parametrize("causal", [False, True])
def test_long_clips_in_pieces_equal_the_whole(causal):
    net = small(27, causal)
    clip = torch.randn(1, 100, 17, 2)
    with torch.no_grad():
        pieces = in_chunks(net._dense, clip, net.target, 26 - net.target, chunk=17)
        torch.testing.assert_close(pieces, net(clip), atol=1e-5, rtol=0)


@pytest.mark.parametrize("causal", [False, True])
def test_a_frame_sees_its_receptive_field_and_no_further(causal):
    net = small(27, causal)
    clip = torch.randn(1, 81, 17, 2, requires_grad=True)
    net(clip)[0, 40].sum().backward()
    seen = clip.grad[0].abs().sum(dim=(1, 2)).nonzero().flatten()
    assert (seen.min(), seen.max()) == ((14, 40) if causal else (27, 53))


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
def test_any_skeleton_will_do(skeleton):
    net = small(9, skeleton=skeleton)
    assert net(torch.randn(1, 4, skeleton.joint_count, 2)).shape == (1, 4, skeleton.joint_count, 3)


def test_scores_are_read_only_when_asked_for():
    clip = torch.randn(1, 9, 22, 3)
    other = clip.clone()
    other[..., 2] += 1
    deaf, hearing = small(9, skeleton=BODY_22), small(9, skeleton=BODY_22, scores=True)
    assert not deaf.needs_scores and hearing.needs_scores
    assert torch.equal(deaf(clip), deaf(other)) and not torch.equal(hearing(clip), hearing(other))


def test_a_receptive_field_that_is_no_power_of_three_is_refused():
    for wrong in (3, 10, 100):
        with pytest.raises(ValueError, match="receptive field"):
            TCN(H36M_17, TCNSettings(wrong))


def test_the_loss_is_the_target_frames_error_and_falls():
    net = small(9).train()
    keypoints, joints = torch.randn(8, 9, 17, 2), torch.randn(8, 9, 17, 3)
    total, parts = loss(net.eval(), keypoints, joints)
    expected = (net.window(keypoints) - joints[:, 4]).norm(dim=-1).mean()
    assert torch.allclose(total, expected) and float(parts["mpjpe"]) == pytest.approx(float(total))
    assert torch.allclose(total, loss(net, keypoints, joints[:, 4:5])[0])
    optimizer = torch.optim.Adam(net.train().parameters(), lr=1e-2)
    first = None
    for _ in range(20):
        optimizer.zero_grad()
        total, _parts = loss(net, keypoints, joints)
        total.backward()
        optimizer.step()
        first = first or float(total)
    assert float(total) < 0.7 * first


def test_other_keypoints_and_missing_scores_are_refused():
    net = small(9, scores=True)
    with pytest.raises(ValueError, match=r"17, 3.*16"):
        net(torch.zeros(1, 9, 16, 3))
    with pytest.raises(ValueError, match="scores"):
        net.window(torch.zeros(1, 9, 17, 2))


@pytest.mark.parametrize("causal", [False, True])
def test_onnx_runtime_agrees_at_any_length(tmp_path, causal):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    net = small(27, causal)
    path = str(tmp_path / "tcn.onnx")
    axes = {"keypoints": {0: "clips", 1: "frames"}, "joints": {0: "clips", 1: "frames"}}
    torch.onnx.export(
        net,
        (torch.zeros(1, 96, 17, 2),),
        path,
        input_names=["keypoints"],
        output_names=["joints"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for frames in (3, 61):
        clip = torch.randn(2, frames, 17, 2)
        (joints,) = session.run(None, {"keypoints": clip.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(joints, net(clip).numpy(), atol=1e-4)

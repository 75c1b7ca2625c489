# SPDX-License-Identifier: GPL-3.0-or-later
"""Seq2Seq says what Hossain & Little 2018 wrote."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from video_to_pose.errors import InputError
from video_to_pose.nets import seq2seq
from video_to_pose.nets.seq2seq import LayerNormLSTMCell, Seq2Seq, Seq2SeqSettings
from video_to_pose.skeleton import BODY_22, H36M_17, SKELETONS, Skeleton


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """These tensors are tiny: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make(skeleton: Skeleton = H36M_17, **settings: object) -> Seq2Seq:
    torch.manual_seed(0)
    net = Seq2Seq(skeleton, Seq2SeqSettings(**{"hidden": 32} | settings))  # type: ignore[arg-type]
    keypoints, joints = clip(skeleton, frames=50)
    net.measure(keypoints, joints)
    return net.eval()


def clip(skeleton: Skeleton = H36M_17, frames: int = 12, clips: int = 1, seed: int = 1) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    joints = 0.3 * torch.randn(clips, frames, skeleton.joint_count, 3, generator=rng)
    joints = joints - joints[:, :, :1]
    return torch.rand(clips, frames, skeleton.joint_count, 2, generator=rng) - 0.5, joints


def parameters(net: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_parameters_are_those_counted_in_the_field() -> None:
    assert parameters(Seq2Seq(H36M_17)) == 16_963_664  # 16 keypoints (no nose), 16 joints (no root)
    without = Seq2Seq(H36M_17, Seq2SeqSettings(encoder_projection=False))
    assert parameters(without) == 16_963_664 - 32_800
    used = sum(p.numel() for p in Seq2Seq(H36M_17).parameters() if p.requires_grad)
    assert used == parameters(without), "what nothing uses is not trained"


def test_cell_is_the_published_equations() -> None:
    torch.manual_seed(0)
    hidden, inputs, rows = 8, 5, 3
    cell = LayerNormLSTMCell(inputs, hidden, layer_norm=True, dropout=0.0, epsilon=1e-12).eval()
    torch.nn.init.normal_(cell.gain)
    torch.nn.init.normal_(cell.shift)
    x, c, h = (torch.randn(rows, width) for width in (inputs, hidden, hidden))
    got_c, got_h = cell(x @ cell.input_weight.T, (c, h))

    W = np.concatenate([cell.input_weight.detach().numpy(), cell.hidden_weight.detach().numpy()], axis=1)
    gain, shift = cell.gain.detach().numpy(), cell.shift.detach().numpy()

    def norm(v: np.ndarray, which: int) -> np.ndarray:
        return (v - v.mean()) / np.sqrt(v.var() + 1e-12) * gain[which] + shift[which]

    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    for row in range(rows):
        summed = W @ np.concatenate([x[row].numpy(), h[row].numpy()])
        i, j, f, o = (norm(part, which) for which, part in enumerate(np.split(summed, 4)))
        new_c = norm(c[row].numpy() * sigmoid(f + 1) + sigmoid(i) * np.tanh(j), 4)
        np.testing.assert_allclose(got_c[row].detach().numpy(), new_c, atol=1e-5)
        np.testing.assert_allclose(got_h[row].detach().numpy(), np.tanh(new_c) * sigmoid(o), atol=1e-5)


def test_recurrent_dropout_drops_the_candidate_alone() -> None:
    torch.manual_seed(0)
    cell = LayerNormLSTMCell(4, 200, layer_norm=False, dropout=0.5, epsilon=1e-12)
    gates, state = torch.randn(1, 800), (torch.randn(1, 200), torch.randn(1, 200))
    candidate_off = gates + state[1] @ cell.hidden_weight.T
    _, _, f, _ = candidate_off.chunk(4, dim=1)
    kept = state[0] * torch.sigmoid(f + 1)  # what the cell remembers passes untouched
    dropped = (cell(gates, state)[0] - kept).abs() < 1e-6
    assert 0.3 < dropped.float().mean() < 0.7


def naive_sequence(net: Seq2Seq, keypoints: Tensor) -> Tensor:
    """One window (T, K, 2) as the paper tells it: no shared gates, no folded maps."""
    x = (keypoints[:, net.seen].flatten(1) - net.keypoint_mean) / net.keypoint_std
    hidden = net.settings.hidden
    state = (torch.zeros(1, hidden), torch.zeros(1, hidden))
    for frame in x.flip(0):
        entered = net.encoder.enter(frame[None])
        state = net.encoder.cell(entered @ net.encoder.cell.input_weight.T, state)
    pose = torch.ones(1, len(net.joint_mean))
    spoken = []
    for _ in range(len(x)):
        state = net.decoder.cell(net.decoder.enter(pose) @ net.decoder.cell.input_weight.T, state)
        pose = pose + net.speak(state[1])
        spoken.append(pose * net.joint_std + net.joint_mean)
    joints = torch.cat(spoken).reshape(len(x), -1, 3)
    return torch.cat([torch.zeros(len(x), 1, 3), joints], dim=1)


@torch.no_grad()
@pytest.mark.parametrize("frames", [2, 5, 10])
def test_sequence_equals_the_plain_telling(frames: int) -> None:
    net = make(frames=frames)
    keypoints, _ = clip(frames=frames, clips=2)
    expected = torch.stack([naive_sequence(net, keypoints[n]) for n in range(2)])
    torch.testing.assert_close(net.sequence(keypoints), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda skeleton: skeleton.name)
def test_whole_clip_equals_windows(skeleton: Skeleton, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seq2seq, "WINDOWS_AT_ONCE", 5)  # several chunks, the last one short
    net = make(skeleton)
    keypoints, _ = clip(skeleton, frames=13, clips=2)
    held = torch.cat([keypoints[:, :1].expand(-1, 4, -1, -1), keypoints], dim=1)
    windows = torch.stack([net.window(held[:, t : t + 5]) for t in range(13)], dim=1)
    torch.testing.assert_close(net(keypoints), windows, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_first_window_answers_the_first_frames_as_in_the_papers_test() -> None:
    net = make(first_frames="first window")
    keypoints, _ = clip(frames=9)
    answer = net(keypoints)
    torch.testing.assert_close(answer[:, :5], net.sequence(keypoints[:, :5]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(answer[:, 8], net.window(keypoints[:, 4:9]), atol=1e-5, rtol=1e-5)
    assert net(keypoints[:, :3]).shape == (1, 3, 17, 3), "a clip shorter than T is held"


@torch.no_grad()
def test_the_future_does_not_matter() -> None:
    net = make()
    keypoints, _ = clip(frames=12)
    other = keypoints.clone()
    other[:, 6:] += 1
    torch.testing.assert_close(net(keypoints)[:, :6], net(other)[:, :6], atol=0, rtol=0)
    assert not torch.allclose(net(keypoints)[:, 6], net(other)[:, 6])


@torch.no_grad()
def test_online_answers_each_frame_as_it_comes() -> None:
    net = make()
    keypoints, _ = clip(frames=9)
    answers = torch.stack(list(seq2seq.online(net, keypoints[0])))
    torch.testing.assert_close(answers, net(keypoints)[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("residual", [True, False])
def test_residual_decoder_with_zero_weights_repeats_its_start(residual: bool) -> None:
    net = make(residual=residual)
    for parameter in net.parameters():
        parameter.zero_()
    keypoints, _ = clip(frames=5)
    start = (net.joint_mean + residual * net.joint_std).reshape(16, 3)  # ones, or nothing at all, in z-scores
    for pose in net.sequence(keypoints)[0]:
        torch.testing.assert_close(pose[1:], start)
        assert not pose[0].any(), "the root is the origin"


@torch.no_grad()
def test_the_encoder_reads_backwards() -> None:
    keypoints, _ = clip(frames=5)
    forwards, backwards = make(reverse=False), make(reverse=True)
    torch.testing.assert_close(forwards.sequence(keypoints), backwards.sequence(keypoints.flip(1)))
    assert not torch.allclose(forwards.sequence(keypoints), backwards.sequence(keypoints))


@torch.no_grad()
def test_z_scores_make_pixels_and_normalised_coordinates_one() -> None:
    keypoints, joints = clip(frames=40)
    net, pixels = make(), make()
    to_pixels = torch.tensor([500.0, 300.0])
    net.measure(keypoints, joints)
    pixels.measure(keypoints * to_pixels + 400, joints)
    torch.testing.assert_close(net(keypoints), pixels(keypoints * to_pixels + 400), atol=1e-4, rtol=1e-4)
    assert "keypoint_mean" in net.state_dict() and "joint_std" in net.state_dict()


@torch.no_grad()
def test_the_nose_is_not_seen_unless_asked_for() -> None:
    keypoints, _ = clip()
    other = keypoints.clone()
    other[:, :, H36M_17.index("nose")] += 1
    assert torch.equal(make()(keypoints), make()(other))
    net = make(ignored_keypoints=())
    assert not torch.allclose(net(keypoints), net(other))


def test_joint_sets_are_found_by_name() -> None:
    def named(skeleton: Skeleton, sets: str) -> list[set[str]]:
        return [{skeleton.joints[j] for j in group} for group in seq2seq.joint_sets(skeleton, sets)]  # type: ignore[arg-type]

    sides = ("left", "right")
    torso, middles, ends = named(H36M_17, "paper")
    assert middles == {f"{side}_{name}" for side in sides for name in ("knee", "elbow")}
    assert ends == {f"{side}_{name}" for side in sides for name in ("ankle", "wrist")}
    assert torso == set(H36M_17.joints) - middles - ends - {"pelvis"}
    _, legs, arms = named(H36M_17, "program")
    assert legs == {f"{side}_{name}" for side in sides for name in ("knee", "ankle")}
    assert arms == {f"{side}_{name}" for side in sides for name in ("elbow", "wrist")}
    _, _, ends = named(BODY_22, "paper")
    assert {"left_toe", "right_hand"} <= ends


@torch.no_grad()
def test_loss_is_equation_3() -> None:
    net = make(dropout=0.0, recurrent_dropout=0.0)
    keypoints, joints = clip(frames=7, clips=2)  # three windows each
    total, parts = seq2seq.loss(net, keypoints, joints)
    starts = [(n, s) for n in range(2) for s in range(3)]
    said = 1000 * torch.cat([net.sequence(keypoints[n : n + 1, s : s + 5]) for n, s in starts])
    true = 1000 * torch.stack([joints[n, s : s + 5] for n, s in starts])
    position = (said - true).square().sum(dim=(2, 3)).mean()  # eq. 1
    change = (said[:, 1:] - said[:, :-1]).square().sum(dim=-1)
    smoothness = 0.0  # eq. 2
    for group, weight in zip(seq2seq.joint_sets(H36M_17, "paper"), (1.0, 2.5, 4.0), strict=True):
        smoothness += weight * change[:, :, group].sum(dim=-1).mean()
    assert parts["position"].item() == pytest.approx(position.item(), rel=1e-4)
    assert parts["smoothness"].item() == pytest.approx(float(smoothness), rel=1e-4)
    assert total.item() == pytest.approx(float(position + 5 * smoothness), rel=1e-4)
    averaged, _ = seq2seq.loss(
        make(dropout=0.0, recurrent_dropout=0.0, average="coordinate"), keypoints, joints
    )  # the program's is the paper's over the number of coordinates
    assert averaged.item() == pytest.approx(total.item() / 48, rel=1e-4)


def test_training_lowers_the_loss_and_reaches_every_trained_parameter() -> None:
    net = make(dropout=0.0, recurrent_dropout=0.0).train()
    keypoints, joints = clip(frames=6, clips=8)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        total, _ = seq2seq.loss(net, keypoints, joints)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(total.item())
    assert losses[-1] < 0.8 * losses[0]
    still = [name for name, p in net.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert still == []


def test_training_drops_inference_does_not() -> None:
    net = make()
    keypoints, _ = clip()
    assert torch.equal(net(keypoints), net(keypoints))
    net.train()
    assert not torch.equal(net(keypoints), net(keypoints))


@pytest.mark.parametrize("options", [{"layer_norm": False}, {"residual": False}, {"joint_sets": "program"}])
def test_ablations_run(options: dict[str, object]) -> None:
    net = make(**options).train()
    keypoints, joints = clip(frames=5, clips=4)
    total, _ = seq2seq.loss(net, keypoints, joints)
    total.backward()
    assert torch.isfinite(total)


def test_bad_input_is_named() -> None:
    net = make()
    with pytest.raises(InputError, match=r"\(clips, frames, 17, 2\), got \(1, 5, 15, 2\)") as caught:
        net(torch.zeros(1, 5, 15, 2))
    assert "pelvis" in caught.value.hint
    with pytest.raises(ValueError, match="at least 2 frames"):
        Seq2SeqSettings(frames=1)


@torch.no_grad()
def test_onnx_has_a_free_time_axis(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    net = make()
    path = tmp_path / "seq2seq.onnx"
    axes = {name: {0: "clips", 1: "frames"} for name in ("keypoints", "joints")}
    torch.onnx.export(
        net,
        (clip(frames=9)[0],),
        str(path),
        input_names=["keypoints"],
        output_names=["joints"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    session = onnxruntime.InferenceSession(str(path))
    for frames, clips in ((1, 1), (9, 1), (30, 2)):
        keypoints, _ = clip(frames=frames, clips=clips)
        (answer,) = session.run(None, {"keypoints": keypoints.numpy()})
        np.testing.assert_allclose(answer, net(keypoints).numpy(), atol=1e-4)

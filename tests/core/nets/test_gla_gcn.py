# SPDX-License-Identifier: GPL-3.0-or-later
"""GLA-GCN says what Yu et al. 2023 wrote."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from video_to_pose.errors import InputError
from video_to_pose.nets import gla_gcn
from video_to_pose.nets.gla_gcn import AGCN, GLAGCN, AdaptiveGraphConvolution, GLAGCNSettings, Refinement
from video_to_pose.skeleton import H36M_17, SKELETONS, Skeleton


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """These tensors are tiny: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make(skeleton: Skeleton = H36M_17, **settings: object) -> GLAGCN:
    torch.manual_seed(0)
    net = GLAGCN(skeleton, GLAGCNSettings(**{"receptive_field": 9, "channels": 8} | settings))  # type: ignore[arg-type]
    return shaken(net)


def shaken(net: GLAGCN) -> GLAGCN:
    """As if trained: a new network's blocks are nothing but their residuals, and its B is nought."""
    rng = torch.Generator().manual_seed(2)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            size = module.num_features
            module.weight.data = 0.2 + 0.4 * torch.rand(size, generator=rng)
            module.bias.data = 0.2 * torch.randn(size, generator=rng)
            module.running_mean = 0.3 * torch.randn(size, generator=rng)
            module.running_var = 0.5 + torch.rand(size, generator=rng)
        if isinstance(module, AdaptiveGraphConvolution):
            module.bias.data = 0.3 * torch.randn(module.bias.shape, generator=rng)
            if module.adaptive:
                module.B.data = 0.2 * torch.randn(module.B.shape, generator=rng)
                module.embed.weight.data *= 5
    return net.eval()


def clip(skeleton: Skeleton = H36M_17, frames: int = 12, clips: int = 1, seed: int = 1) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    joints = 0.3 * torch.randn(clips, frames, skeleton.joint_count, 3, generator=rng)
    return torch.rand(clips, frames, skeleton.joint_count, 2, generator=rng) - 0.5, joints - joints[:, :, :1]


def parameters(net: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(("frames", "count"), [(27, 844_076), (81, 1_096_466), (243, 1_348_856)])
def test_parameters_of_table_5(frames: int, count: int) -> None:
    assert parameters(GLAGCN(H36M_17, GLAGCNSettings(receptive_field=frames))) == count


def test_parameters_with_reconstruction_meet_table_5_only_with_a_part_the_text_does_not_have() -> None:
    def count(**settings: object) -> int:
        return parameters(GLAGCN(H36M_17, GLAGCNSettings(reconstruction=True, **settings)))  # type: ignore[arg-type]

    assert count() == 1_731_617  # the text, lambda = 0
    assert count(blend=0.5) == 1_736_564  # both kinds of individually connected layers
    assert count(blend=0.5, refine=True) == 1_876_886  # 1.88 M
    assert count(blend=0.5, refine=True, channels=512) == 48_641_526  # 48.64 M


# --- The adaptive graph convolution --------------------------------------------------------------------------------


def test_subsets_are_self_nearer_and_farther_neighbours() -> None:
    own, nearer, farther = gla_gcn.neighbour_subsets(H36M_17)
    assert torch.equal(own, torch.eye(17))
    knee, hip, ankle = (H36M_17.index(f"left_{name}") for name in ("knee", "hip", "ankle"))
    assert nearer[knee].nonzero().flatten().tolist() == [hip]
    assert farther[knee].nonzero().flatten().tolist() == [ankle]
    assert torch.equal(nearer, farther.T), "what is nearer to me finds me farther"
    assert (nearer + farther).sum() == 2 * H36M_17.bone_count


def test_subsets_follow_the_gravity_centre_of_a_given_pose() -> None:
    # A chain whose gravity centre lies at its third joint, and one joint as far from it as its neighbour.
    chain = Skeleton("chain", ("a", "b", "c", "d"), (-1, 0, 1, 2))
    pose = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 0.0]])  # centre (1.25, 0)
    own, nearer, farther = gla_gcn.neighbour_subsets(chain, pose)
    assert own.nonzero().tolist() == [[0, 0], [1, 1], [2, 2], [2, 3], [3, 2], [3, 3]], "as far: with oneself"
    assert nearer.nonzero().tolist() == [[0, 1], [2, 1]]
    assert farther.nonzero().tolist() == [[1, 0], [1, 2]]


def test_adjacency_is_a_mean_over_the_subset_or_symmetric() -> None:
    subsets = gla_gcn.neighbour_subsets(H36M_17)
    mean = gla_gcn.normalise_adjacency(subsets, "cardinality", 0.001)
    sums = mean.sum(dim=2)
    assert torch.all((sums - 1).abs().minimum(sums) < 1e-6), "weights add up to one, or the subset is empty"
    symmetric = gla_gcn.normalise_adjacency(subsets, "symmetric", 0.001)
    scale = torch.diag((subsets[1].sum(dim=1) + 0.001) ** -0.5)
    torch.testing.assert_close(symmetric[1], scale @ subsets[1] @ scale)
    assert symmetric.max() > 20, "as printed, neighbours with an empty subset weigh far more than others"


def naive_graph_convolution(layer: AdaptiveGraphConvolution, x: Tensor) -> Tensor:
    """Eqs. 2 and 3 for one window (T, J, inputs), subset by subset and frame by frame."""
    frames, joints, inputs = x.shape
    theta_weight, phi_weight = layer.embed.weight.reshape(2, 3, layer.embedded, inputs)
    theta_bias, phi_bias = layer.embed.bias.reshape(2, 3, layer.embedded)
    W = layer.map.weight.reshape(-1, 3, inputs)
    y = torch.zeros(frames, joints, W.shape[0])
    for k in range(3):
        theta, phi = x @ theta_weight[k].T + theta_bias[k], x @ phi_weight[k].T + phi_bias[k]
        C = torch.zeros(joints, joints)
        for i in range(joints):
            alike = torch.stack([(phi[:, i] * theta[:, j]).sum() for j in range(joints)])
            C[i] = torch.softmax(alike / (layer.embedded * frames), dim=0)
        for t in range(frames):
            y[t] += (layer.A[k] + layer.B[k] + C) @ x[t] @ W[:, k].T + layer.bias[k]

    def norm(bn: torch.nn.BatchNorm2d, v: Tensor) -> Tensor:
        return (v - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias

    own = x if layer.down is None else norm(layer.down_norm, layer.down(x))
    return torch.relu(norm(layer.norm, y) + own)


@torch.no_grad()
@pytest.mark.parametrize("inputs", [2, 8])
def test_graph_convolution_is_equations_2_and_3(inputs: int) -> None:
    net = make()
    layer = net.blocks[0].graph if inputs == 2 else net.stages[0].first.graph
    x = torch.randn(2, 5, 17, inputs)
    expected = torch.stack([naive_graph_convolution(layer, window) for window in x])
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_block_is_graph_then_time_then_residual() -> None:
    block: AGCN = make().stages[0].first
    x = torch.randn(1, 6, 17, 8)
    y, weight = block.graph(x)[0], block.time.weight[..., 0]  # (outputs, inputs, 9)
    out = torch.zeros(6, 17, 8)
    for t in range(6):
        for tap in range(9):
            if 0 <= t + tap - 4 < 6:
                out[t] += y[t + tap - 4] @ weight[:, :, tap].T
    bn = block.norm
    out = (out + block.time.bias - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
    torch.testing.assert_close(block(x)[0], torch.relu(out + x[0]), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_graph_of_a_window_adapts_to_it() -> None:
    layer = make().stages[0].first.graph
    one, other = layer.graph(torch.randn(2, 5, 17, 8))
    assert (one - other).abs().max() > 1e-3
    plain = make(adaptive=False).stages[0].first.graph  # ST-GCN, Table 6 row 1
    assert torch.equal(plain.graph(torch.randn(2, 5, 17, 8))[0], plain.A)


def test_zero_embeddings_as_printed_never_learn() -> None:
    for init, learns in (("zero", False), ("kaiming", True)):
        torch.manual_seed(0)
        layer = AdaptiveGraphConvolution(8, 8, torch.eye(17).repeat(3, 1, 1), GLAGCNSettings(embedding_init=init))
        layer.norm.weight.data.fill_(1.0)
        layer(torch.randn(2, 5, 17, 8)).square().sum().backward()
        assert (layer.embed.weight.grad.abs().max() > 1e-8) == learns


# --- Individually connected layers ---------------------------------------------------------------------------------


@torch.no_grad()
def test_lambda_0_is_shared_and_lambda_1_unshared() -> None:
    blended = make(blend=0.3)
    keypoints, _ = clip(frames=9)
    answers = {}
    for blend, missing in (
        (0.0, ("answer.weight", "answer.bias")),
        (1.0, ("answer.shared.weight", "answer.shared.bias")),
    ):
        net = make(blend=blend)
        state = {name: value for name, value in blended.state_dict().items() if name not in missing}
        net.load_state_dict(state)
        answers[blend] = net.window(keypoints)
        blended.answer.blend = blend
        torch.testing.assert_close(blended.window(keypoints), answers[blend])
    blended.answer.blend = 0.3
    expected = 0.3 * answers[1.0] + 0.7 * answers[0.0]  # eq. 7
    torch.testing.assert_close(blended.window(keypoints), expected, atol=1e-5, rtol=1e-5)
    for joint in range(17):  # eq. 5
        v = torch.randn(17, 8)
        own = v[joint] @ blended.answer.weight[joint] + blended.answer.bias[joint]
        blended.answer.blend = 1.0
        torch.testing.assert_close(blended.answer(v[None])[0, joint], own)


@torch.no_grad()
def test_a_joint_is_answered_from_its_own_features_alone() -> None:
    individual, connected = make(blend=0.5).answer, make(joint_layer="fully connected").answer
    v = torch.randn(1, 17, 8)
    other = v.clone()
    other[:, 3] += 1
    assert (individual(v) != individual(other)).any(dim=2)[0].nonzero().flatten().tolist() == [3]
    assert (connected(v) != connected(other)).all()


# --- Windows and clips ---------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda skeleton: skeleton.name)
def test_whole_clip_equals_windows(skeleton: Skeleton, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gla_gcn, "FRAMES_AT_ONCE", 5 * 9)  # several batches, the last one short
    net = make(skeleton, reconstruction=True)
    keypoints, _ = clip(skeleton, frames=13)
    held = torch.cat(
        [keypoints[:, :1].expand(-1, 4, -1, -1), keypoints, keypoints[:, -1:].expand(-1, 4, -1, -1)], dim=1
    )
    windows = torch.stack([net.window(held[:, t : t + 9]) for t in range(13)], dim=1)
    torch.testing.assert_close(net(keypoints), windows, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("frames", [27, 81, 243])
def test_receptive_fields(frames: int) -> None:
    net = make(receptive_field=frames, reconstruction=True)
    keypoints, _ = clip(frames=frames, clips=2)
    assert net.target == frames // 2
    assert net.window(keypoints).shape == (2, 17, 3)
    assert net.sequence(keypoints).shape == (2, frames, 17, 3)
    assert (net.sequence(keypoints) < 0).any(), "coordinates have both signs"
    assert [stage(torch.zeros(1, 9, 17, 8)).shape[1] for stage in net.stages] == [3] * len(net.stages)


@torch.no_grad()
def test_causal_ignores_the_future() -> None:
    net = make(causal=True)
    keypoints, _ = clip(frames=12)
    other = keypoints.clone()
    other[:, 6:] += 1
    torch.testing.assert_close(net(keypoints)[:, :6], net(other)[:, :6], atol=1e-6, rtol=1e-6)
    assert not torch.allclose(net(keypoints)[:, 6], net(other)[:, 6])
    assert not torch.allclose(make()(keypoints)[:, 5], make()(other)[:, 5]), "the other one looks ahead"


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [
        {"shrink": "pool"},
        {"joint_layer": "fully connected"},
        {"adaptive": False},
        {"temporal_kernel": 3},
        {"stride_centre": "middle"},
        {"adjacency": "symmetric"},
        {"b_init": 1e-6, "dropout_place": "program", "label_noise": True},
        {"reconstruction": True, "blend": 0.5, "refine": True},
    ],
    ids=str,
)
def test_forms_of_the_ablations_train_and_answer(options: dict[str, object]) -> None:
    net = make(**options)
    keypoints, joints = clip(frames=9, clips=3)
    assert net(keypoints).shape == joints.shape
    with torch.enable_grad():
        total, _ = gla_gcn.loss(net.train(), keypoints, joints)
        total.backward()
    assert torch.isfinite(total)
    still = [name for name, parameter in net.named_parameters() if parameter.grad is None]
    assert still == []


@torch.no_grad()
def test_pooling_keeps_all_frames_to_the_end() -> None:
    net, strided = make(shrink="pool"), make()
    assert parameters(net) == parameters(strided)
    assert all(stage.second.time.stride == (1, 1) for stage in net.stages)


# --- Losses --------------------------------------------------------------------------------------------------------


def test_two_stage_loss_is_equations_4_and_8() -> None:
    net = make(reconstruction=True)
    keypoints, joints = clip(frames=9, clips=2)
    local = (net.window(keypoints) - joints[:, 4]).norm(dim=-1).mean()
    whole = (net.sequence(keypoints) - joints).norm(dim=-1).mean()
    first, parts = gla_gcn.loss(net, keypoints, joints)
    torch.testing.assert_close(first, local + whole)
    torch.testing.assert_close(parts["global"], whole)
    second, parts = gla_gcn.loss(net, keypoints, joints, stage=2)
    torch.testing.assert_close(second, local)
    assert "global" not in parts
    second.backward()
    assert all(parameter.grad is None for parameter in net.sequence_head.parameters())
    alone, _ = gla_gcn.loss(make(), keypoints, joints[:, 4:5])
    assert torch.isfinite(alone), "without reconstruction the target frame is enough"


def test_training_lowers_the_loss() -> None:
    torch.manual_seed(0)
    net = GLAGCN(H36M_17, GLAGCNSettings(receptive_field=9, channels=8, reconstruction=True)).train()
    keypoints, joints = clip(frames=9, clips=8)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(10):
        total, _ = gla_gcn.loss(net, keypoints, joints)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(total.item())
    assert losses[-1] < 0.9 * losses[0]


def test_disturbed_targets_are_turned_in_the_image_and_scaled() -> None:
    _, joints = clip(frames=4, clips=60)
    noisy = gla_gcn.disturb(joints, torch.Generator().manual_seed(3))
    scale = noisy.norm(dim=-1)[:, 0, 1] / joints.norm(dim=-1)[:, 0, 1]
    assert sorted({round(value, 3) for value in scale.tolist()}) == [0.95, 1.0, 1.05]
    before, after = (
        torch.atan2(joints[:, 0, 1, 1], joints[:, 0, 1, 0]),
        torch.atan2(noisy[:, 0, 1, 1], noisy[:, 0, 1, 0]),
    )
    turn = torch.rad2deg(torch.remainder(after - before + torch.pi, 2 * torch.pi) - torch.pi)
    assert sorted({round(value) for value in turn.tolist()}) == [-5, 0, 5]


@torch.no_grad()
def test_refinement_blends_with_what_the_picture_shows() -> None:
    torch.manual_seed(0)
    refine = Refinement(17).eval()
    keypoints, joints = clip(frames=1, clips=2)
    joints = joints[:, 0]
    pinhole = 0.4 * joints[..., :2] + 0.1  # a picture of exactly this pose
    torch.testing.assert_close(refine(joints, pinhole), joints, atol=1e-5, rtol=1e-5)
    refined = refine(joints, keypoints[:, 0])
    assert torch.equal(refined[..., 2], joints[..., 2]) and not torch.allclose(refined, joints)


# --- Approximate modes ---------------------------------------------------------------------------------------------


@torch.no_grad()
def test_reconstruction_of_a_clip_is_the_sequence_head_on_overlapping_windows() -> None:
    net = make(reconstruction=True)
    keypoints, _ = clip(frames=20, clips=2)
    held = torch.cat(
        [keypoints[:, :1].expand(-1, 4, -1, -1), keypoints, keypoints[:, -1:].expand(-1, 12, -1, -1)], dim=1
    )
    total, weight = torch.zeros(2, 20, 17, 3), torch.zeros(20)
    for start in range(-4, 20, 3):
        answer = net.sequence(held[:, start + 4 : start + 13])
        for t in range(9):
            if 0 <= start + t < 20:
                total[:, start + t] += min(t + 1, 9 - t) * answer[:, t]
                weight[start + t] += min(t + 1, 9 - t)
    torch.testing.assert_close(net.reconstruct(keypoints), total / weight[:, None, None], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="without reconstruction"):
        make().reconstruct(keypoints)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 9, 14])
def test_interpolation_is_exact_at_its_keys(frames: int) -> None:
    net = make()
    keypoints, _ = clip(frames=frames)
    exact, approximate = net(keypoints), net.interpolate(keypoints, every=4)
    keys = [*range(0, frames, 4), frames - 1]
    torch.testing.assert_close(approximate[:, keys], exact[:, keys], atol=1e-5, rtol=1e-5)
    assert approximate.shape == exact.shape


def test_cubic_keeps_what_is_straight() -> None:
    line = torch.arange(14.0)[None, :, None, None]
    keys = torch.tensor([0, 4, 8, 12, 13])
    torch.testing.assert_close(gla_gcn._cubic(line[:, keys], keys, 14), line)


@torch.no_grad()
def test_deviation_tells_how_far_an_approximation_is_off() -> None:
    net = make()
    keypoints, _ = clip(frames=14)
    exact = net(keypoints)
    assert gla_gcn.deviation(net, keypoints, exact)[1] < 1e-5
    mean, largest = gla_gcn.deviation(net, keypoints, exact + torch.tensor([0.03, 0.0, 0.04]))
    assert mean == pytest.approx(0.05, abs=1e-4) and largest == pytest.approx(0.05, abs=1e-4)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"\(clips, frames, 17, 2\), got \(1, 9, 15, 2\)") as caught:
        make()(torch.zeros(1, 9, 15, 2))
    assert "pelvis" in caught.value.hint
    for wrong in ({"receptive_field": 100}, {"temporal_kernel": 4}, {"blend": 1.5}):
        with pytest.raises(ValueError):
            GLAGCNSettings(**wrong)  # type: ignore[arg-type]


def exported(net: torch.nn.Module, path: Path) -> Path:
    axes = {name: {0: "clips", 1: "frames"} for name in ("keypoints", "joints")}
    torch.onnx.export(
        net,
        (clip(frames=12)[0],),
        str(path),
        input_names=["keypoints"],
        output_names=["joints"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    return path


@torch.no_grad()
@pytest.mark.parametrize("loop", [False, True], ids=["all windows at once", "in a loop"])
@pytest.mark.parametrize(
    "options", [{}, {"reconstruction": True, "blend": 0.5, "refine": True, "causal": True}], ids=str
)
def test_onnx_has_a_free_time_axis(options: dict[str, object], loop: bool, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    net = make(**options)
    path = exported(net.exportable() if loop else net, tmp_path / "gla_gcn.onnx")
    session = onnxruntime.InferenceSession(str(path))
    for frames, clips in ((1, 1), (12, 1), (30, 2)):
        keypoints, _ = clip(frames=frames, clips=clips)
        (answer,) = session.run(None, {"keypoints": keypoints.numpy()})
        np.testing.assert_allclose(answer, net(keypoints).numpy(), atol=1e-4)


def test_the_loop_stays_a_loop(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(str(exported(make().exportable(), tmp_path / "gla_gcn.onnx"))).graph
    assert "Loop" in [node.op_type for node in graph.node]
    with pytest.raises(ValueError, match="training mode"):
        make().train().exportable()

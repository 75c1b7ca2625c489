# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from video_to_pose.errors import InputError  # noqa: E402
from video_to_pose.nets.rie import (  # noqa: E402
    RIE,
    TEMPORAL_CHANNELS,
    LocalEncoder,
    RIESettings,
    Unit,
    enter_stage,
    loss,
    movement_range,
    positional_encoding,
    stages,
    temporal_encoding,
)
from video_to_pose.skeleton import BODY_22, H36M_17, Skeleton  # noqa: E402

OPERATORS = tuple(TEMPORAL_CHANNELS)
SMALL = {"levels": 2, "channels": 16, "latent": 12, "width": 24}
AUTHORS = {"channels": 256, "latent": 256, "global_blocks": 2}

HEADLESS = Skeleton(  # no arms: fewer than five parts
    "headless",
    ("pelvis", "spine", "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle"),
    (-1, 0, 0, 2, 3, 0, 5, 6),
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small are faster on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def parameters(stage: int = 3, **settings) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in RIE(H36M_17, RIESettings(**settings), stage).parameters())


def stirred(skeleton=H36M_17, stage=3, **settings) -> RIE:
    """A small network at rest whose weights and statistics are all random."""
    torch.manual_seed(0)
    net = RIE(skeleton, RIESettings(**SMALL | settings), stage)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.2, 0.2)
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 2.0)
    return net.eval()


def windows_of(x, length):
    return x.unfold(1, length, 1).permute(0, 1, 4, 2, 3)  # (N, F - T + 1, T, K, 2)


def test_parameters_are_the_authors():
    assert parameters(stage=1, **AUTHORS) == 23_385_651
    assert [parameters(levels=levels, **AUTHORS) for levels in (2, 3, 4)] == [39_151_411, 40_467_251, 41_783_091]
    assert parameters(channels=256, latent=512, global_blocks=2) == 52_861_491
    assert parameters(global_blocks=2) == 69_346_867


def test_the_papers_network_has_one_block_fewer_than_the_authors():
    assert RIESettings().channels == RIESettings().latent == 512
    assert parameters() == parameters(global_blocks=2) - 2 * (1024 * 1024 + 3 * 1024)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("operator", [*OPERATORS, None])
def test_the_whole_clip_equals_its_windows(operator, causal):
    net = stirred(temporal=operator, causal=causal)
    net.batch = 7  # several uneven batches
    x = torch.randn(2, 40, 17, 2)
    windows = windows_of(x, 27)
    with torch.inference_mode():
        answers = net.window(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
        whole = net(x)
    assert torch.allclose(whole[:, net.target : net.target + answers.shape[1]], answers, atol=1e-5)


@pytest.mark.parametrize("settings", [{"positional": False}, {"absolute": False}, {"levels": 0}], ids=str)
def test_the_whole_clip_equals_its_windows_in_every_ablation(settings):
    net = stirred(**settings)
    x = torch.randn(1, 40, 17, 2)
    windows = windows_of(x, net.receptive_field)[0]
    assert torch.allclose(net(x)[0, net.target : net.target + len(windows)], net.window(windows), atol=1e-5)


def test_a_long_clip_in_pieces_equals_the_clip_in_one():
    net = stirred()
    x = torch.randn(1, 100, 17, 2)
    whole = net(x)
    net.chunk = 32
    assert torch.allclose(whole, net(x), atol=1e-5)


def test_the_ends_are_held():
    net = stirred()
    x = torch.randn(1, 20, 17, 2)
    held = torch.cat([x[:, :1].expand(-1, 13, -1, -1), x, x[:, -1:].expand(-1, 13, -1, -1)], dim=1)
    assert torch.allclose(net(x)[0], net.window(windows_of(held, 27)[0]), atol=1e-5)


def test_one_answer_per_frame_also_in_training():
    net = stirred().train()
    assert net(torch.randn(2, 5, 17, 2)).shape == (2, 5, 17, 3)


def test_a_frame_sees_its_receptive_field_and_no_further():
    net = stirred()
    x = torch.randn(1, 61, 17, 2, requires_grad=True)
    net(x)[0, 30].sum().backward()
    touched = x.grad[0].abs().sum(dim=(1, 2)).nonzero().flatten()
    assert touched.min() == 30 - 13 and touched.max() == 30 + 13


@pytest.mark.parametrize("operator", ["subtraction", "cosine_similarity", None])
def test_a_causal_network_ignores_the_future(operator):
    net = stirred(causal=True, temporal=operator)
    assert net.target == 26
    x = torch.randn(1, 60, 17, 2)
    later = x.clone()
    later[:, 31:] = torch.randn(1, 29, 17, 2)
    assert torch.allclose(net(x)[:, :31], net(later)[:, :31], atol=1e-6)
    assert not torch.allclose(net(x)[:, 31], net(later)[:, 31], atol=1e-3)


def test_a_causal_network_relates_all_frames_to_the_last_one():
    """The released program relates them to the middle one even then."""
    net = stirred(causal=True)
    x = torch.randn(1, 27, 17, 2)
    relative = net._relative(x, "torso").unflatten(2, (-1, 2))
    torso = [H36M_17.index(joint) for joint in net.parts["torso"]]
    assert torch.allclose(relative, x[:, :, torso] - x[:, 26:, torso])


def test_the_relative_branches_are_unchanged_by_a_global_shift():
    x = torch.randn(3, 27, 17, 2)
    shift = torch.tensor([0.2, -0.15])
    assert torch.allclose(positional_encoding(x), positional_encoding(x + shift), atol=1e-6)
    for operator in ("subtraction", "subtraction_quadratic", "subtraction_window"):
        moved = temporal_encoding(x + shift, 13, operator, 9)
        assert torch.allclose(temporal_encoding(x, 13, operator, 9), moved, atol=1e-6)
    net = stirred(absolute=False, temporal=None)
    for name, feature in net.local_features(x).items():
        assert torch.allclose(feature, net.local_features(x + shift)[name], atol=1e-5)


def test_the_absolute_input_does_see_a_shift():
    net = stirred()
    x = torch.randn(1, 27, 17, 2)
    assert not torch.allclose(net.local_features(x)["torso"], net.local_features(x + 0.2)["torso"], atol=1e-3)


def test_the_operators_are_what_they_are_called():
    x = torch.randn(2, 9, 4, 2).double()
    now = x[:, 4:5]
    encoded = {operator: temporal_encoding(x, 4, operator, 3) for operator in OPERATORS}
    assert {name: value.shape[-1] for name, value in encoded.items()} == TEMPORAL_CHANNELS
    assert torch.allclose(encoded["inner_product"][..., 0], (x * now).sum(-1))
    planar = (x, now.expand_as(x))
    cross = torch.linalg.cross(*(torch.nn.functional.pad(value, (0, 1)) for value in planar))[..., 2]
    assert torch.allclose(encoded["cross_product"][..., 0], cross)
    cosine = torch.nn.functional.cosine_similarity(x, now.expand_as(x), dim=-1)
    assert torch.allclose(encoded["cosine_similarity"][..., 0], cosine)
    assert torch.allclose(encoded["subtraction_quadratic"], torch.cat([x - now, (x - now) ** 2], dim=-1))
    assert (encoded["subtraction_window"][:, [0, 1, 2, 6, 7, 8]] == 0).all()
    assert torch.equal(encoded["subtraction_window"][:, 3:6], encoded["subtraction"][:, 3:6])


def test_the_cosine_of_a_keypoint_at_the_origin_is_finite_and_so_is_its_gradient():
    x = torch.zeros(1, 3, 1, 2, requires_grad=True)
    temporal_encoding(x + 0.0, 1, "cosine_similarity").sum().backward()
    assert torch.isfinite(x.grad).all()


def test_without_absolute_keypoints_the_current_pose_stands_for_itself():
    net = stirred(absolute=False, positional=False)
    x = torch.randn(1, 27, 17, 2)
    relative = net._relative(x, "left_arm").unflatten(2, (-1, 2))
    arm = [H36M_17.index(joint) for joint in net.parts["left_arm"]]
    assert torch.equal(relative[:, 13], x[:, 13, arm])
    assert torch.equal(relative[:, 5], x[:, 5, arm] - x[:, 13, arm])


def test_the_window_of_subtraction_is_a_third_of_the_frames():
    net = stirred(temporal="subtraction_window")
    seen = net._relative(torch.randn(1, 27, 17, 2), "torso")[0].abs().sum(dim=1).nonzero().flatten()
    assert seen.min() == 13 - 4 and seen.max() == 13 + 4


def test_movement_range_is_equation_15():
    x = torch.randn(3, 9, 5, 2)
    plain = sum(((x[:, t, j] - x[:, 4, j]) ** 2).sum(-1) for t in range(9) for j in range(5)) / 45
    assert torch.allclose(movement_range(x, 4), plain, atol=1e-5)


def test_a_window_goes_through_strided_convolutions():
    """The matrix products of a local encoder against convolutions written as such."""
    torch.manual_seed(0)
    encoder = LocalEncoder(6, RIESettings(**SMALL)).eval()
    x = torch.randn(4, 27, 6)

    def unit(module: Unit, y, width):
        weight = module.linear.weight.unflatten(1, (width, -1)).transpose(1, 2)
        y = torch.nn.functional.conv1d(y, weight, stride=width)
        return torch.nn.functional.leaky_relu(module.norm(y), 0.2)

    y = unit(encoder.enter, x.transpose(1, 2), 3)
    for wide, narrow in zip(encoder.wide, encoder.narrow, strict=True):
        y = y[:, :, 1::3] + unit(narrow, unit(wide, y, 3), 1)
    assert torch.allclose(encoder(x), encoder.leave(y[:, :, 0]), atol=1e-5)


@pytest.mark.parametrize("skeleton", [H36M_17, BODY_22, HEADLESS], ids=lambda s: s.name)
def test_any_skeleton_works_and_its_joints_come_in_order(skeleton):
    net = stirred(skeleton)
    assert sorted(joint for joints in net.parts.values() for joint in joints) == sorted(skeleton.joints)
    with torch.no_grad():
        for name, decoder in net.decoders.items():
            decoder.leave.weight.zero_()
            decoder.leave.bias.copy_(
                torch.tensor([float(skeleton.index(joint)) for joint in net.parts[name] for _ in range(3)])
            )
    joints = net(torch.randn(1, 30, skeleton.joint_count, 2))
    assert torch.equal(joints[0, 4, :, 0], torch.arange(skeleton.joint_count, dtype=torch.float32))


def test_the_fusion_module_is_what_tells_the_parts_of_each_other():
    x = torch.randn(1, 27, 17, 2)
    moved = x.clone()
    arm = [H36M_17.index(joint) for joint in ("left_shoulder", "left_elbow", "left_wrist")]
    moved[:, [*range(13), *range(14, 27)]] += torch.zeros(26, 17, 2).index_fill(1, torch.tensor(arm), 0.5)
    alone, together = stirred(stage=1), stirred(stage=3)
    changed = (alone.window(x) - alone.window(moved)).abs().amax(dim=(0, 2)) > 1e-6
    assert changed.nonzero().flatten().tolist() == arm  # the current pose is the same, so the global features are
    assert ((together.window(x) - together.window(moved)).abs().amax(dim=(0, 2)) > 1e-6).all()


def state(net, *names):
    return {name: value.clone() for name, value in net.state_dict().items() if name.startswith(names)}


def trained(net, steps=3):
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-2, amsgrad=True)
    net.train()
    for _ in range(steps):
        total, _ = loss(net, torch.randn(8, 27, 17, 2), torch.randn(8, 27, 17, 3))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return net


def test_the_three_stages_are_the_papers():
    first, second, third = stages(stirred())
    assert [(stage.epochs, stage.learning_rate) for stage in (first, second, third)] == [
        (80, 1e-3),
        (80, 1e-3),
        (20, 5e-4),
    ]
    assert first.frozen == third.frozen == () and second.frozen == ("encoders", "global_encoder")


@pytest.mark.parametrize("levels", [2, 3])
def test_stage_two_trains_fusion_and_new_decoders_only(levels):
    """Frozen by name: the released program freezes by position, which is right for one T only."""
    first, second, third = stages(stirred(levels=levels))
    net = enter_stage(stirred(levels=levels), first)
    assert not len(net.fusion)
    encoders = state(net, "encoders", "global_encoder")
    net = enter_stage(net, second)
    assert all(torch.equal(encoders[name], value) for name, value in net.state_dict().items() if name in encoders)
    learning = {name.partition(".")[0] for name, p in net.named_parameters() if p.requires_grad}
    assert learning == {"fusion", "decoders"}
    assert net.decoders["torso"].enter.linear.in_features == 3 * 12  # stage 1: 2 x 12, so they had to start anew

    if levels == 2:
        before = state(net, "fusion", "decoders")
        trained(net)
        after = net.state_dict()
        assert all(torch.equal(encoders[name], after[name]) for name in encoders)  # normalisation statistics too
        assert any(not torch.equal(before[name], after[name]) for name in before)

        everything = state(net, "")
        net = enter_stage(net, third)
        assert all(torch.equal(everything[name], value) for name, value in net.state_dict().items())
        assert all(p.requires_grad for p in net.parameters()) and net.encoders.training


def test_frozen_encoders_in_the_authors_manner_still_gather_statistics():
    _, second, _ = stages(stirred())
    net = enter_stage(stirred(stage=1, frozen_at_rest=False).train(), second)
    before = state(net, "encoders")
    after = trained(net).state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all("running" in name or "num_batches" in name for name in moved)


def test_learning_reduces_the_loss():
    torch.manual_seed(0)
    net = RIE(H36M_17, RIESettings(**SMALL, dropout=0.0, dropout_full=0.0))
    keypoints, joints = torch.randn(32, 27, 17, 2), torch.randn(32, 27, 17, 3)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2, amsgrad=True)
    first, parts = loss(net, keypoints, joints)
    assert parts["mpjpe"].item() == pytest.approx(first.item())
    for _ in range(30):
        total, _ = loss(net, keypoints, joints)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert total.item() < 0.7 * first.item()


def test_wrong_use_is_refused_in_words():
    with pytest.raises(InputError, match="17 keypoints"):
        stirred()(torch.zeros(1, 30, 16, 2))
    with pytest.raises(InputError, match="multiplication"):
        RIE(H36M_17, RIESettings(temporal="multiplication"))
    with pytest.raises(InputError, match="input"):
        RIE(H36M_17, RIESettings(absolute=False, positional=False, temporal=None))


@pytest.mark.parametrize("settings", [{}, {"causal": True}, {"temporal": "inner_product"}, {"temporal": None}], ids=str)
def test_onnx_with_a_free_time_axis_equals_torch(settings, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    net = stirred(**settings)
    torch.onnx.export(
        net,
        (torch.zeros(1, 40, 17, 2),),
        str(tmp_path / "net.onnx"),
        input_names=["keypoints"],
        output_names=["joints"],
        dynamic_axes={"keypoints": {0: "clips", 1: "frames"}, "joints": {0: "clips", 1: "frames"}},
        opset_version=17,
        dynamo=False,
    )
    session = runtime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    for shape in ((1, 1, 17, 2), (1, 75, 17, 2), (2, 33, 17, 2)):
        x = torch.randn(*shape)
        (answer,) = session.run(None, {"keypoints": x.numpy()})
        assert np.abs(answer - net(x).detach().numpy()).max() < 1e-4

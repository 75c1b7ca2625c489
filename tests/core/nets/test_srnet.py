# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from video_to_pose.errors import InputError  # noqa: E402
from video_to_pose.nets.srnet import (  # noqa: E402
    SRConv,
    SRNet,
    SRNetSettings,
    basic_normalisation,
    body_parts,
    filter_widths,
    joint_groups,
    joints_from_pixel,
    layer_kinds,
    loss,
    pixel_targets,
    shuffled_groups,
)
from video_to_pose.skeleton import BODY_22, H36M_17, Skeleton  # noqa: E402

STRUCTURES = ("full", "group", "late_fusion", "early_split", "split_fuse_split", "split_recombine")
COMBINES = ("multiply", "add", "concat")

HUMANEVA_LIKE = Skeleton(
    "humaneva-like",
    (
        *("pelvis", "thorax", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow"),
        *("right_wrist", "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle", "head"),
    ),
    (-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1),
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small are faster on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def parameters(**settings) -> int:
    return sum(p.numel() for p in SRNet(H36M_17, SRNetSettings(**settings)).parameters())


def stirred(skeleton=H36M_17, **settings) -> SRNet:
    """A small network at rest whose weights and statistics are all random: fresh context weights are zero."""
    torch.manual_seed(0)
    net = SRNet(skeleton, SRNetSettings(**{"channels": 64, "filter_widths": (3, 3, 3)} | settings))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 2.0)
    return net.eval()


def test_parameters_are_the_papers_table():
    assert parameters(structure="full") == 6_392_883  # 6.39 M
    assert parameters(combine="add") == 1_334_347  # 1.33 M
    assert parameters(combine="concat") == 1_341_579  # 1.34 M
    assert parameters(filter_widths=(1, 1, 1)) == 899_029  # the authors' six layers; printed 0.88 M
    assert parameters(filter_widths=(1, 1, 1), structure="group") == 878_291  # 0.88 M: the same without its gates


def test_split_fuse_split_is_two_per_cent_below_the_papers_count():
    # The text gives 2.98 M with two linked layers; the printed 3.04 M comes out when, against the text, the first and
    # last layers are fully connected as well: 34 x 1024 and 1024 x 51 + 51 instead of their grouped forms.
    ours = parameters(structure="split_fuse_split", linked_layers=2)
    assert ours == 2_979_539
    grouped_ends = 3 * 8 * 195 + 10 * 243 + 8 * 196 + 3 * 12 * 195 + 15 * 243 + 13 * 196
    assert ours - grouped_ends + 34 * 1024 + 1024 * 51 + 51 == 3_044_739


@pytest.mark.parametrize(("frames", "count"), [(27, 1_829_515), (81, 2_720_791), (243, 3_612_067)])
def test_parameters_of_the_temporal_networks(frames, count):
    assert parameters(filter_widths=filter_widths(frames)) == count


def test_the_structures_of_figure_3_degenerate_as_the_paper_says():
    kinds = {name: layer_kinds(SRNetSettings(structure=name)) for name in STRUCTURES}
    assert kinds["late_fusion"] == ("group",) * 4 + ("full",) * 4
    assert kinds["early_split"] == ("full",) * 4 + ("group",) * 4
    assert kinds["split_fuse_split"] == ("group",) * 3 + ("full",) * 2 + ("group",) * 3
    assert layer_kinds(SRNetSettings(structure="late_fusion", fuse_layer=0)) == kinds["full"]
    assert layer_kinds(SRNetSettings(structure="late_fusion", fuse_layer=8)) == kinds["group"]
    assert layer_kinds(SRNetSettings(structure="early_split", split_layer=8)) == kinds["full"]


@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("dims", [1, 3])
def test_a_layer_is_equation_5_written_out(combine, dims):
    """Both forms of the layer against the plainest reading: every output frame on its own, taps in a loop."""
    torch.manual_seed(1)
    inputs, outputs, width, dilation = (5, 7, 4), (3, 2, 6), 3, 2
    layer = SRConv(inputs, outputs, (dims,) * 3, width=width, dilation=dilation, combine=combine).double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
        if combine == "multiply":
            layer.context_norm.running_mean.normal_()
            layer.context_norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 16, 11).double()

    def answer(taps):  # taps (N, D, k): what one output frame is made from
        own = taps.split(inputs, dim=1)
        pieces, rows = [], 0
        for g, theta in enumerate(layer.theta):
            others = torch.cat([own[i] for i in range(3) if i != g], dim=1)
            bias = layer.context_bias[rows : rows + width * dims]
            context = torch.einsum("oik,nik->no", layer.gamma[g], others) + bias
            if combine == "multiply":
                norm = layer.context_norm
                here = slice(rows, rows + width * dims)
                context = (context - norm.running_mean[here]) / (norm.running_var[here] + norm.eps).sqrt()
                context = torch.sigmoid(context * norm.weight[here] + norm.bias[here])
            else:
                context = torch.nn.functional.leaky_relu(context, 0.01)
            context = context.unflatten(1, (width, dims)).transpose(1, 2)  # (N, H, k)
            spread = context[:, torch.arange(inputs[g]) * dims // inputs[g]]
            rows += width * dims
            joined = {"multiply": lambda a, b, c: a * b, "add": lambda a, b, c: a + b}.get(
                combine, lambda a, b, c: torch.cat([a, c], dim=1)
            )(own[g], spread, context)
            pieces.append(torch.einsum("oik,nik->no", theta, joined))
        return torch.cat(pieces, dim=1)

    whole = layer(x, strided=False)
    assert whole.shape == (2, 11, 11 - 4)
    for t in range(whole.shape[2]):
        assert torch.allclose(whole[:, :, t], answer(x[:, :, [t, t + 2, t + 4]]))
    windows = layer(x[:, :, :9], strided=True)
    for t in range(3):
        assert torch.allclose(windows[:, :, t], answer(x[:, :, 3 * t : 3 * t + 3]))


def test_a_layer_with_the_identity_as_context_is_fully_connected():
    """The paper's special case M = Identity of Eq. 5."""
    full = SRConv((9,), (6,), (0,)).eval()
    layer = SRConv((4, 5), (3, 3), (5, 4), combine="concat", activation=False).eval()
    theta = full.theta[0].data
    with torch.no_grad():
        layer.context_bias.zero_()
        layer.gamma[0][:, :, 0], layer.gamma[1][:, :, 0] = torch.eye(5), torch.eye(4)
        layer.theta[0].copy_(theta[:3])
        layer.theta[1].copy_(torch.cat([theta[3:, 4:], theta[3:, :4]], dim=1))
    x = torch.randn(2, 9, 7)
    assert torch.allclose(full(x, False), layer(x, False), atol=1e-6)


@pytest.mark.parametrize("settings", [{"context_dims": 0}, {"structure": "group"}])
def test_a_group_without_context_ignores_other_groups(settings):
    net = stirred(root_in_every_group=False, **settings)
    x = torch.randn(1, 40, 17, 2)
    moved = x.clone()
    arm = [H36M_17.index(joint) for joint in ("left_shoulder", "left_elbow", "left_wrist")]
    moved[:, :, arm] += torch.randn(1, 40, 3, 2)
    changed = (net(x) != net(moved)).any(dim=-1).any(dim=1)[0]
    assert changed.nonzero().flatten().tolist() == arm


@pytest.mark.parametrize("combine", COMBINES)
def test_a_group_with_context_hears_of_the_others(combine):
    net = stirred(combine=combine)
    x = torch.randn(1, 30, 17, 2)
    moved = x.clone()
    moved[:, :, H36M_17.index("left_wrist")] += 1
    assert (net(x) != net(moved)).any(dim=-1).any(dim=1).all()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("settings", [{"structure": s} for s in STRUCTURES] + [{"combine": c} for c in COMBINES[1:]])
def test_the_whole_clip_equals_its_windows(settings, causal):
    net = stirred(causal=causal, **settings)
    x = torch.randn(2, 40, 17, 2)
    windows = x.unfold(1, 27, 1).permute(0, 1, 4, 2, 3)  # (N, 14, T, K, 2)
    answers = torch.stack([net.window(windows[:, i]) for i in range(windows.shape[1])], dim=1)
    assert torch.allclose(net(x)[:, net.target : net.target + answers.shape[1]], answers, atol=1e-5)


def test_folding_the_normalisation_changes_nothing():
    net = stirred()
    x = torch.randn(2, 30, 17, 2)
    folded = net(x)
    for unit in (net.enter, *(unit for level in net.levels for unit in (level.wide, level.narrow))):
        unit.training = True  # takes the plain path, its normalisation stays at rest
    assert torch.allclose(folded, net(x), atol=1e-4)


def test_a_long_clip_in_pieces_equals_the_clip_in_one():
    net = stirred()
    x = torch.randn(1, 100, 17, 2)
    whole = net(x)
    net.chunk = 32
    assert torch.allclose(whole, net(x), atol=1e-5)


def test_a_frame_sees_its_receptive_field_and_no_further():
    net = stirred()
    assert net.receptive_field == 27 and net.target == 13
    x = torch.randn(1, 61, 17, 2, requires_grad=True)
    net(x)[0, 30].sum().backward()
    touched = x.grad[0].abs().sum(dim=(1, 2)).nonzero().flatten()
    assert touched.min() == 30 - 13 and touched.max() == 30 + 13


def test_a_causal_network_ignores_the_future():
    net = stirred(causal=True)
    assert net.target == 26
    x = torch.randn(1, 60, 17, 2)
    later = x.clone()
    later[:, 31:] = torch.randn(1, 29, 17, 2)
    assert torch.equal(net(x)[:, :31], net(later)[:, :31])
    assert not torch.allclose(net(x)[:, 31], net(later)[:, 31])


def test_a_single_frame_network_looks_at_one_frame():
    net = stirred(filter_widths=filter_widths(1))
    x = torch.randn(1, 5, 17, 2)
    assert net.receptive_field == 1 and torch.allclose(net(x)[:, 3], net.window(x[:, 3:4]), atol=1e-6)


@pytest.mark.parametrize("skeleton", [H36M_17, BODY_22, HUMANEVA_LIKE], ids=lambda s: s.name)
def test_any_skeleton_falls_into_its_five_parts(skeleton):
    parts = body_parts(skeleton)
    assert sorted(joint for part in parts.values() for joint in part) == sorted(skeleton.joints)
    for side in ("left", "right"):
        assert {f"{side}_hip", f"{side}_knee", f"{side}_ankle"} <= set(parts[f"{side}_leg"])
        assert {f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"} <= set(parts[f"{side}_arm"])
    assert "pelvis" in parts["torso"] and "thorax" in parts["torso"]
    assert stirred(skeleton)(torch.randn(1, 30, skeleton.joint_count, 2)).shape == (1, 30, skeleton.joint_count, 3)


def test_eyes_and_ears_belong_to_the_torso():
    face = Skeleton("face", ("pelvis", "thorax", "nose", "left_eye", "left_ear", "left_hip"), (-1, 0, 1, 2, 3, 0))
    assert body_parts(face)["torso"] == ("pelvis", "thorax", "nose", "left_eye", "left_ear")


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 8, 17])
def test_every_grouping_covers_the_body_once_and_works(count):
    groups = joint_groups(H36M_17, count, root_in_every_group=False)
    assert len(groups) == count
    assert sorted(joint for group in groups for joint in group) == sorted(H36M_17.joints)
    net = stirred(groups=count)
    assert all("pelvis" in group for group in net.groups)
    assert net(torch.randn(1, 30, 17, 2)).shape == (1, 30, 17, 3)


def test_the_authors_groups_on_human36m():
    """By joint number in the authors' order, which is H36M_17's."""
    numbers = {
        2: (range(8), range(8, 17)),
        3: (range(7), (7, 8, 9, 10), range(11, 17)),
        5: (range(4), (4, 5, 6), (7, 8, 9, 10), (11, 12, 13), (14, 15, 16)),
    }
    for count, groups in numbers.items():
        ours = [{H36M_17.index(joint) for joint in group} for group in joint_groups(H36M_17, count)]
        assert ours == [{0, *group} for group in groups]


def test_shuffled_groups_keep_sizes_and_leave_the_others_alone():
    groups = joint_groups(H36M_17, 5)
    shuffled = shuffled_groups(groups, 3, "pelvis", seed=4)
    assert [len(group) for group in shuffled] == [len(group) for group in groups]
    assert shuffled[3:] == groups[3:] and shuffled[:3] != groups[:3]
    assert {joint for group in shuffled[:3] for joint in group} == {joint for group in groups[:3] for joint in group}
    assert stirred(shuffled=5).groups != groups


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="7 groups"):
        joint_groups(H36M_17, 7)
    with pytest.raises(InputError, match="left_wrist"):
        SRNet(H36M_17, SRNetSettings(groups=tuple((joint,) for joint in H36M_17.joints if joint != "left_wrist")))
    with pytest.raises(InputError, match="spine"):
        SRNet(H36M_17, SRNetSettings(groups=(H36M_17.joints, ("spine",))))


def test_the_context_may_be_a_share_of_the_group():
    wide = stirred(combine="concat", context_share=1.0)
    assert wide.levels[0].wide.conv.context_dims == wide.levels[0].wide.conv.inputs
    assert stirred(combine="concat", context_dims=10)(torch.randn(1, 30, 17, 2)).shape == (1, 30, 17, 3)


def test_learning_reduces_the_loss_and_reaches_the_context():
    torch.manual_seed(0)
    net = SRNet(H36M_17, SRNetSettings(channels=64, filter_widths=(3, 3)))
    keypoints, joints = torch.randn(64, 9, 17, 2), torch.randn(64, 9, 17, 3)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    first, parts = loss(net, keypoints, joints)
    assert first.item() == pytest.approx(parts["l1"].item())
    for _ in range(20):
        total, _ = loss(net, keypoints, joints)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert total.item() < 0.8 * first.item()
    assert all(unit.conv.gamma[0].abs().sum() > 0 for unit in (net.enter, net.levels[0].wide))


def test_pixel_normalisation_and_back():
    rng = np.random.default_rng(0)
    joints = torch.as_tensor(rng.normal([0.3, -0.2, 4.0], 0.4, (6, 17, 3)))
    camera = (1150.0, torch.tensor([512.0, 500.0], dtype=torch.float64), 1000.0, 1002.0)
    answer = pixel_targets(joints, *camera)
    image = joints[..., :2] / joints[..., 2:] * 1150 + camera[1]
    assert torch.allclose(answer[..., :2], basic_normalisation(image, 1000.0, 1002.0))
    back = joints_from_pixel(answer, joints[:, 0, 2], *camera)
    assert torch.allclose(back, joints - joints[:, :1])


def test_pixel_answers_correct_the_keypoints():
    net = stirred(filter_widths=(1, 1, 1), normalisation="pixel")
    with torch.no_grad():
        for theta in net.leave.theta:
            theta.zero_()
    x = torch.randn(2, 4, 17, 2)
    assert torch.equal(net(x)[..., :2], x)
    with pytest.raises(InputError, match="one frame"):
        SRNet(H36M_17, SRNetSettings(filter_widths=(3, 3), normalisation="pixel"))


def test_basic_normalisation_keeps_the_aspect():
    corners = torch.tensor([[0.0, 0.0], [1920.0, 1080.0]])
    assert torch.allclose(basic_normalisation(corners, 1920.0, 1080.0), torch.tensor([[-1.0, -0.5625], [1.0, 0.5625]]))


def test_keypoints_of_another_skeleton_are_refused():
    with pytest.raises(InputError, match="17 keypoints"):
        stirred()(torch.zeros(1, 30, 16, 2))


def test_receptive_fields_are_powers_of_three():
    assert filter_widths(243) == (3,) * 5 and filter_widths(1, layers=6) == (1, 1, 1)
    with pytest.raises(InputError, match="100 frames"):
        filter_widths(100)


@pytest.mark.parametrize(
    "settings", [{}, {"combine": "add"}, {"combine": "concat", "context_dims": 2}, {"causal": True}], ids=str
)
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

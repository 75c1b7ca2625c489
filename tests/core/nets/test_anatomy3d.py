# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole paper: directions from a window, lengths from the clip, joints from both."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from video_to_pose import bones  # noqa: E402
from video_to_pose.nets import anatomy3d  # noqa: E402
from video_to_pose.nets.anatomy3d import (  # noqa: E402
    AUTHORS_WEIGHTS,
    Anatomy3D,
    Anatomy3DParts,
    Anatomy3DSettings,
    LossWeights,
    attend,
    augment,
    bone_lengths,
    draw_frames,
    loss,
    non_adjacent_pairs,
    project,
    vary_lengths,
)
from video_to_pose.skeleton import BODY_22, H36M_17, SKELETONS  # noqa: E402

TINY = Anatomy3DSettings(27, channels=16, sampled_frames=7)


@pytest.fixture(autouse=True)
def one_thread():
    """Networks as small as these lose time to threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make(settings=TINY, skeleton=H36M_17, **changes) -> Anatomy3D:
    """A small network whose batch norms are as after a training, not the identity they start as."""
    torch.manual_seed(0)
    net = Anatomy3D(skeleton, replace(settings, **changes)).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    return net


def keypoints(frames: int, clips: int = 2, joints: int = 17, channels: int = 3) -> torch.Tensor:
    x = torch.randn(clips, frames, joints, channels)
    if channels == 3:
        x[..., 2].uniform_(0, 1)
    return x


def held(clip: torch.Tensor, frame: int, net: Anatomy3D) -> torch.Tensor:
    """The window of a frame, the clip's ends held."""
    frames = torch.arange(net.receptive_field) - net.target + frame
    return clip[:, frames.clamp(0, clip.shape[1] - 1)]


VARIANTS = {
    "paper": {},
    "authors": {"fed": "feature", "composition": "product", "attention_magnitudes": True, "selection": "all"},
    "regressed": {"composition": "regressed"},
    "one sub-network": {"subnetworks": 1},
    "three sub-networks": {"subnetworks": 3},
    "no long skips": {"long_skips": False, "blocked": False},
    "scores concatenated": {"scores": "concatenate"},
    "no scores": {"scores": "none"},
    "no attention": {"attention": False},
    "lengths direct": {"attention": False, "predicts": "lengths"},
    "causal": {"causal": True},
    "causal, first frames": {"causal": True, "selection": "first"},
    "causal, consecutive frames": {"causal": True, "selection": "consecutive"},
    "first frames": {"selection": "first"},
    "frames around": {"selection": "consecutive"},
}
variants = pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())


# Size


@pytest.mark.parametrize(
    ("receptive_field", "parameters"), [(9, 18_240_108), (27, 31_885_932), (81, 45_531_756), (243, 59_177_580)]
)
def test_the_authors_form_has_the_papers_parameters(receptive_field, parameters):
    with torch.device("meta"):
        net = Anatomy3D(H36M_17, Anatomy3DSettings.authors(receptive_field))
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


def test_the_papers_form_differs_by_its_fusion_layers_and_first_layer():
    with torch.device("meta"):
        exact, authors = Anatomy3D(H36M_17), Anatomy3D(H36M_17, Anatomy3DSettings.authors())
    heads = sum(p.numel() for p in authors.pose_head.parameters()) + sum(
        p.numel() for p in authors.shift_heads.parameters()
    )
    attention = (102 * 16 + 16) - 51 * 16
    embedding = 48 * 1024 + 2 * 1024
    count = [sum(p.numel() for p in net.parameters()) for net in (exact, authors)]
    assert count[1] - count[0] == heads + attention - embedding


# Two forms


@variants
@pytest.mark.parametrize("frames", [1, 20, 70])
def test_whole_clips_equal_windows_at_every_frame(changes, frames):
    net, clip = make(**changes), keypoints(frames)
    with torch.no_grad():
        dense, lengths = net(clip), net.lengths(clip)
        for frame in range(frames):
            directions = net.window_directions(held(clip, frame, net))[-1]
            joints = net.pose(directions, lengths[:, 0 if lengths.shape[1] == 1 else frame])
            torch.testing.assert_close(dense[:, frame], joints, atol=1e-5, rtol=0)


@variants
def test_a_clip_of_one_window_is_answered_like_the_window(changes):
    net, clip = make(**changes), keypoints(27)
    with torch.no_grad():
        torch.testing.assert_close(net(clip)[:, net.target], net.window(clip), atol=1e-5, rtol=0)


@pytest.mark.parametrize("receptive_field", [9, 81])
@pytest.mark.parametrize("causal", [False, True])
def test_other_receptive_fields_too(receptive_field, causal):
    net, clip = make(receptive_field=receptive_field, causal=causal), keypoints(40, clips=1)
    with torch.no_grad():
        dense = net.directions(clip)
        windows = [net.window_directions(held(clip, frame, net))[-1] for frame in range(40)]
    torch.testing.assert_close(dense, torch.stack(windows, dim=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("causal", [False, True])
def test_long_clips_in_pieces_equal_the_whole(causal, monkeypatch):
    net, clip = make(causal=causal), keypoints(100, clips=1)
    with torch.no_grad():
        whole = net(clip)
        monkeypatch.setattr(anatomy3d, "ANSWERS_AT_A_TIME", 7)
        monkeypatch.setattr(anatomy3d, "CHUNK_FRAMES", 17)
        torch.testing.assert_close(net(clip), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fed", ["directions", "feature"])
def test_the_split_convolution_is_the_concatenated_one(fed):
    """Sub-network 2 as the paper draws it: repeat over time, concatenate, convolve."""
    net, window = make(fed=fed), keypoints(27)
    upper, causal_tap = net.uppers[0], 1
    with torch.no_grad():
        lower = net.bottom(*net._channels(window), strided=True)
        top = lower[-1][:, :, 0]
        x = top
        if fed == "directions":
            vectors = net.bottom.head(top).unflatten(1, (16, 3))
            unit = (vectors / vectors.norm(dim=2, keepdim=True)).flatten(1)
            x = torch.relu(upper.norm(upper.embed(unit)))
        x = x[:, :, None].repeat(1, 1, 9)
        for block, skip in zip(upper.blocks, lower, strict=False):
            y = torch.nn.functional.conv1d(torch.cat([x, skip], dim=1), block.conv.weight, stride=3)
            y = torch.relu(block.norm_mix(block.mix(torch.relu(block.norm_conv(y)))))
            x = x[:, :, causal_tap::3] + y
        vectors = upper.head(x[:, :, 0]).unflatten(1, (16, 3))
        expected = vectors / vectors.norm(dim=2, keepdim=True)
        torch.testing.assert_close(net.window_directions(window)[1], expected, atol=1e-5, rtol=0)


# What a frame sees


@pytest.mark.parametrize("causal", [False, True])
def test_directions_see_the_receptive_field_and_no_further(causal):
    net = make(causal=causal, blocked=False)
    clip = keypoints(81, clips=1).requires_grad_()
    net.directions(clip)[0, 40].sum().backward()
    seen = clip.grad[0].abs().sum(dim=(1, 2)).nonzero().flatten()
    assert (seen.min(), seen.max()) == ((14, 40) if causal else (27, 53))


@pytest.mark.parametrize("selection", ["random", "first", "consecutive"])
def test_a_causal_model_ignores_the_future(selection):
    net, clip = make(causal=True, selection=selection), keypoints(60)
    other = clip.clone()
    other[:, 31:] = keypoints(29)
    with torch.no_grad():
        torch.testing.assert_close(net(clip)[:, :31], net(other)[:, :31], atol=1e-6, rtol=0)
        assert not torch.allclose(net(clip)[:, 31:], net(other)[:, 31:], atol=1e-3)
        torch.testing.assert_close(net(clip)[:, :31], net(clip[:, :31]), atol=1e-5, rtol=0)


def test_a_causal_model_that_looks_at_all_frames_is_refused():
    with pytest.raises(ValueError, match="causal"):
        Anatomy3DSettings(causal=True, selection="all")


@pytest.mark.parametrize("selection", ["random", "first", "all"])
def test_exact_composition_gives_one_set_of_lengths(selection):
    net = make(selection=selection)
    with torch.no_grad():
        clip = keypoints(40)
        lengths = bone_lengths(H36M_17, net(clip))
        torch.testing.assert_close(lengths, net.lengths(clip).expand(-1, 40, -1), atol=1e-5, rtol=0)
        assert torch.equal(net(clip)[:, :, 0], torch.zeros(2, 40, 3))


def frames_that_matter(net: Anatomy3D, frames: int, answered: int) -> list[int]:
    """Frames of a clip that an answered frame's lengths depend on."""
    clip = keypoints(frames, clips=1)
    with torch.no_grad():
        before = net.lengths(clip)[0]
        matter = []
        for frame in range(frames):
            other = clip.clone()
            other[:, frame, :, :2] += 1
            if (net.lengths(other)[0] != before)[0 if len(before) == 1 else answered].any():
                matter.append(frame)
    return matter


def test_each_selection_strategy_looks_where_it_says():
    def seen(answered: int, **changes) -> list[int]:
        return frames_that_matter(make(gamma=0.1, **changes), 40, answered)

    assert seen(20, causal=True, selection="first") == list(range(7))
    assert seen(4, causal=True, selection="first") == list(range(5))
    assert seen(20, causal=True, selection="consecutive") == list(range(14, 21))
    assert seen(4, causal=True, selection="consecutive") == list(range(5))
    assert seen(20, selection="consecutive") == list(range(17, 24))
    assert seen(20, selection="all") == list(range(40))
    drawn = seen(20)
    assert len(drawn) == 7 and drawn[-1] - drawn[0] > 25
    past = seen(20, causal=True)
    assert len(past) == 7 and past[-1] <= 20 and past[-1] - past[0] > 12
    assert seen(4, causal=True) == list(range(5)), "all there are while they are few"


def test_sampled_frames_stand_for_the_clip():
    net, clip = make(selection="all"), keypoints(60)
    with torch.no_grad():
        windows, some = held(clip, 30, net), clip[:, ::6]
        joints = net.window(windows, some)
        lengths = bone_lengths(H36M_17, joints)
        torch.testing.assert_close(lengths, net.clip_lengths(some), atol=1e-5, rtol=0)


def test_a_clip_in_pieces_is_put_together_from_its_parts():
    net, clip = make(selection="all"), keypoints(60)
    parts = Anatomy3DParts(net)
    with torch.no_grad():
        first, second = parts(clip[:, :45]), parts(clip[:, 15:])  # each with half a receptive field of overlap
        directions = torch.cat([first[0][:, :30], second[0][:, 15:]], dim=1)
        lengths, logits = (torch.cat([first[i][:, :30], second[i][:, 15:]], dim=1) for i in (1, 2))
        joints = net.pose(directions, attend(lengths, logits)[:, None].expand(-1, 60, -1))
        torch.testing.assert_close(joints, net(clip), atol=1e-5, rtol=0)


def test_attention_with_no_degree_is_the_mean():
    net, clip = make(selection="all", gamma=0.0), keypoints(12)
    with torch.no_grad():
        of_frames, _exponents = net.frame_lengths(net.each_frame(clip))
        torch.testing.assert_close(net.lengths(clip), of_frames.mean(dim=1, keepdim=True))


def test_scores_weigh_only_where_they_are_used():
    clip = keypoints(27)
    other = clip.clone()
    other[..., 2] *= 0.5
    for scores in ("attention", "concatenate"):
        net = make(scores=scores)
        assert net.needs_scores and not torch.equal(net(clip), net(other))
        with pytest.raises(ValueError, match="scores"):
            net(clip[..., :2])
    net = make(scores="none")
    assert not net.needs_scores and torch.equal(net(clip), net(other))
    assert torch.equal(net(clip), net(clip[..., :2]))


def test_other_keypoints_are_refused():
    with pytest.raises(ValueError, match=r"17, 3.*16"):
        make()(torch.zeros(1, 5, 16, 3))


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
@pytest.mark.parametrize("composition", ["exact", "regressed", "product"])
def test_any_skeleton_will_do(skeleton, composition):
    net = make(skeleton=skeleton, composition=composition, receptive_field=9)
    clip = keypoints(9, joints=skeleton.joint_count)
    assert net(clip).shape == (2, 9, skeleton.joint_count, 3)
    total, _parts = loss(net.train(), clip, torch.randn(2, 9, skeleton.joint_count, 3))
    assert torch.isfinite(total)


# Anatomy


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
def test_eq_1_agrees_with_the_bones_of_the_house(skeleton):
    directions, lengths = torch.randn(3, skeleton.bone_count, 3), torch.rand(3, skeleton.bone_count)
    paths = torch.as_tensor(anatomy3d.path_matrix(skeleton), dtype=torch.float32)
    joints = anatomy3d.compose(paths, directions, lengths)
    np.testing.assert_allclose(joints, bones.compose(skeleton, directions, lengths), atol=1e-5)


def test_pairs_are_those_no_bone_joins():
    pairs = {tuple(pair) for pair in non_adjacent_pairs(H36M_17)}
    assert len(pairs) == 17 * 16 // 2 - 16 == 120
    assert (H36M_17.index("left_hip"), H36M_17.index("left_knee")) not in pairs
    assert (H36M_17.index("left_ankle"), H36M_17.index("right_wrist")) in pairs
    assert len(non_adjacent_pairs(H36M_17, self_pairs=True)) == 137


# Losses


def gradients(net: Anatomy3D, weights: LossWeights, **kwargs) -> set[str]:
    """Names of the parameters that a loss would change."""
    net.train().zero_grad()
    torch.manual_seed(1)
    total, _parts = loss(net, keypoints(27, 4), torch.randn(4, 27, 17, 3), weights=weights, **kwargs)
    total.backward()
    return {name for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


NONE = LossWeights(0, 0, 0, 0, position=0)


def test_the_joint_shift_loss_updates_directions_only():
    for composition in ("exact", "regressed", "product"):
        touched = gradients(make(composition=composition), replace(NONE, shift=1.0))
        assert any(name.startswith("bottom.") for name in touched) and any(n.startswith("uppers.") for n in touched)
        assert not any(name.startswith(("length_net.", "attention.", "pose_head.")) for name in touched)


def test_attention_and_joints_of_frames_are_trained_apart():
    assert {name.split(".")[0] for name in gradients(make(), replace(NONE, length=1.0))} == {"attention"}
    assert {name.split(".")[0] for name in gradients(make(), replace(NONE, joints=1.0))} == {"length_net"}
    direct = gradients(make(attention=False, predicts="lengths"), replace(NONE, length=1.0))
    assert {name.split(".")[0] for name in direct} == {"length_net"}


def test_gradients_stop_between_sub_networks():
    net = make(subnetworks=3)
    directions = net.train().window_directions(keypoints(27, 4))
    directions[-1][..., 0].sum().backward()
    touched = {name for name, p in net.named_parameters() if p.grad is not None}
    assert touched and all(name.startswith("uppers.1.") for name in touched)
    free = make(blocked=False)
    free.train().window_directions(keypoints(27, 4))[-1][..., 0].sum().backward()
    assert free.bottom.expand.weight.grad.abs().sum() > 0


def test_the_authors_pose_head_is_trained_by_itself():
    touched = gradients(make(composition="product"), replace(NONE, position=1.0))
    assert touched and all(name.startswith("pose_head.") for name in touched)
    touched = gradients(make(composition="regressed"), replace(NONE, position=1.0))
    assert any(name.startswith("uppers.") for name in touched), "the paper trains it together with the network"
    assert not gradients(make(), replace(NONE, length=0.0, position=1.0, joints=1e-30)) - {
        name for name, _ in make().named_parameters() if name.startswith("length_net.")
    }, "exact composition has no layer of its own"


def test_each_term_is_its_equation():
    net = make(receptive_field=9, dropout=0.0)
    clip, truth = keypoints(9, 3), torch.randn(3, 9, 17, 3)
    net.eval()
    with torch.no_grad():
        _total, parts = loss(net, clip, truth)
        directions, lengths, target = net.window_directions(clip), net.clip_lengths(clip), truth[:, 4].numpy()
    true_directions, true_lengths = bones.decompose(H36M_17, target)
    expected = sum(((d.numpy() - true_directions) ** 2).sum(axis=(1, 2)).mean() for d in directions)
    assert float(parts["direction"]) == pytest.approx(expected, rel=1e-5)
    expected = ((lengths.numpy() - true_lengths) ** 2).sum(axis=1).mean()
    assert float(parts["length"]) == pytest.approx(expected, rel=1e-4)
    expected = 0.0
    for answer in directions:
        joints = bones.compose(H36M_17, answer.numpy(), lengths.numpy())
        for a in range(17):
            for b in range(a + 1, 17):
                if H36M_17.parents[b] != a:
                    error = (joints[:, b] - joints[:, a]) - (target[:, b] - target[:, a])
                    expected += np.linalg.norm(error, axis=-1).mean()
    assert float(parts["shift"]) == pytest.approx(expected, rel=1e-4)


def test_the_loss_takes_sampled_and_augmented_frames_and_falls():
    net = make(dropout=0.0, composition="product", fed="feature").train()
    clip, truth = keypoints(27, 6), torch.randn(6, 1, 17, 3)
    sampled = keypoints(5, 6), torch.randn(6, 5, 17, 3)
    other = keypoints(5, 6, channels=2), torch.randn(6, 5, 17, 3)
    with pytest.raises(ValueError, match="sampled"):
        loss(net, clip, truth)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    steps = []
    for _ in range(30):
        optimizer.zero_grad()
        total, parts = loss(net, clip, truth, sampled=sampled, augmented=other, weights=AUTHORS_WEIGHTS)
        total.backward()
        optimizer.step()
        steps.append(parts)
    for part in ("mpjpe", "direction", "frame_joints", "shift"):
        assert float(steps[-1][part]) < 0.8 * float(steps[0][part]), part


# Sampled and augmented frames


def test_frames_are_drawn_from_the_whole_clip_or_from_the_past():
    rng = np.random.default_rng(0)
    drawn = draw_frames(1000, 50, rng)
    assert len(set(drawn)) == 50 and drawn.max() > 800
    assert draw_frames(1000, 50, rng, upto=60).max() <= 60
    assert set(draw_frames(1000, 50, rng, upto=3)) <= {0, 1, 2, 3}


def test_varied_lengths_keep_directions_and_are_one_set_a_clip():
    paths = torch.as_tensor(anatomy3d.path_matrix(BODY_22), dtype=torch.float32)
    directions = torch.nn.functional.normalize(torch.randn(3, 6, 21, 3), dim=-1)
    lengths = torch.rand(3, 1, 21) * 0.1 + 0.3
    joints = anatomy3d.compose(paths, directions, lengths.expand(3, 6, 21))
    others = vary_lengths(BODY_22, joints, 0.6, torch.Generator().manual_seed(0))
    new_directions, new_lengths = bones.decompose(BODY_22, others.numpy())
    np.testing.assert_allclose(new_directions, directions, atol=1e-5)
    np.testing.assert_allclose(new_lengths, np.broadcast_to(new_lengths[:, :1], new_lengths.shape), atol=1e-5)
    change = new_lengths[:, 0] - lengths[:, 0].numpy()
    assert np.abs(change).max() <= 0.3 * 0.4 and np.abs(change).max() > 0.05


def test_points_are_projected_as_the_camera_model_says():
    points, camera = torch.tensor([[[[0.5, -0.25, 2.0]]]]), torch.zeros(1, 9)
    camera[0, :4] = torch.tensor([2.0, 2.2, 0.1, -0.1])
    torch.testing.assert_close(project(points, camera)[0, 0, 0], torch.tensor([0.6, -0.375]))
    camera[0, 4:] = torch.tensor([0.1, 0.02, 0.003, 0.01, -0.02])
    x, y = 0.25, -0.125
    r2 = x * x + y * y
    bend = 1 + 0.1 * r2 + 0.02 * r2**2 + 0.003 * r2**3 + 0.01 * x - 0.02 * y
    expected = [2.0 * (x * bend + 0.01 * r2) + 0.1, 2.2 * (y * bend - 0.02 * r2) - 0.1]
    np.testing.assert_allclose(project(points, camera)[0, 0, 0], expected, atol=1e-6)


def test_augmented_keypoints_are_the_augmented_joints_seen():
    joints, root = 0.3 * torch.randn(2, 4, 17, 3), torch.tensor([0.1, 0.0, 5.0]).expand(2, 4, 3)
    camera = torch.zeros(2, 9)
    camera[:, :2] = 2.0
    seen, others = augment(H36M_17, joints, root, camera, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(others, joints, atol=1e-3)
    torch.testing.assert_close(seen, 2 * (others + root[:, :, None])[..., :2] / (others + root[:, :, None])[..., 2:])


# Export


@pytest.mark.parametrize(
    "changes",
    [{}, VARIANTS["authors"], {"causal": True}, {"causal": True, "selection": "first"}, {"selection": "consecutive"}],
    ids=["paper", "authors", "causal", "causal first", "frames around"],
)
def test_onnx_runtime_agrees_at_any_length(tmp_path, changes):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    net = make(**changes)
    path = str(tmp_path / "anatomy3d.onnx")
    torch.onnx.export(
        net,
        (keypoints(48, clips=1),),
        path,
        input_names=["keypoints"],
        output_names=["joints"],
        dynamic_axes={"keypoints": {0: "clips", 1: "frames"}, "joints": {0: "clips", 1: "frames"}},
        opset_version=17,
        dynamo=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for frames in (3, 48, 97):
        clip = keypoints(frames)
        (joints,) = session.run(None, {"keypoints": clip.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(joints, net(clip).numpy(), atol=1e-4)

# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

torch = pytest.importorskip("torch")

from video_to_pose.nets.direction_tcn import DirectionTCN, clip_lengths  # noqa: E402

BONES, FEATURES = 5, 12
BONE_ENDS = torch.tensor([[-1.0, 1, 0], [0, -1, 1], [-1, 0, 1], [-0.5, -0.5, 1], [0, 0, 0]])
"""Of three keypoints, whose x, y and score are the first nine features."""


def make(causal: bool) -> DirectionTCN:
    torch.manual_seed(0)
    mirror = torch.tensor([0, 2, 1, 4, 3])
    net = DirectionTCN(
        FEATURES, BONE_ENDS, torch.full((BONES,), 0.3), mirror, channels=16, levels=2, causal=causal
    ).eval()
    for parameter in (net.direction_net.trust.weight, *(b.norm_second.weight for b in net.direction_net.frame_blocks)):
        torch.nn.init.normal_(parameter, std=0.2)  # they begin with nothing, which would hide them here
    return net


@pytest.fixture
def net() -> DirectionTCN:
    return make(causal=False)


@pytest.fixture
def causal() -> DirectionTCN:
    return make(causal=True)


def test_directions_and_up_are_unit_vectors(net):
    directions, up, lengths, logits = net(torch.randn(2, 40, FEATURES))
    assert directions.shape == (2, 40, BONES, 3) and up.shape == (2, 40, 3)
    assert lengths.shape == logits.shape == (2, 40, BONES)
    assert torch.allclose(directions.norm(dim=-1), torch.ones(()), atol=1e-5)


def test_a_frame_sees_its_receptive_field_and_no_further(net):
    assert net.receptive_field == 27
    x = torch.randn(1, 61, FEATURES, requires_grad=True)
    net(x)[0][0, 30].sum().backward()
    touched = x.grad[0].abs().sum(dim=1).nonzero().flatten()
    assert touched.min() == 30 - 13 and touched.max() == 30 + 13


def test_the_strided_form_agrees_with_the_dilated_form(net):
    x = torch.randn(3, 27, FEATURES)
    whole, up = net.direction_net(x)
    window, window_up = net.direction_net.window(x)
    assert torch.allclose(whole[:, 13:14], window, atol=1e-5) and torch.allclose(up[:, 13:14], window_up, atol=1e-5)


def test_a_causal_one_sees_nothing_that_comes(causal):
    x = torch.randn(1, 61, FEATURES, requires_grad=True)
    causal(x)[0][0, 30].sum().backward()
    touched = x.grad[0].abs().sum(dim=1).nonzero().flatten()
    assert touched.min() == 30 - 26 and touched.max() == 30


def test_its_strided_form_answers_for_the_last_frame(causal):
    x = torch.randn(3, 27, FEATURES)
    assert torch.allclose(causal.direction_net(x)[0][:, 26:], causal.direction_net.window(x)[0], atol=1e-5)


def test_what_the_picture_shows_of_a_bone_is_the_line_between_its_ends(net):
    x = torch.zeros(1, 1, FEATURES)
    x[0, 0, :9] = torch.tensor([1.0, 2, 0.9, 4, 6, 0.5, 0, 0, 0.0])  # the third keypoint is not seen
    shown = net.direction_net.shown(x)[0, 0]
    assert shown[0].tolist() == [3, 4]
    assert not shown[1:].any()  # an end is not seen, or nothing shows the bone


def test_trusting_the_picture_alone_gives_its_lines(net):
    x = torch.randn(1, 9, FEATURES)
    x[..., 2:9:3] = 1.0
    direction_net = net.direction_net
    with torch.no_grad():
        for parameter in (*direction_net.head.parameters(), direction_net.trust.weight):
            parameter.zero_()
        direction_net.trust.bias.copy_(torch.tensor([1.0, 0.0]).repeat(BONES))  # this frame, and not those about it
    directions = net(x)[0][..., :4, :]
    wanted = torch.nn.functional.normalize(direction_net.shown(x)[..., :4, :], dim=-1)
    assert torch.allclose(directions[..., :2], wanted, atol=1e-5) and not directions[..., 2].any()


def test_lengths_look_at_one_frame_only(net):
    x = torch.randn(1, 9, FEATURES)
    y = x.clone()
    y[0, 3] += 1
    changed = (net(x)[2] != net(y)[2]).any(dim=-1)[0]
    assert changed.nonzero().flatten().tolist() == [3]


def test_sides_share_their_length(net):
    lengths = net(torch.randn(1, 4, FEATURES))[2]
    assert torch.equal(lengths[..., 1], lengths[..., 2]) and torch.equal(lengths[..., 3], lengths[..., 4])


def test_attention_with_equal_trust_is_the_mean():
    lengths = torch.rand(2, 7, BONES)
    assert torch.allclose(clip_lengths(lengths, torch.zeros(2, 7, BONES)), lengths.mean(dim=1))

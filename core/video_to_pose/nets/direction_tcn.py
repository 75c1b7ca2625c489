# SPDX-License-Identifier: GPL-3.0-or-later
"""The product's lifter: bone directions from a temporal convolutional network, bone lengths from the whole clip.

It borrows from Anatomy3D (`anatomy3d.py` has the paper itself) the decomposition of a pose into directions and
lengths, one direction network over T frames, and lengths that many frames of the clip vote for by attention, one set
a clip. Beyond the paper the network also says which way is up, since the camera may be pitched or rolled; and what the
picture shows of a bone, the line between its ends, need not be learnt: the network says how far to trust it and adds
what is lacking. It takes prepared features and not plain keypoints (`lift.normalize`), so it is no `LiftingNet`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_NEAR = 5
"""Frames over which what the picture shows is averaged, besides the frame's own."""


class TemporalBlock(nn.Module):
    """Convolution of three steps in time, then a 1 × 1 convolution, added to the step it is for.

    That step is the middle one, or the last where the future is not to be seen. One set of weights, two forms: dilated
    for whole clips (every frame is an answer) and strided for training on windows (one answer a window, a fraction of
    the work; as plain matrix products, which are three times as fast as convolutions on a processor).
    """

    def __init__(self, channels: int, dilation: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.dilation, self.step = dilation, 2 if causal else 1
        self.conv = nn.Conv1d(channels, channels, 3, bias=False)
        self.mix = nn.Conv1d(channels, channels, 1, bias=False)
        self.norm_conv, self.norm_mix = nn.BatchNorm1d(channels), nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, F) -> (N, C, F - 2 · dilation)."""
        first, last = self.step * self.dilation, (2 - self.step) * self.dilation
        y = nn.functional.conv1d(x, self.conv.weight, dilation=self.dilation)
        y = self.dropout(torch.relu(self.norm_conv(y)))
        own = x[:, :, first : x.shape[2] - last]
        return own + self.dropout(torch.relu(self.norm_mix(self.mix(y))))

    def window(self, x: Tensor) -> Tensor:
        """(N, F, C) -> (N, F / 3, C)."""
        y = self.dropout(torch.relu(_normed(self.norm_conv, _strided(self.conv, x))))
        y = nn.functional.linear(y, self.mix.weight[:, :, 0])
        return x[:, self.step :: 3] + self.dropout(torch.relu(_normed(self.norm_mix, y)))


def _strided(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """A convolution of three steps with a stride of three: (N, F, C) -> (N, F / 3, C')."""
    weight = conv.weight.permute(0, 2, 1).flatten(1)
    return nn.functional.linear(x.reshape(len(x), -1, weight.shape[1]), weight)


def _normed(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Batch normalisation of the last axis."""
    return torch.as_tensor(norm(x.flatten(0, 1))).view(x.shape)


class FrameBlock(nn.Module):
    """Two layers on each frame by itself, added to it; they begin with adding nothing. (N, F, C) -> (N, F, C)."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = (nn.Linear(channels, channels, bias=False) for _ in range(2))
        self.norm_first, self.norm_second = nn.BatchNorm1d(channels), nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.norm_second.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout(torch.relu(_normed(self.norm_first, self.first(x))))
        return x + _normed(self.norm_second, self.second(y))


class DirectionNet(nn.Module):
    """Bone directions and the up vector of a frame from T frames around it, or, causal, of itself and those before.

    T = 3 ** (levels + 1): one expanding convolution, then blocks with dilation 3, 9, 27, …, then, where a window has
    become one frame and layers are cheap, `FrameBlock`s.
    """

    def __init__(
        self,
        features: int,
        bone_ends: Tensor,
        channels: int,
        levels: int,
        frame_blocks: int,
        dropout: float,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.bone_ends: Tensor
        self.register_buffer("bone_ends", bone_ends, persistent=False)
        bones, self.keypoints = bone_ends.shape
        span = 3 ** (levels + 1) - 1
        self.before = span if causal else span // 2
        self.after = span - self.before
        self.near_before = _NEAR - 1 if causal else _NEAR // 2
        self.expand = nn.Conv1d(features, channels, 3, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(TemporalBlock(channels, 3 ** (i + 1), dropout, causal) for i in range(levels))
        self.frame_blocks = nn.ModuleList(FrameBlock(channels, dropout) for _ in range(frame_blocks))
        self.head = nn.Linear(channels, 3 * (bones + 1))
        self.trust = nn.Linear(channels, 2 * bones)
        nn.init.zeros_(self.trust.weight)
        nn.init.zeros_(self.trust.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Whole clips (N, F, features) -> directions (N, F, B, 3), up (N, F, 3); the ends are held."""
        shown = self.shown(x)
        flat = shown.flatten(2).transpose(1, 2)
        flat = nn.functional.pad(flat, (self.near_before, _NEAR - 1 - self.near_before), mode="replicate")
        near = nn.functional.avg_pool1d(flat, _NEAR, 1).transpose(1, 2).unflatten(2, (-1, 2))
        x = nn.functional.pad(x.transpose(1, 2), (self.before, self.after), mode="replicate")
        x = self.dropout(torch.relu(self.norm(self.expand(x))))
        for block in self.blocks:
            x = block(x)
        return self._answer(x.transpose(1, 2), shown, near)

    def window(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (N, T, features) -> directions (N, 1, B, 3), up (N, 1, 3) of frame `before`."""
        first = self.before - self.near_before
        near = self.shown(x[:, first : first + _NEAR])
        shown = near[:, self.near_before, None]
        x = self.dropout(torch.relu(_normed(self.norm, _strided(self.expand, x))))
        for block in self.blocks:
            assert isinstance(block, TemporalBlock)
            x = block.window(x)
        return self._answer(x, shown, near.mean(dim=1, keepdim=True))

    def shown(self, x: Tensor) -> Tensor:
        """The line of each bone in the picture: (N, F, features) -> (N, F, B, 2); 0 where an end is not seen."""
        keypoints = x[..., : 3 * self.keypoints].unflatten(-1, (-1, 3))
        unseen = (keypoints[..., 2] <= 0).to(x.dtype) @ (self.bone_ends != 0).to(x.dtype).T
        return (self.bone_ends @ keypoints[..., :2]) * (unseen == 0)[..., None]

    def _answer(self, x: Tensor, shown: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
        """From channels (N, F, C), and what the picture shows in the frame and about it (N, F, B, 2)."""
        for block in self.frame_blocks:
            x = block(x)
        vectors, trust = self.head(x).float().unflatten(2, (-1, 3)), self.trust(x).float().unflatten(2, (-1, 2))
        plane = trust[..., :1] * shown + trust[..., 1:] * near
        vectors = vectors + nn.functional.pad(plane, (0, 1, 0, 1))  # no depth, and nothing for the up vector
        unit = vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        return unit[:, :, :-1], unit[:, :, -1]


class LengthNet(nn.Module):
    """Bone lengths as one frame shows them, and how far to trust that frame for each bone.

    The clip's lengths are the softmax-weighted mean over its frames (the paper's bone length attention):
    `clip_lengths`. Left and right are one length, and lengths are a ratio to the mean body's.
    """

    def __init__(self, features: int, mean_lengths: Tensor, mirror: Tensor, channels: int, dropout: float) -> None:
        super().__init__()
        bones = len(mean_lengths)
        self.register_buffer("mean_lengths", mean_lengths)
        self.register_buffer("mirror", mirror)  # (B,) bone on the other side
        self.enter = nn.Linear(features, channels)
        self.inner = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, channels), nn.ReLU(), nn.Dropout(dropout))
            for _ in range(3)
        )
        self.head = nn.Linear(channels, 2 * bones)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (N, F, features) -> (N, F, B), (N, F, B)
        x = torch.relu(self.enter(x))
        for layer in self.inner:
            x = x + layer(x)
        log_ratio, logits = self.head(x).chunk(2, dim=-1)
        log_ratio = 0.1 * (log_ratio + log_ratio[..., self.mirror]) / 2
        logits = (logits + logits[..., self.mirror]) / 2
        return self.mean_lengths * log_ratio.exp(), logits


def clip_lengths(lengths: Tensor, logits: Tensor) -> Tensor:
    """(N, F, B) lengths and trust to one set a clip (N, B)."""
    return (logits.softmax(dim=1) * lengths).sum(dim=1)


class DirectionTCN(nn.Module):
    """Direction and length network side by side, as exported to ONNX.

    `bone_ends` (B, K) are the weights of the keypoints whose sum is a bone's line in the picture; features begin with
    x, y and score of the K keypoints, and a score of 0 says that one is not seen.

    Outputs for features (N, F, 3 K + 3): ``directions`` (N, F, B, 3) unit vectors in view axes, ``up`` (N, F, 3),
    ``lengths`` (N, F, B) metres and ``length_logits`` (N, F, B).
    """

    def __init__(
        self,
        features: int,
        bone_ends: Tensor,
        mean_lengths: Tensor,
        mirror: Tensor,
        *,
        channels: int = 512,
        levels: int = 2,
        frame_blocks: int = 2,
        dropout: float = 0.1,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.receptive_field, self.causal = 3 ** (levels + 1), causal
        self.direction_net = DirectionNet(features, bone_ends, channels, levels, frame_blocks, dropout, causal)
        self.length_net = LengthNet(features, mean_lengths, mirror, channels // 2, dropout)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        directions, up = self.direction_net(features)
        lengths, logits = self.length_net(features)
        return directions, up, lengths, logits

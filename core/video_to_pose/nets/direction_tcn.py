# SPDX-License-Identifier: GPL-3.0-or-later
"""The product's lifter: bone directions from a temporal convolutional network, bone lengths from the whole clip.

It borrows from Anatomy3D (`anatomy3d.py` has the paper itself) the decomposition of a pose into directions and
lengths, one direction network over T frames, and lengths that many frames of the clip vote for by attention, one set
a clip. Beyond the paper the network also says which way is up, since the camera may be pitched or rolled. It takes
prepared features and not plain keypoints (`lift.normalize`), so it is no `LiftingNet`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


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


class DirectionNet(nn.Module):
    """Bone directions and the up vector of a frame from T frames around it, or, causal, of itself and those before.

    T = 3 ** (levels + 1): one expanding convolution, then blocks with dilation 3, 9, 27, …
    """

    def __init__(
        self, features: int, bones: int, channels: int, levels: int, dropout: float, causal: bool = False
    ) -> None:
        super().__init__()
        self.bones = bones
        span = 3 ** (levels + 1) - 1
        self.before = span if causal else span // 2
        self.after = span - self.before
        self.expand = nn.Conv1d(features, channels, 3, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(TemporalBlock(channels, 3 ** (i + 1), dropout, causal) for i in range(levels))
        self.head = nn.Conv1d(channels, 3 * (bones + 1), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Whole clips (N, F, features) -> directions (N, F, B, 3), up (N, F, 3); the ends are held."""
        x = nn.functional.pad(x.transpose(1, 2), (self.before, self.after), mode="replicate")
        x = self.dropout(torch.relu(self.norm(self.expand(x))))
        for block in self.blocks:
            x = block(x)
        return self._answer(self.head(x).transpose(1, 2))

    def window(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (N, T, features) -> directions (N, 1, B, 3), up (N, 1, 3) of frame `before`."""
        x = self.dropout(torch.relu(_normed(self.norm, _strided(self.expand, x))))
        for block in self.blocks:
            assert isinstance(block, TemporalBlock)
            x = block.window(x)
        return self._answer(nn.functional.linear(x, self.head.weight[:, :, 0], self.head.bias))

    def _answer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        vectors = x.float().unflatten(2, (self.bones + 1, 3))
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

    Outputs for features (N, F, 3 K + 3): ``directions`` (N, F, B, 3) unit vectors in view axes, ``up`` (N, F, 3),
    ``lengths`` (N, F, B) metres and ``length_logits`` (N, F, B).
    """

    def __init__(
        self,
        features: int,
        mean_lengths: Tensor,
        mirror: Tensor,
        *,
        channels: int = 512,
        levels: int = 2,
        dropout: float = 0.1,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.receptive_field, self.causal = 3 ** (levels + 1), causal
        self.direction_net = DirectionNet(features, len(mean_lengths), channels, levels, dropout, causal)
        self.length_net = LengthNet(features, mean_lengths, mirror, channels // 2, dropout)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        directions, up = self.direction_net(features)
        lengths, logits = self.length_net(features)
        return directions, up, lengths, logits

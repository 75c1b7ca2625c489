# SPDX-License-Identifier: GPL-3.0-or-later
"""The temporal baseline: a dilated temporal convolutional network (Pavllo et al. 2019, "3D human pose estimation in
video with temporal convolutions and semi-supervised training"; VideoPose3D).

One set of weights, two forms: strided over windows for training (one answer a window, a fraction of the work) and
dilated over whole clips (every frame is answered, neighbours share their work). The paper trains with AMSGrad (1e-3,
x 0.95 an epoch, 80 epochs), batches of 1024 windows, flipped copies, and batch norm momentum falling from 0.1 to 0.001.

`TemporalBlock`, `hold` and `in_chunks` serve Anatomy3D as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..skeleton import Skeleton
from .fully_connected import flatten_keypoints

CHUNK_FRAMES = 4096
"""Long clips are lifted so many frames at a time, so that memory does not grow with the clip."""


@dataclass(frozen=True)
class TCNSettings:
    """The paper's network.

    Attributes:
        receptive_field: T, a power of three: 9, 27, 81, 243.
        channels: width of every layer.
        dropout: share of units silenced in training.
        causal: the answered frame is the window's last, so that the future is not looked at.
        scores: read a third channel, the detector's score. The paper has none.
    """

    receptive_field: int = 243
    channels: int = 1024
    dropout: float = 0.25
    causal: bool = False
    scores: bool = False


def levels_of(receptive_field: int) -> int:
    """Blocks above the expanding layer: T = 3 ** (levels + 1).

    Raises:
        ValueError: T is no power of three, or less than 9.
    """
    levels = 0
    while 3 ** (levels + 1) < receptive_field:
        levels += 1
    if levels < 1 or 3 ** (levels + 1) != receptive_field:
        raise ValueError(f"the receptive field must be 9, 27, 81, 243 …, got {receptive_field}")
    return levels


class TemporalBlock(nn.Module):
    """Three-tap convolution, then a 1 × 1 convolution, added to one of the taps: the middle, or the last if causal.

    Args:
        channels: C, width.
        dilation: frames between taps in the dilated form: 3 ** level.
        dropout: share of units silenced in training.
        causal: add to the last tap.
        extra: further input channels that are convolved but not added (Anatomy3D's long skips and scores).
    """

    def __init__(self, channels: int, dilation: int, dropout: float, causal: bool = False, extra: int = 0) -> None:
        super().__init__()
        self.channels, self.dilation, self.tap = channels, dilation, 2 if causal else 1
        self.conv = nn.Conv1d(channels + extra, channels, 3, bias=False)
        self.mix = nn.Conv1d(channels, channels, 1, bias=False)
        self.norm_conv, self.norm_mix = nn.BatchNorm1d(channels), nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, strided: bool) -> Tensor:
        """(N, C + extra, F) -> (N, C, F - 2 · dilation), or strided (N, C + extra, F) -> (N, C, F / 3)."""
        if strided:
            y = nn.functional.conv1d(x, self.conv.weight, stride=3)
            own = x[:, : self.channels, self.tap :: 3]
        else:
            d = self.dilation
            y = nn.functional.conv1d(x, self.conv.weight, dilation=d)
            first = self.tap * d
            own = x[:, : self.channels, first : first + x.shape[2] - 2 * d]
        y = self.dropout(torch.relu(self.norm_conv(y)))
        return own + self.dropout(torch.relu(self.norm_mix(self.mix(y))))


def hold(x: Tensor, before: int, after: int) -> Tensor:
    """(N, C, F) with the end frames held that many frames longer; negative numbers cut frames off instead."""
    x = x[:, :, max(-before, 0) : x.shape[2] - max(-after, 0)]
    return nn.functional.pad(x, (max(before, 0), max(after, 0)), mode="replicate")


def margins(level: int, levels: int, causal: bool) -> tuple[int, int]:
    """Frames before and after the clip at which a dilated layer must be computed.

    The clip's ends are held, so beyond its reach a layer's output stands still and can be held in its turn; and only as
    much is needed as the layers above will look at. That is less than holding the input for half the receptive field.
    A causal layer stands still before the clip begins and is never asked after its end.

    Args:
        level: 0 for the expanding layer, i for the i-th block's output.
        levels: number of blocks.
        causal: whether all context lies before the frame.
    """
    if causal:
        return 0, 0
    reach, whole = 3 ** (level + 1) // 2, 3 ** (levels + 1) // 2
    margin = min(reach, whole - reach)
    return margin, margin


def grow(level: int, levels: int, causal: bool) -> tuple[int, int]:
    """How much to `hold` the input of a level's layer so that its output has that level's `margins`."""
    dilation = 3**level
    before, after = margins(level, levels, causal)
    had_before, had_after = margins(level - 1, levels, causal) if level else (0, 0)
    context = (2 * dilation, 0) if causal else (dilation, dilation)
    return before + context[0] - had_before, after + context[1] - had_after


def in_chunks(
    dense: Callable[[Tensor], Tensor], x: Tensor, before: int, after: int, chunk: int = CHUNK_FRAMES
) -> Tensor:
    """Run a dense network over a clip piece by piece: equal to running it at once, in bounded memory.

    Args:
        dense: (N, F, …) -> (N, F, …), holding the ends.
        x: (N, F, …).
        before: frames of the past an answer looks at.
        after: frames of the future it looks at.
        chunk: frames answered at a time.
    """
    if torch.jit.is_tracing() or x.shape[1] <= chunk:
        return dense(x)
    pieces = []
    for start in range(0, x.shape[1], chunk):
        first = max(start - before, 0)
        piece = dense(x[:, first : start + chunk + after])
        pieces.append(piece[:, start - first : start - first + chunk])
    return torch.cat(pieces, dim=1)


class TCN(nn.Module):
    """Keypoints of T frames to the joints of one. A `LiftingNet`."""

    def __init__(self, skeleton: Skeleton, settings: TCNSettings = TCNSettings()) -> None:
        super().__init__()
        self.skeleton, self.settings = skeleton, settings
        self.levels = levels_of(settings.receptive_field)
        self.receptive_field = settings.receptive_field
        self.target = self.receptive_field - 1 if settings.causal else self.receptive_field // 2
        self.needs_scores = settings.scores
        channels, joints = settings.channels, skeleton.joint_count
        self.expand = nn.Conv1d((3 if settings.scores else 2) * joints, channels, 3, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(
            TemporalBlock(channels, 3 ** (i + 1), settings.dropout, settings.causal) for i in range(self.levels)
        )
        self.head = nn.Conv1d(channels, 3 * joints, 1)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Whole clips (N, F, K, C) -> (N, F, J, 3); the ends are held."""
        return in_chunks(self._dense, keypoints, self.target, self.receptive_field - 1 - self.target)

    def window(self, keypoints: Tensor) -> Tensor:
        """Windows (N, T, K, C) -> (N, J, 3), the target frame's joints."""
        x = nn.functional.conv1d(self._channels(keypoints), self.expand.weight, stride=3)
        x = self.dropout(torch.relu(self.norm(x)))
        for block in self.blocks:
            x = block(x, strided=True)
        return self._joints(x)[:, 0]

    def _dense(self, keypoints: Tensor) -> Tensor:
        causal = self.settings.causal
        x = hold(self._channels(keypoints), *grow(0, self.levels, causal))
        x = self.dropout(torch.relu(self.norm(self.expand(x))))
        for level, block in enumerate(self.blocks, start=1):
            x = block(hold(x, *grow(level, self.levels, causal)), strided=False)
        return self._joints(x)

    def _channels(self, keypoints: Tensor) -> Tensor:  # (N, F, K, C) -> (N, K · C, F)
        return flatten_keypoints(keypoints, self.skeleton.joint_count, self.needs_scores).transpose(1, 2)

    def _joints(self, x: Tensor) -> Tensor:  # (N, channels, F) -> (N, F, J, 3)
        return self.head(x).transpose(1, 2).unflatten(2, (self.skeleton.joint_count, 3))


def at_target(joints: Tensor, target: int) -> Tensor:
    """The answered frame (N, J, 3) of (N, T, J, 3); a single frame (N, 1, J, 3) is that frame already."""
    return joints[:, 0 if joints.shape[1] == 1 else target]


def loss(net: TCN, keypoints: Tensor, joints: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean per joint position error of the target frame.

    Args:
        net: in training mode.
        keypoints: (N, T, K, C) windows.
        joints: (N, T, J, 3), or (N, 1, J, 3) with the target frame alone.

    Returns:
        The loss and what is worth printing: mpjpe in the joints' units.
    """
    error = (net.window(keypoints) - at_target(joints, net.target)).norm(dim=-1).mean()
    return error, {"mpjpe": error.detach()}

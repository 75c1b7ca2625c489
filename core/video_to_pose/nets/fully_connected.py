# SPDX-License-Identifier: GPL-3.0-or-later
"""The single-frame baseline: a residual fully connected network (Martinez et al. 2017, "A simple yet effective
baseline for 3d human pose estimation").

One frame's keypoints in, its joints out; frames know nothing of each other. The paper trains with Adam (1e-3,
decaying), batches of 64 and inputs and outputs standardised a dimension, and bounds the norm of every weight by one
(`FullyConnected.constrain`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..skeleton import Skeleton


@dataclass(frozen=True)
class FullyConnectedSettings:
    """The paper's network.

    Attributes:
        channels: width of every layer.
        blocks: residual blocks, two layers each.
        dropout: share of units silenced in training.
        max_norm: bound on the norm of each layer's weights that `FullyConnected.constrain` keeps; None for no bound.
        scores: read a third channel, the detector's score. The paper has none.
    """

    channels: int = 1024
    blocks: int = 2
    dropout: float = 0.5
    max_norm: float | None = 1.0
    scores: bool = False


def flatten_keypoints(keypoints: Tensor, joints: int, scores: bool) -> Tensor:
    """Keypoints (N, F, K, C) to features (N, F, 3 K) with scores, or (N, F, 2 K) without.

    Raises:
        ValueError: other keypoints than the network was made for, or no scores where it needs them.
    """
    channels = 3 if scores else 2
    if not torch.jit.is_tracing():
        if keypoints.ndim != 4 or keypoints.shape[2] != joints:
            raise ValueError(f"expected keypoints (N, F, {joints}, {channels}), got {tuple(keypoints.shape)}")
        if keypoints.shape[3] < channels:
            raise ValueError("this network needs the detector's scores as the keypoints' third channel (1 if unknown)")
    return keypoints[..., :channels].flatten(2)


class ResidualNet(nn.Module):
    """Linear, then blocks of two [linear, batch norm, ReLU, dropout] added to their input, then linear."""

    def __init__(self, inputs: int, outputs: int, channels: int, blocks: int, dropout: float) -> None:
        super().__init__()

        def layer(width: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(width, channels), nn.BatchNorm1d(channels), nn.ReLU(inplace=True), nn.Dropout(dropout)
            )

        self.enter = layer(inputs)
        self.blocks = nn.ModuleList(nn.Sequential(layer(channels), layer(channels)) for _ in range(blocks))
        self.head = nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:  # (R, inputs) -> (R, outputs)
        x = self.enter(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


class FullyConnected(nn.Module):
    """Keypoints of a frame to its joints. A `LiftingNet` whose window is one frame."""

    receptive_field = 1
    target = 0

    def __init__(self, skeleton: Skeleton, settings: FullyConnectedSettings = FullyConnectedSettings()) -> None:
        super().__init__()
        self.skeleton, self.settings = skeleton, settings
        self.needs_scores = settings.scores
        joints = skeleton.joint_count
        self.net = ResidualNet(
            (3 if settings.scores else 2) * joints, 3 * joints, settings.channels, settings.blocks, settings.dropout
        )
        for module in self.net.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, keypoints: Tensor) -> Tensor:
        """(N, F, K, C) -> (N, F, J, 3)."""
        rows = flatten_keypoints(keypoints, self.skeleton.joint_count, self.needs_scores)
        return self.net(rows.flatten(0, 1)).reshape(*rows.shape[:2], self.skeleton.joint_count, 3)

    def window(self, keypoints: Tensor) -> Tensor:
        """(N, 1, K, C) -> (N, J, 3)."""
        return self.forward(keypoints)[:, 0]

    @torch.no_grad()
    def constrain(self) -> None:
        """Scale down the weights whose norm exceeds the bound: to be called after every optimiser step."""
        if self.settings.max_norm is None:
            return
        for module in self.net.modules():
            if isinstance(module, nn.Linear):
                module.weight.mul_((self.settings.max_norm / module.weight.norm()).clamp(max=1))


def loss(net: FullyConnected, keypoints: Tensor, joints: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean squared error, as the paper trains it, over all frames.

    Args:
        net: in training mode.
        keypoints: (N, F, K, C).
        joints: (N, F, J, 3).

    Returns:
        The loss and what is worth printing: mpjpe in the joints' units.
    """
    error = net(keypoints) - joints
    return error.square().mean(), {"mpjpe": error.detach().norm(dim=-1).mean()}

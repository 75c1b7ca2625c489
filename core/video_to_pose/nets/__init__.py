# SPDX-License-Identifier: GPL-3.0-or-later
"""The lifting networks in PyTorch, one file a paper. Torch lives here and in `training` alone.

All take keypoints and give joints, through one small interface (`LiftingNet`); what else a paper has (extra heads,
losses, schedules) is named in its own file.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class LiftingNet(Protocol):
    """What training, evaluation, export and benchmarks may count on.

    Keypoints are (N, F, K, 2) in normalised image coordinates, or (N, F, K, 3) with the detector's score last where
    `needs_scores`. Joints are (N, F, J, 3), camera axes, metres, relative to the root.

    Attributes:
        receptive_field: T, frames that one answer is made from.
        target: which of a window's T frames is answered: the middle, or the last when the network is causal.
        needs_scores: whether keypoints carry a third channel.
    """

    receptive_field: int
    target: int
    needs_scores: bool

    def forward(self, keypoints: Tensor) -> Tensor:
        """Whole clips (N, F, K, C) -> (N, F, J, 3): every frame is answered, the ends are held."""
        ...

    def window(self, keypoints: Tensor) -> Tensor:
        """Windows (N, T, K, C) -> (N, J, 3), the target frame's joints; equal to `forward` to 1e-5."""
        ...

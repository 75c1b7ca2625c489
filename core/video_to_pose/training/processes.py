# SPDX-License-Identifier: GPL-3.0-or-later
"""Several processes that train one network together, as ``torchrun`` starts them; or one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn

from ..errors import SetupError


@dataclass(frozen=True)
class Processes:
    """Which of how many this is, and the device that is its own."""

    rank: int
    count: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether it is the one that talks and writes."""
        return self.rank == 0

    def agree(self, value: float) -> float:
        """What the leading process says."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, 0)
        return float(shared)

    def gather(self, value: Any) -> list[Any]:
        """Every process's value."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def together(self, module: nn.Module) -> nn.Module:
        """The module with gradients that are averaged over all processes."""
        if self.count == 1:
            return module
        devices = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=devices, find_unused_parameters=True)


@contextmanager
def joined(device: str = "auto") -> Iterator[Processes]:
    """The processes of this training.

    Raises:
        SetupError: a device that is not here.
    """
    count, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    place = torch.device(device, int(os.environ.get("LOCAL_RANK", 0))) if device == "cuda" else torch.device(device)
    try:
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise SetupError(
            f"PyTorch cannot use the device {device!r} here: {str(error).splitlines()[0].rstrip('.')}.",
            "Use --device auto or cpu, or install a PyTorch for your device.",
            "device-missing",
        ) from error
    if count == 1:
        yield Processes(0, 1, place)
        return
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Processes(rank, count, place)
        distributed.barrier()  # who leaves first closes what the others may still read: gloo aborts at that
    finally:
        distributed.destroy_process_group()

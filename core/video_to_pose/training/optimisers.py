# SPDX-License-Identifier: GPL-3.0-or-later
"""The papers' optimisers and schedules. A schedule is a pure function of how much of a stage is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..nets.catalogue import Recipe, Stage


class Ranger(torch.optim.RAdam):
    """RAdam with Lookahead: every few steps the weights return part of the way to where they were.

    Args:
        params: as any optimiser's.
        every: steps between returns.
        towards: share of the way that is kept.
        options: of RAdam.
    """

    def __init__(self, params: Iterable[Any], *, every: int = 6, towards: float = 0.5, **options: Any) -> None:
        super().__init__(params, **options)
        self.every, self.towards = every, towards

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        before = {p: p.clone() for p in parameters if "slow" not in self.state[p]}
        loss = super().step(closure)
        for parameter in parameters:
            state = self.state[parameter]
            slow: Tensor = state.setdefault("slow", before.get(parameter))
            if int(state["step"]) % self.every == 0:
                slow.lerp_(parameter, self.towards)
                parameter.copy_(slow)
        return loss


def make(recipe: Recipe, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of a recipe, for what is to be trained."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    common: dict[str, Any] = {"lr": recipe.stages[0].learning_rate, "betas": recipe.betas, "eps": recipe.epsilon}
    match recipe.optimiser:
        case "adam":
            return torch.optim.Adam(trained, **common)
        case "amsgrad":
            return torch.optim.Adam(trained, **common, amsgrad=True)
        case "adamw":
            return torch.optim.AdamW(trained, **common, weight_decay=recipe.weight_decay, amsgrad=True)
        case "ranger":
            return Ranger(trained, **common)


def learning_rate(recipe: Recipe, stage: Stage, done: float, steps: int) -> float:
    """At a point of a stage.

    Args:
        recipe: says which schedule.
        stage: its epochs are stretched or squeezed to the budget, so that a short training ends as low as a long one.
        done: share of the stage, 0 … 1.
        steps: of the optimiser since the stage began; only for "steps".
    """
    if recipe.schedule == "steps":
        return stage.learning_rate * recipe.decay ** (steps / 100_000)
    if recipe.schedule == "cosine":
        return recipe.final_rate + (stage.learning_rate - recipe.final_rate) * (1 + math.cos(math.pi * done)) / 2
    return stage.learning_rate * recipe.decay ** math.floor(done * stage.epochs + 1e-9)


def norm_momentum(recipe: Recipe, done: float, steps: int) -> float | None:
    """Of batch norms, at a point of a stage; None leaves it alone.

    It never averages over more than the last tenth of the steps: after a short training the statistics would else be
    those of weights long gone.
    """
    if recipe.norm_momentum is None:
        return None
    first, last = recipe.norm_momentum
    return min(first, max(first * (last / first) ** done, 10 / (steps + 1)))


def set_norm_momentum(net: nn.Module, momentum: float) -> None:
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = momentum

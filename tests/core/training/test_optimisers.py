# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules are the papers' in a whole training, and the same squeezed in a short one."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from video_to_pose.nets.catalogue import CATALOGUE, Recipe, Stage  # noqa: E402
from video_to_pose.training import optimisers  # noqa: E402

RECIPE = Recipe(stages=(Stage(80, 1e-3),), norm_momentum=(0.1, 0.001))


def test_the_rate_falls_by_five_percent_after_each_epoch():
    rates = [optimisers.learning_rate(RECIPE, RECIPE.stages[0], epoch / 80, 0) for epoch in range(80)]
    assert rates == pytest.approx([1e-3 * 0.95**epoch for epoch in range(80)])
    assert optimisers.learning_rate(RECIPE, RECIPE.stages[0], 1.7 / 80, 0) == pytest.approx(0.95e-3)


def test_a_cosine_goes_from_the_first_rate_to_the_last():
    recipe = CATALOGUE["gla_gcn"].recipe
    rates = [optimisers.learning_rate(recipe, recipe.stages[0], done, 0) for done in (0.0, 0.5, 1.0)]
    assert rates == pytest.approx([0.01, 0.005005, 1e-5])


def test_a_schedule_by_steps_counts_steps():
    recipe = CATALOGUE["seq2seq"].recipe
    assert optimisers.learning_rate(recipe, recipe.stages[0], 0.9, 100_000) == pytest.approx(0.96e-5)


def test_norm_statistics_slow_down_but_never_outlive_the_weights():
    assert optimisers.norm_momentum(RECIPE, 0.0, 0) == 0.1
    assert optimisers.norm_momentum(RECIPE, 1.0, 1_000_000) == pytest.approx(0.001)
    assert optimisers.norm_momentum(RECIPE, 1.0, 199) == pytest.approx(0.05)  # a twentieth of 200 steps
    assert optimisers.norm_momentum(replace(RECIPE, norm_momentum=None), 0.5, 10) is None


def test_ranger_returns_half_of_the_way_every_sixth_step():
    def walk(optimiser, steps):
        weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        optimiser = optimiser([weight])
        for _ in range(steps):
            weight.grad = torch.tensor([1.0, 0.5])
            optimiser.step()
        return weight.detach()

    def plain(params):
        return torch.optim.RAdam(params, lr=0.1)

    def ranger(params):
        return optimisers.Ranger(params, lr=0.1)

    start = torch.tensor([1.0, -2.0])
    assert torch.equal(walk(ranger, 5), walk(plain, 5))
    assert torch.allclose(walk(ranger, 6), (start + walk(plain, 6)) / 2)


def test_rangers_memory_travels_with_its_state():
    weight = torch.nn.Parameter(torch.ones(3))
    first = optimisers.Ranger([weight], lr=0.1)
    weight.grad = torch.ones(3)
    first.step()
    second = optimisers.Ranger([weight], lr=0.1)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.state[weight]["slow"], torch.ones(3))


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.id)
def test_every_recipe_has_its_optimiser(entry):
    frozen, trained = torch.nn.Parameter(torch.ones(1), requires_grad=False), torch.nn.Parameter(torch.ones(1))
    optimiser = optimisers.make(entry.recipe, [frozen, trained])
    assert [p is trained for group in optimiser.param_groups for p in group["params"]] == [True]
    kind = {"adam": "Adam", "amsgrad": "Adam", "adamw": "AdamW", "ranger": "Ranger"}[entry.recipe.optimiser]
    assert type(optimiser).__name__ == kind

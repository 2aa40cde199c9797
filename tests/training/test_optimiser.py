"""Schedules against their closed forms, optimisers against one step by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from cutaway.config import OptimiserKind, ScheduleKind, TrainConfig
from cutaway.training.optimiser import OPTIMISERS, SCHEDULES, learning_rate, make_optimiser, set_rate


def rates(recipe: TrainConfig, epoch_steps: int = 10) -> list[float]:
    return [learning_rate(recipe, step, epoch_steps) for step in range(recipe.epochs * epoch_steps)]


def test_every_kind_is_registered() -> None:
    assert set(OPTIMISERS) == {kind.value for kind in OptimiserKind}
    assert set(SCHEDULES) == {kind.value for kind in ScheduleKind}


def test_constant_is_constant() -> None:
    assert set(rates(TrainConfig(schedule=ScheduleKind.CONSTANT, lr=0.3, epochs=3))) == {0.3}


def test_step_drops_at_the_start_of_its_epochs() -> None:
    recipe = TrainConfig(schedule=ScheduleKind.STEP, lr=1.0, epochs=5, step_epochs=2, step_factor=0.1)
    assert rates(recipe, 1) == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_cosine_is_half_a_wave() -> None:
    found = rates(TrainConfig(schedule=ScheduleKind.COSINE, lr=2.0, epochs=4))
    assert found == pytest.approx([1 + math.cos(math.pi * step / 40) for step in range(40)])


def test_one_cycle_rises_and_falls_along_straight_lines() -> None:
    found = rates(TrainConfig(schedule=ScheduleKind.ONE_CYCLE, lr=1.0, epochs=10, warmup=0.2))
    rising, falling = found[:20], found[20:]
    assert max(found) == pytest.approx(1, abs=0.05)
    assert rising == pytest.approx([(step + 0.5) / 20 for step in range(20)])
    assert falling == pytest.approx([1 - (step + 0.5) / 80 for step in range(80)])
    assert min(found) > 0


def test_one_cycle_without_warm_up_only_falls() -> None:
    found = rates(TrainConfig(schedule=ScheduleKind.ONE_CYCLE, lr=1.0, epochs=2, warmup=0))
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("kind", [ScheduleKind.CONSTANT, ScheduleKind.COSINE, ScheduleKind.STEP])
def test_a_warm_up_rises_to_the_schedule_in_equal_steps(kind: ScheduleKind) -> None:
    plain = rates(TrainConfig(schedule=kind, lr=0.3, epochs=3))
    warm = rates(TrainConfig(schedule=kind, lr=0.3, epochs=3, warmup_epochs=0.5))
    assert warm[:5] == pytest.approx(
        [rate * share / 5 for rate, share in zip(plain, range(1, 6), strict=False)]
    )
    assert warm[5:] == plain[5:]


def test_one_cycle_keeps_to_its_own_warm_up() -> None:
    recipe = TrainConfig(schedule=ScheduleKind.ONE_CYCLE, epochs=3)
    assert rates(recipe.model_copy(update={"warmup_epochs": 1.0})) == rates(recipe)


def test_decay_is_for_kernels_alone() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    groups = make_optimiser(net, TrainConfig(weight_decay=0.5)).param_groups
    decayed = {p for group in groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {p for p in net.parameters() if p.dim() > 1}
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))


def one_step(recipe: TrainConfig) -> tuple[float, float]:
    """The weight after one and after two steps along a gradient of 1, from 0."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    optimiser = make_optimiser(layer, recipe)
    found = []
    for _ in range(2):
        layer.weight.grad = torch.ones(1, 1)
        optimiser.step()
        found.append(float(layer.weight.detach()))
    return found[0], found[1]


def test_biases_of_norms_go_farther_and_nothing_else() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2), nn.BatchNorm1d(2)
    )
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    optimiser = make_optimiser(net, TrainConfig(lr=9.0, momentum=0, nesterov=False, norm_bias_rate=8.0))
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(before)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    set_rate(optimiser, 0.5)
    optimiser.step()
    for name, value in net.named_parameters():
        step = 4.0 if name in ("1.bias", "4.bias") else 0.5
        torch.testing.assert_close(before[name] - value, torch.full_like(value, step))


def test_without_a_rate_of_their_own_groups_are_as_they_always_were() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    names = {id(value): name for name, value in net.named_parameters()}
    groups = make_optimiser(net, TrainConfig()).param_groups
    assert [[names[id(p)] for p in group["params"]] for group in groups] == [
        ["0.weight"],
        ["0.bias", "1.weight", "1.bias"],
    ]


def test_sgd_with_momentum_by_hand() -> None:
    recipe = TrainConfig(lr=0.1, momentum=0.5, nesterov=False)
    assert one_step(recipe) == pytest.approx((-0.1, -0.1 - 0.15))


def test_sgd_with_nesterov_by_hand() -> None:
    recipe = TrainConfig(lr=0.1, momentum=0.5, nesterov=True)
    assert one_step(recipe) == pytest.approx((-0.15, -0.15 - 0.175))


@pytest.mark.parametrize("kind", [OptimiserKind.ADAM, OptimiserKind.ADAMW])
def test_adam_takes_steps_of_its_rate(kind: OptimiserKind) -> None:
    assert one_step(TrainConfig(optimiser=kind, lr=0.1)) == pytest.approx((-0.1, -0.2), rel=1e-4)

"""Optimisers and learning-rate schedules, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from cutaway.config import OptimiserKind, ScheduleKind, TrainConfig
from cutaway.registry import Registry

OPTIMISERS: Registry[Callable[..., Optimizer]] = Registry("optimiser")
SCHEDULES: Registry[Callable[[TrainConfig, int, int], float]] = Registry("schedule")

RATE = "rate"
"""In a group of parameters: by what the learning rate is multiplied for it."""

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def make_optimiser(net: nn.Module, recipe: TrainConfig) -> Optimizer:
    """The recipe's optimiser over all parameters of a net.

    Weight decay is for the kernels of convs and dense layers; pulling biases and norms towards
    zero costs accuracy for nothing.
    """
    parameters = [p for p in net.parameters() if p.requires_grad]
    # Without a rate of their own they stay where checkpoints of earlier versions have them.
    norms = net.modules() if recipe.norm_bias_rate != 1 else ()
    shifts = {id(norm.bias) for norm in norms if isinstance(norm, _NORMS)}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1 and id(p) not in shifts], "weight_decay": 0.0},
        {
            "params": [p for p in parameters if id(p) in shifts],
            "weight_decay": 0.0,
            RATE: recipe.norm_bias_rate,
        },
    ]
    return OPTIMISERS[recipe.optimiser]([g for g in groups if g["params"]], recipe)


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Let the next step go so far; groups with a multiple of their own by so much farther."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get(RATE, 1.0)


@OPTIMISERS.add(OptimiserKind.SGD)
def _sgd(groups: list[dict[str, object]], recipe: TrainConfig) -> Optimizer:
    return SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True)


@OPTIMISERS.add(OptimiserKind.ADAM)
def _adam(groups: list[dict[str, object]], recipe: TrainConfig) -> Optimizer:
    return Adam(groups, lr=recipe.lr, betas=(recipe.beta1, recipe.beta2), fused=True)


@OPTIMISERS.add(OptimiserKind.ADAMW)
def _adamw(groups: list[dict[str, object]], recipe: TrainConfig) -> Optimizer:
    return AdamW(groups, lr=recipe.lr, betas=(recipe.beta1, recipe.beta2), fused=True)


def learning_rate(recipe: TrainConfig, step: int, epoch_steps: int) -> float:
    """The learning rate of a step.

    Args:
        recipe: has the schedule, its constants and the number of epochs.
        step: counted from 0 over the whole training.
        epoch_steps: steps in one epoch.
    """
    warm = recipe.warmup_epochs * epoch_steps
    # One-cycle has a rise of its own.
    rise = (step + 1) / warm if step + 1 < warm and recipe.schedule is not ScheduleKind.ONE_CYCLE else 1.0
    return recipe.lr * rise * SCHEDULES[recipe.schedule](recipe, step, epoch_steps)


@SCHEDULES.add(ScheduleKind.CONSTANT)
def _constant(recipe: TrainConfig, step: int, epoch_steps: int) -> float:
    del recipe, step, epoch_steps
    return 1.0


@SCHEDULES.add(ScheduleKind.STEP)
def _step(recipe: TrainConfig, step: int, epoch_steps: int) -> float:
    return float(recipe.step_factor ** (step // epoch_steps // recipe.step_epochs))


@SCHEDULES.add(ScheduleKind.COSINE)
def _cosine(recipe: TrainConfig, step: int, epoch_steps: int) -> float:
    """½ (1 + cos π t), from 1 to 0. Loshchilov and Hutter, "SGDR", 2017, without restarts."""
    return 0.5 * (1 + math.cos(math.pi * step / (recipe.epochs * epoch_steps)))


@SCHEDULES.add(ScheduleKind.ONE_CYCLE)
def _one_cycle(recipe: TrainConfig, step: int, epoch_steps: int) -> float:
    """Linear from 0 to 1 over the warm-up and back to 0. Smith and Topin, "Super-Convergence", 2018.

    Taken at the middle of each step, so that neither the first nor the last step is lost.
    """
    t = (step + 0.5) / (recipe.epochs * epoch_steps)
    return t / recipe.warmup if t < recipe.warmup else (1 - t) / (1 - recipe.warmup)

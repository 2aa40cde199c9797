"""What a study will take, before it is begun: measured on its base, reckoned for the rest."""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cutaway.nets import training_memory
from cutaway.study.prepared import Prepared
from cutaway.study.variant import Variant
from cutaway.training import StepDone, prepare, train
from cutaway.training.events import Event
from cutaway.training.room import optimiser_states

_SECONDS = 2.0
"""How long the base is trained to see how fast it is."""

_WARM_STEPS = 2
"""Steps before the clock starts: the first ones take memory and choose algorithms."""

_FORWARD = 1 / 3
"""A forward pass costs about a third of a training step: the backward pass has two products for each."""

_PROCESS = 350 << 20
"""Bytes that a worker takes before it trains: Python, PyTorch, Dask."""


@dataclass(frozen=True)
class Estimate:
    """What a study will take.

    Args:
        trials: in all, without those of variants that can't be trained.
        seconds: for all of them on so many workers, none of them ended early.
        memory: bytes, of all workers at their fullest, images counted once.
        images_per_second: of the base on one thread, as measured.
        workers: that were reckoned with.
    """

    trials: int
    seconds: float
    memory: int
    images_per_second: float
    workers: int


def estimate_study(made: Prepared, workers: int) -> Estimate:
    """Train the base for two seconds on one thread, and reckon by multiply-adds.

    Two workers side by side are each slower than one alone, as far as they share memory; so a study
    takes longer than this rather than shorter.
    """
    base, *_ = made.variants
    able = [variant for variant in made.variants if not variant.problem]
    speed = _speed(made, base)
    seconds = [_seconds(made, variant, base, speed) for variant in able for _ in made.study.every_seed]
    step = max(_step_memory(variant) for variant in able)
    images = sum(split.store.nbytes for split in made.splits.values())
    return Estimate(
        len(able) * made.study.seeds,
        _side_by_side(seconds, workers),
        workers * (step + _PROCESS) + images,
        speed,
        workers,
    )


def _side_by_side(seconds: Sequence[float], workers: int) -> float:
    """What trials take on some workers, the longest first, as the study hands them out."""
    busy = [0.0] * workers
    for one in sorted(seconds, reverse=True):
        heapq.heapreplace(busy, busy[0] + one)
    return max(busy)


def _speed(made: Prepared, base: Variant) -> float:
    """Training images a second of the base on one thread."""
    task = prepare(base.experiment, made.shelf.images(base.experiment))
    clock = _Clock()
    train(task, [clock], clock.is_over)
    return clock.images / max(clock.seconds, 1e-9)


class _Clock:
    """Counts images and seconds behind the first steps."""

    def __init__(self) -> None:
        self._steps = self.images = 0
        self._start = time.perf_counter()
        self.seconds = 0.0

    def __call__(self, event: Event) -> None:
        if not isinstance(event, StepDone):
            return
        self._steps += 1
        if self._steps <= _WARM_STEPS:
            self._start = time.perf_counter()
            return
        self.images += event.images
        self.seconds = time.perf_counter() - self._start

    def is_over(self) -> bool:
        """Whether the speed is known."""
        return self.seconds >= _SECONDS


def _seconds(made: Prepared, variant: Variant, base: Variant, speed: float) -> float:
    """What one trial of a variant takes."""
    if variant.plan is None or base.plan is None:
        return 0.0
    splits = made.shelf.images(variant.experiment).splits
    recipe = variant.experiment.train
    learnt = made.study.budget.images or len(splits["train"]) * recipe.epochs
    scored = sum(len(splits[name]) for name in ("validation", "test") if name in splits)
    scored *= -(-recipe.epochs // recipe.score_every)
    images = learnt + _FORWARD * scored
    found = images / speed * variant.plan.multiply_adds / base.plan.multiply_adds
    return min(found, 60 * recipe.minutes) if recipe.minutes else found


def _step_memory(variant: Variant) -> int:
    """Bytes of a training step."""
    if variant.plan is None:
        return 0
    recipe = variant.experiment.train
    return training_memory(variant.plan, recipe.microbatch or recipe.batch, optimiser_states(recipe)).total

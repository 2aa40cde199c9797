"""How much memory there is, and how a batch is cut so that a step fits in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from cutaway.config import OptimiserKind, TrainConfig, parse_bytes, show_bytes
from cutaway.errors import ConfigError
from cutaway.nets import Plan
from cutaway.nets.memory import fitting_batch, inference_memory, training_memory
from cutaway.nets.words import BatchNorm
from cutaway.training.score import CHUNK

PROGRAM = 90 << 20
"""What PyTorch's optimisers and oneDNN's code take when they are first used."""

SPARE = 0.95
"""A prediction may be a little too low: this share of the room is planned for."""


MOST_CHUNK = 500
"""More images in one forward pass are not faster."""


@dataclass(frozen=True)
class Room:
    """What a training may take, and how it is used.

    Args:
        limit: bytes for the net, its gradients, its optimiser and what passes through it.
        microbatch: images that go through at once in training.
        chunk: images that go through at once in scoring.
        roomy: there is so much that freed memory need not be handed back.
    """

    limit: int
    microbatch: int
    chunk: int
    roomy: bool


def find_room(recipe: TrainConfig, plan: Plan, device: torch.device) -> Room:
    """How a recipe's batches go through a net on a device.

    A batch that does not fit is cut into micro-batches of about equal size, whose gradients add up
    to the batch's own.

    Raises:
        ConfigError: not even one image fits, or the batch must be cut but the net has batch norm,
            which needs it whole, and nobody allowed it.
    """
    limit = _limit(recipe, device)
    states = optimiser_states(recipe)
    microbatch = recipe.microbatch or fitting_batch(plan, recipe.batch, limit, states)
    if microbatch == 0:
        needed = training_memory(plan, 1, states).total
        left = f"{show_bytes(limit)} are left" if limit > 0 else "the process itself takes all there is"
        raise ConfigError(
            f"One image needs {show_bytes(needed)} in training, but {left}. "
            "Give more --memory, or take a smaller net or image."
        )
    parts = -(-recipe.batch // min(microbatch, recipe.batch))
    microbatch = -(-recipe.batch // parts)
    if parts > 1 and not recipe.split_batchnorm:
        _refuse_batch_norm(plan, recipe, microbatch)
    step = training_memory(plan, microbatch, states).total
    # Scoring finds the memory of a training step at hand; more images in it run a little faster.
    wanted = max(CHUNK, fitting_batch(plan, MOST_CHUNK, step, training=False))
    chunk = max(1, fitting_batch(plan, wanted, limit, training=False))
    most = max(
        step,
        inference_memory(plan, chunk).total + states * plan.parameters * 4,
    )
    return Room(limit, microbatch, chunk, roomy=2 * most <= limit)


def optimiser_states(recipe: TrainConfig) -> int:
    """Numbers that are remembered for each weight: the optimiser's, and its mean."""
    own = int(recipe.momentum > 0) if recipe.optimiser is OptimiserKind.SGD else 2
    return own + int(recipe.average > 0)


def _limit(recipe: TrainConfig, device: torch.device) -> int:
    if device.type == "cuda":
        free = int(torch.cuda.mem_get_info(device)[0])
        return int(SPARE * (free if recipe.memory == "auto" else min(free, parse_bytes(recipe.memory))))
    if recipe.memory == "auto":
        return int(SPARE * (free_memory() - PROGRAM))
    return int(SPARE * (parse_bytes(recipe.memory) - resident_memory() - PROGRAM))


def _refuse_batch_norm(plan: Plan, recipe: TrainConfig, microbatch: int) -> None:
    norms = [row.name for row in plan.leaves() if isinstance(row.layer.word, BatchNorm)]
    if norms:
        raise ConfigError(
            f"A batch of {recipe.batch} does not fit, {microbatch} would; but {norms[0]} takes its mean over "
            f"the whole batch. Try --train.batch {microbatch}, more --memory or --train.split_batchnorm true."
        )


def free_memory() -> int:
    """Bytes that this process may still take: the machine's, or its control group's where that is less."""
    free = [_meminfo("MemAvailable")]
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        bounds = _number(Path(limit)), _number(Path(used))
        if bounds[0] is not None and bounds[1] is not None:
            free.append(bounds[0] - bounds[1] + _cached(Path(used).parent / "memory.stat"))
    return max(0, min(free))


def resident_memory() -> int:
    """Bytes of this process that lie in memory now; 0 where the system does not say."""
    pages = _number(Path("/proc/self/statm"), 1)
    return 0 if pages is None else pages * os.sysconf("SC_PAGE_SIZE")


def _meminfo(key: str) -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 1 << 62  # a system that does not say: no limit


def _cached(path: Path) -> int:
    """Bytes of files that a control group has read and would give up at once; they count as used."""
    try:
        counts = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return 0
    # The first is of the whole hierarchy, in version 1; version 2 has only the other.
    found = counts.get("total_inactive_file", counts.get("inactive_file", "0"))
    return int(found) if found.isdigit() else 0


def _number(path: Path, place: int = 0) -> int | None:
    try:
        text = path.read_text(encoding="ascii").split()[place]
    except (OSError, IndexError):
        return None
    return int(text) if text.isdigit() else None

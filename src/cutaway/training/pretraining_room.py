"""How a batch of pre-training is cut, so that a step through net and mirrors fits in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cutaway.config import PretrainConfig, PretrainMode, show_bytes
from cutaway.errors import ConfigError
from cutaway.nets import LayerPlan, Plan
from cutaway.nets.depths import Depth, find_depths
from cutaway.nets.plan import FLOAT_BYTES
from cutaway.nets.words import BatchNorm, MaxPool


def fit_pretraining(config: PretrainConfig, plan: Plan, limit: int) -> PretrainConfig:
    """The same pre-training with a micro-batch that fits, where the whole batch does not.

    Args:
        config: what is asked for.
        plan: the net.
        limit: bytes that there are.

    Raises:
        ConfigError: the layers can't be chosen so; not even one image fits; or the batch must be cut,
            but there is batch norm, which needs it whole.
    """
    depths = find_depths(plan, config.layers)
    if not depths:
        return config
    fixed, image = pretraining_memory(config, depths, plan)
    most = config.microbatch or min(config.batch, (limit - fixed) // image)
    if most < 1:
        raise ConfigError(
            f"One image needs {show_bytes(fixed + image)} in pre-training, but "
            f"{show_bytes(max(0, limit))} are left. Give more --memory, or choose fewer pretrain.layers."
        )
    parts = -(-config.batch // most)
    if parts == 1:
        return config
    microbatch = -(-config.batch // parts)
    for depth in depths:
        norms = [row.name for row in depth.rows if isinstance(row.layer.word, BatchNorm) and depth.chosen]
        if norms:
            raise ConfigError(
                f"A batch of {config.batch} does not fit in pre-training, {microbatch} would; but {norms[0]} "
                f"takes its mean over the whole batch. Try --pretrain.batch {microbatch} or more --memory."
            )
    return config.model_copy(update={"microbatch": microbatch})


def pretraining_memory(config: PretrainConfig, depths: Sequence[Depth], plan: Plan) -> tuple[int, int]:
    """Bytes that a step takes at most: for weights, and for each image.

    Weights, their gradients and Adam's two means are there of the depths and of their mirrors. Encoding
    keeps every output, and the places of maxima as 64-bit numbers; decoding keeps what each mirror gives.
    Twice all of it and three of the largest maps, for work in passing, is an upper bound: it was 1.1 to 3.7
    times what PyTorch took, for six nets with convs in both modes.
    """
    weights = sum(row.parameters for depth in depths for row in depth.rows)
    if config.mode is PretrainMode.STACKED:
        stages = [depths]
    else:
        stages = [depths[at : at + 1] for at in range(len(depths))]
    largest = max(max(row.output_bytes, _input_bytes(row)) for depth in depths for row in depth.rows)
    image = 2 * max(map(_kept, stages)) + 3 * largest
    return FLOAT_BYTES * (plan.parameters + 8 * weights), image


def _kept(stage: Sequence[Depth]) -> int:
    """Bytes that a stage keeps of an image: what its depths give, and what comes back through each."""
    kept = 0
    for place, depth in enumerate(stage):
        ways = len(stage) - place  # a mirror serves its own depth and every deeper one
        for row in depth.rows:
            places = 2 * row.output_bytes if isinstance(row.layer.word, MaxPool) else 0
            kept += row.output_bytes + places + ways * _input_bytes(row)
    return kept


def _input_bytes(row: LayerPlan) -> int:
    return math.prod(row.input_shape) * FLOAT_BYTES

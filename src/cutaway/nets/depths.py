"""The depths of a net: a conv or dense layer, with all that follows it until the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

from cutaway.errors import ConfigError, nearest
from cutaway.nets.plan import LayerPlan, Plan
from cutaway.nets.words import Block, Conv, Dense


@dataclass(frozen=True)
class Depth:
    """A part of a net that an autoencoder takes as one: what has kernels, and what is done to its output.

    Norms, activations, pools and ``flatten`` belong to the layer before them; what stands before the
    first one belongs to that.

    Args:
        layer: the name of the conv or dense layer.
        rows: the layers, in order.
        chosen: it is to be pre-trained; otherwise it is only passed through.
    """

    layer: str
    rows: tuple[LayerPlan, ...]
    chosen: bool


def find_depths(plan: Plan, patterns: Sequence[str]) -> tuple[Depth, ...]:
    """The depths of a net from the image to the last one that ``patterns`` choose.

    Args:
        plan: a net on an input shape.
        patterns: convs and dense layers by name, or patterns such as ``conv*``; a pattern leaves the
            classifier out.

    Returns:
        them in order; none for no patterns.

    Raises:
        ConfigError: a pattern fits no conv or dense layer, names the classifier or a layer inside a
            block, or a block stands in the way: blocks have no mirror.
    """
    # The last layer with kernels gives the logits; whatever else it is asked for, it is no feature.
    starts = [at for at, row in enumerate(plan.rows) if isinstance(row.layer.word, Conv | Dense | Block)]
    features = [plan.rows[at].name for at in starts[:-1] if not _is_block(plan.rows[at])]
    chosen = {name for pattern in patterns for name in _fitting(pattern, features, plan)}
    depths: list[Depth] = []
    for number, (start, end) in enumerate(pairwise(starts)):
        layer = plan.rows[start]
        if not chosen - {depth.layer for depth in depths}:
            break
        if _is_block(layer):
            deeper = sorted(chosen - {depth.layer for depth in depths})
            raise ConfigError(
                f"pretrain.layers: {layer.name} ({layer.layer.place}) stands before {deeper[0]}. It is a "
                f"block, which can't be mirrored. {_before(depths)}"
            )
        begin = start if number else 0
        depths.append(Depth(layer.name, plan.rows[begin:end], layer.name in chosen))
    return tuple(depths)


def _fitting(pattern: str, features: Sequence[str], plan: Plan) -> list[str]:
    """The layers that a pattern chooses."""
    found = [name for name in features if fnmatchcase(name, pattern)]
    if found:
        return found
    for row in plan.rows:
        if row.branches and pattern in {row.name, *(leaf.name for leaf in row.leaves())}:
            raise ConfigError(
                f"pretrain.layers: {row.name} ({row.layer.place}) is a block, which can't be mirrored. "
                f"{_choose(features)}"
            )
    if any(row.name == pattern and isinstance(row.layer.word, Conv | Dense) for row in plan.rows):
        raise ConfigError(
            f"pretrain.layers: {pattern} is the classifier, which learns from labels. {_choose(features)}"
        )
    raise ConfigError(
        f'pretrain.layers: no conv or dense layer is called "{pattern}".{nearest(pattern, features)}'
    )


def _choose(features: Sequence[str]) -> str:
    return f"Choose of: {', '.join(features)}." if features else "This net has no other layer to pre-train."


def _before(depths: Sequence[Depth]) -> str:
    names = ", ".join(depth.layer for depth in depths)
    return (
        f"Choose layers before it: {names}."
        if names
        else "No layer stands before it: leave pretrain.layers out."
    )


def _is_block(row: LayerPlan) -> bool:
    return isinstance(row.layer.word, Block)

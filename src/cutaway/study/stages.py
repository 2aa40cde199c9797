"""The stages of a net: layers that belong together and can be taken out together."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cutaway.nets import LayerPlan, Plan


def stages(plan: Plan) -> list[tuple[str, ...]]:
    """The names of the layers of each stage, in order; the last layer, which gives the logits, is in none.

    Maps of one size and what makes them smaller, with the activations behind it, are a stage: the two
    convs of a VGG's first block with their pool, or conv, pool and activation of a LeNet. Behind the
    maps each dense layer begins a stage. Flatten and global pool, which lead from maps to vectors, are
    in none.
    """
    found: list[list[LayerPlan]] = []
    shrunk = False
    for row in plan.rows[:-1]:
        is_map = len(row.output_shape) == 3
        if len(row.input_shape) == 3 and (not is_map or math.prod(row.output_shape[1:]) == 1):
            shrunk = True
            continue
        shrinks = is_map and math.prod(row.output_shape[1:]) * 2 < math.prod(row.input_shape[1:])
        if row.parameters and not _is_norm(row):
            begins = not found or shrunk or not is_map or (shrinks and _learns(found[-1]))
        else:
            begins = not found
        if begins:
            found.append([])
            shrunk = False
        found[-1].append(row)
        # A conv or block with a stride begins a stage, a pool ends one.
        shrunk = shrunk or (shrinks and not row.parameters)
    return [tuple(row.name for row in rows) for rows in found]


def _is_norm(row: LayerPlan) -> bool:
    return row.layer.word.stem == "batchnorm"


def _learns(rows: Sequence[LayerPlan]) -> bool:
    return any(row.parameters for row in rows)

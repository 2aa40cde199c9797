"""How large what passes through a net is, from layer to layer."""

from __future__ import annotations

import math

from page import table

from cutaway.nets import Plan


def shrinking(plan: Plan) -> tuple[int, int, int, int]:
    """Side of the input and of the last maps, values of the input and of the last maps."""
    maps = [one.output_shape for one in plan.rows if len(one.output_shape) == 3]
    return plan.input_shape[1], maps[-1][1], math.prod(plan.input_shape), math.prod(maps[-1])


def sizes_table(plan: Plan) -> str:
    """What every layer gives."""
    shown = [one for one in plan.rows if not one.name.startswith("flatten")]
    cells = [["input", "×".join(map(str, plan.input_shape)), math.prod(plan.input_shape), ""]]
    cells += [
        [
            one.name,
            "×".join(map(str, one.output_shape)),
            math.prod(one.output_shape),
            f"{one.parameters:,}" if one.parameters else "",
        ]
        for one in shown
    ]
    return table(["layer", "gives", "values>", "parameters>"], cells)

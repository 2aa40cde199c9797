"""How much every layer of a net learnt, from what was measured while it did: over seeds, with intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence

from page import Outcome

from cutaway.study import Estimate
from cutaway.study.findings.statistics import estimate
from cutaway.training import Measured
from cutaway.training.dynamics import LayerStep

Value = Callable[[Sequence[Mapping[str, LayerStep]], str], float]
"""What a training comes to for a layer, from its measured epochs."""


def _mean(measure: str) -> Value:
    return lambda epochs, layer: statistics.fmean(getattr(epoch[layer], measure) for epoch in epochs)


READINGS: dict[str, Value] = {
    "weights: mean size of ∂E/∂w": _mean("weight_gradient"),
    "biases: mean size of ∂E/∂b": _mean("bias_gradient"),
    "weights: norm of ∂E/∂w": _mean("weight_gradient_norm"),
    "biases: norm of ∂E/∂b": _mean("bias_gradient_norm"),
    "‖w − w₀‖ / ‖w₀‖ at the end": lambda epochs, layer: epochs[-1][layer].distance,
}
"""What "learns most" may mean. Gradients are means over the whole training: with plain SGD, how long the way
of one weight was, or of the layer."""


def layer_values(
    runs: Mapping[int, Mapping[int, Measured]], value: Value, layers: Sequence[str]
) -> dict[str, list[float]]:
    """For each layer its value in each run.

    Args:
        runs: what was measured, by seed and epoch.
        value: what is asked.
        layers: names.
    """
    measured = [
        [step for _, found in sorted(run.items()) for step in found.steps.values()] for run in runs.values()
    ]
    return {layer: [value(epochs, layer) for epochs in measured] for layer in layers}


def ratio(over: Sequence[float], under: Sequence[float]) -> Estimate:
    """The geometric mean of the ratios in each run, with Student's interval of the logarithms."""
    found = estimate(math.log(one / other) for one, other in zip(over, under, strict=True))
    return Estimate(math.exp(found.mean), math.exp(found.low), math.exp(found.high), found.count)


def in_order(values: Mapping[str, Sequence[float]], order: Sequence[tuple[str, str]]) -> Outcome:
    """Whether of each pair the first has the larger value; of one run nothing can be told."""
    found = [ratio(values[more], values[less]) for more, less in order]
    if all(one.low > 1 for one in found):
        return Outcome.HELD
    return Outcome.FAILED if any(one.high < 1 for one in found) else Outcome.UNTOLD


def agreed(outcomes: Collection[Outcome]) -> Outcome:
    """Of readings of one claim: it holds in all; or in none, and fails in some; or nobody can tell."""
    if set(outcomes) == {Outcome.HELD}:
        return Outcome.HELD
    failed = Outcome.FAILED in outcomes and Outcome.HELD not in outcomes
    return Outcome.FAILED if failed else Outcome.UNTOLD


def ranked(values: Mapping[str, Sequence[float]]) -> str:
    """Layers from the largest mean value down."""
    return " > ".join(sorted(values, key=lambda layer: -statistics.fmean(values[layer])))


def spread(values: Sequence[float]) -> str:
    """A mean with half its interval: "0.0012 ±0.0001"."""
    found = estimate(values)
    return f"{found.mean:.2g}" + (f" ±{(found.high - found.low) / 2:.1g}" if found.count > 1 else "")

"""What a run's measurements say of its layers, in words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cutaway.training.dynamics import Measured

_LITTLE = 0.1
"""A layer that moved less than this share of the farthest one has hardly learnt."""

_SETTLED = 0.1
"""A layer has settled from the epoch on in which its steps stay below this share of its largest ones."""

_MANY = 0.1
"""Dead units are worth a sentence from this share on."""


@dataclass(frozen=True)
class LayerLearning:
    """How one layer learnt, over a whole run.

    Args:
        layer: its dotted name.
        distance: ‖w − w₀‖ / ‖w₀‖ in the end; NaN where it was not measured.
        weight_gradient: the mean of the mean |∂E/∂w| of all measured steps.
        bias_gradient: likewise of the biases; NaN without.
        updates: for each epoch, the mean of ‖Δw‖ / ‖w‖.
        settled: the first epoch from which the updates stay small; 0 where they never do.
    """

    layer: str
    distance: float
    weight_gradient: float
    bias_gradient: float
    updates: tuple[float, ...]
    settled: int


def learning(epochs: Mapping[int, Measured]) -> list[LayerLearning]:
    """How every layer with parameters learnt, in the order of the net."""
    measured = [found for _, found in sorted(epochs.items()) if found.steps]
    if not measured:
        return []
    numbers = [epoch for epoch, found in sorted(epochs.items()) if found.steps]
    layers = list(next(iter(measured[0].steps.values())))
    result = []
    for layer in layers:
        rows = [[layers_[layer] for layers_ in found.steps.values()] for found in measured]
        updates = tuple(statistics.fmean(row.update for row in epoch) for epoch in rows)
        every = [row for epoch in rows for row in epoch]
        result.append(
            LayerLearning(
                layer,
                every[-1].distance,
                statistics.fmean(row.weight_gradient for row in every),
                statistics.fmean(row.bias_gradient for row in every),
                updates,
                _settled(updates, numbers),
            )
        )
    return result


def _settled(updates: Sequence[float], epochs: Sequence[int]) -> int:
    if any(math.isnan(update) for update in updates):
        return 0
    small = _SETTLED * max(updates)
    first = 0
    for update, epoch in zip(updates, epochs, strict=True):
        if update > small:
            first = 0
        elif not first:
            first = epoch
    return first


def sentences(epochs: Mapping[int, Measured]) -> list[str]:
    """Which layer learnt most, which hardly, from which epoch, and which units are dead.

    What a layer learnt is measured by how far its weights went from where they began, as a share of
    their length then: gradients alone say little, for what one of them moves depends on the others.
    """
    found = [one for one in learning(epochs) if not math.isnan(one.distance)]
    said = []
    if found:
        order = sorted(found, key=lambda one: -one.distance)
        most = order[0]
        said.append(
            f"{most.layer} learnt most: its weights went {most.distance:.2g} of their length from the start."
        )
        little = [one for one in order[1:] if one.distance < _LITTLE * most.distance]
        if little:
            names = ", ".join(f"{one.layer} ({one.distance:.2g})" for one in little)
            said.append(f"Hardly: {names}.")
        settled: dict[int, list[str]] = {}
        for one in found:
            if one.settled:
                settled.setdefault(one.settled, []).append(one.layer)
        said += [
            f"From epoch {epoch} on, steps were a tenth of the largest ones or less: {', '.join(names)}."
            for epoch, names in sorted(settled.items())
        ]
    last = next((one for _, one in sorted(epochs.items(), reverse=True) if one.units), None)
    for layer, units in last.units.items() if last else ():
        if units.dead >= max(1, _MANY * units.units):
            said.append(f"{layer}: {units.dead} of {units.units} units are dead in the end.")
        if units.saturated >= max(1, _MANY * units.units):
            said.append(f"{layer}: {units.saturated} of {units.units} units are saturated in the end.")
    return said

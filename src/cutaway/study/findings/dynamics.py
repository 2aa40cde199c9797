"""How layers learnt in a study's trials, as plain values: a mean for each epoch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

from cutaway.errors import DataError
from cutaway.store import Store
from cutaway.study.findings.table import StudyTable
from cutaway.training import Measured
from cutaway.training.dynamics import MEASURES, LayerStep, LayerUnits

FORMAT = 1
"""Of what :func:`dynamics_to_json` gives."""

_DIGITS = 4
"""Of each mean: as much as a page shows, and small enough to be kept beside it."""

Dynamics = dict[str, dict[int, dict[int, Measured]]]
"""By variant, seed and epoch."""


def dynamics_to_json(store: Store, table: StudyTable) -> dict[str, Any]:
    """What was measured of the layers in all trials of a study, as values that JSON has.

    Every measure of a layer is the mean over an epoch's measured steps, with four digits; its distance
    from the start is the epoch's last.
    """
    trials = []
    for row in (table.base, *table.rows):
        for trial in row.trials:
            measured = store.ledger.measured(trial.run) if trial.run else {}
            if measured:
                epochs = {str(epoch): _epoch(found) for epoch, found in sorted(measured.items())}
                trials.append({"variant": trial.variant, "seed": trial.seed, "epochs": epochs})
    return {"format": FORMAT, "id": table.id, "measures": list(MEASURES), "trials": trials}


def dynamics_from_json(values: Mapping[str, Any]) -> Dynamics:
    """What :func:`dynamics_to_json` gave, each epoch as one measured step.

    Raises:
        DataError: they are no such values, or a newer Cutaway's.
    """
    try:
        if values["format"] != FORMAT or tuple(values["measures"]) != MEASURES:
            raise DataError("These dynamics were written by another Cutaway. Export them again.")
        found: Dynamics = {}
        for trial in values["trials"]:
            epochs = {int(epoch): _read(told) for epoch, told in trial["epochs"].items()}
            found.setdefault(trial["variant"], {})[int(trial["seed"])] = epochs
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"These dynamics are damaged ({type(error).__name__}). Export them again.") from None
    return found


def _epoch(found: Measured) -> dict[str, Any]:
    steps = [layers for _, layers in sorted(found.steps.items())]
    layers = {layer: _layer([step[layer] for step in steps]) for layer in (steps[0] if steps else ())}
    units = {layer: [one.units, one.dead, one.rare, one.saturated] for layer, one in found.units.items()}
    return {"layers": layers, "units": units}


def _layer(steps: list[LayerStep]) -> list[float | None]:
    values = []
    for measure in MEASURES:
        row = [getattr(step, measure) for step in steps]
        values.append(row[-1] if measure == "distance" else statistics.fmean(row))
    return [float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None for value in values]


def _read(told: Mapping[str, Any]) -> Measured:
    layers = {
        layer: LayerStep(*(math.nan if value is None else float(value) for value in row))
        for layer, row in told["layers"].items()
    }
    units = {layer: LayerUnits(*map(int, row)) for layer, row in told["units"].items()}
    return Measured({1: layers} if layers else {}, units)

"""How a run's layers learnt, for ``cutaway runs show RUN --layers``."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cutaway.cli.console import say, say_json, say_table
from cutaway.errors import NotFoundError

if TYPE_CHECKING:
    from cutaway.store import Run


def show_layers(run: Run, output: Path | None, json: bool) -> None:
    """Tell how every layer learnt, and draw it where a file is named.

    Raises:
        NotFoundError: nothing was measured.
    """
    from cutaway.training.learning import learning, sentences

    epochs = run.measured()
    if not epochs:
        raise NotFoundError(
            f"Nothing was measured of the layers of run {run.id}: it ended within its first epoch, or "
            "train.dynamics is 0."
        )
    found = learning(epochs)
    units = next((one.units for _, one in sorted(epochs.items(), reverse=True) if one.units), {})
    if output:
        _draw(run, output)
    if json:
        layers = [_plain(asdict(one)) for one in found]
        counts = {layer: asdict(one) for layer, one in units.items()}
        said = {"layers": layers, "units": counts, "sentences": sentences(epochs)}
        say_json({"run": run.id, **said, "file": str(output) if output else None})
        return
    say_table(
        ["layer", "|∂E/∂w|>", "|∂E/∂b|>", "first step>", "last step>", "distance>", "settled>"],
        [
            [
                one.layer,
                _number(one.weight_gradient),
                _number(one.bias_gradient),
                _number(one.updates[0]),
                _number(one.updates[-1]),
                _number(one.distance),
                f"epoch {one.settled}" if one.settled else "",
            ]
            for one in found
        ],
    )
    if units:
        say("")
        say_table(
            ["activation", "units>", "dead>", "rare>", "saturated>"],
            [
                [layer, str(one.units), str(one.dead), str(one.rare), str(one.saturated)]
                for layer, one in units.items()
            ],
        )
    say("")
    for sentence in sentences(epochs):
        say(sentence)
    if output:
        say(str(output))


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2g}"


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """NaN is no JSON: what was not measured is null."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}


def _draw(run: Run, output: Path) -> None:
    from cutaway.cli.picture import write_figure
    from cutaway.draw.dynamics import plot_dynamics

    write_figure(plot_dynamics(run.measured()), output)

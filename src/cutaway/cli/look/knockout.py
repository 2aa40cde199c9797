"""``cutaway look knockout``."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.view import Layers, Units, ViewOptions, file_name

KnockedTo = Annotated[
    Literal["zero", "mean"],
    Parameter(negative="", help="what a unit gives instead: zero, or its mean over the images"),
]

Source = Annotated[
    str, Parameter(name="--split", negative="", help="the split that is looked at: train, validation or test")
]


def knockout(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    unit: Units = None,
    to: KnockedTo = "zero",
    images: Annotated[int, Parameter(negative="")] = 1000,
    split: Source = "test",
    seed: Annotated[int, Parameter(negative="")] = 0,
    options: ViewOptions = ViewOptions(),
) -> None:
    """What each unit and each layer is worth: the accuracy lost without it, in all and by class.

    All convolutions and dense layers but the last when no layer is given. Nothing is trained anew.

    Parameters
    ----------
    images
        how many are classified again, each class in proportion
    seed
        of the images' choice
    """
    import torch

    from cutaway.look import knockout as knock_out
    from cutaway.look.features import sample

    view = options.open(run)
    result = knock_out(view.subject, sample(view.split(split), images, seed), layer, units=unit, value=to)
    arrays: dict[str, Any] = {
        "accuracy": torch.tensor(result.accuracy),
        "class_accuracy": result.class_accuracy,
        "objective": torch.tensor(result.objective),
    }
    facts: dict[str, Any] = {}
    told = f"{result.accuracy:.2%} of {result.images:,} {split} images are right"
    lines = [f"{told}, objective {result.objective:.4f}"]
    for name, found in result.layers.items():
        arrays |= {
            f"{name}.units": found.units,
            f"{name}.accuracy": found.accuracy,
            f"{name}.class_accuracy": found.class_accuracy,
            f"{name}.objective": found.objective,
            f"{name}.whole_accuracy": torch.tensor(found.whole_accuracy),
            f"{name}.whole_class_accuracy": found.whole_class_accuracy,
            f"{name}.whole_objective": torch.tensor(found.whole_objective),
            f"{name}.values": found.values,
        }
        facts[name] = {
            "units": found.units.tolist(),
            "accuracy": found.accuracy.tolist(),
            "class_accuracy": [_plain(row) for row in found.class_accuracy.tolist()],
            "objective": found.objective.tolist(),
            "whole_accuracy": found.whole_accuracy,
            "whole_class_accuracy": _plain(found.whole_class_accuracy.tolist()),
            "whole_objective": found.whole_objective,
            "method": found.method,
            "reason": found.reason,
        }
        lines.append(
            f"{name}: {_told(result.lost(name).tolist(), found.units.tolist(), result.whole_lost(name))}"
        )
        if found.reason:
            lines.append(f"  every unit took a whole pass: {found.reason}")
    view.answer(
        result,
        file_name("knockout", layer, unit, [] if to == "zero" else [to]),
        arrays,
        {
            "split": split,
            "images": result.images,
            "value": str(result.value),
            "classes": list(result.classes),
            "accuracy": result.accuracy,
            "class_accuracy": _plain(result.class_accuracy.tolist()),
            "objective": result.objective,
            "layers": facts,
        },
        lines,
    )


def _told(lost: list[float], units: list[int], whole: float) -> str:
    """A layer in a line: what it is worth as a whole, and its three dearest units."""
    dearest = sorted(zip(lost, units, strict=True), key=lambda pair: (-pair[0], pair[1]))[:3]
    told = ", ".join(f"{unit} ({100 * loss:.1f})" for loss, unit in dearest)
    return f"{100 * whole:.1f} points lost without it; dearest units {told}"


def _plain(values: list[float]) -> list[float | None]:
    """NaN is no JSON: a class without images has null."""
    return [None if math.isnan(value) else value for value in values]

"""``cutaway look kernels``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.view import BesideWeights, Layers, ScaleName, Units, ViewOptions, file_name

Order = Annotated[
    Literal["channel", "norm"],
    Parameter(name="--order", negative="", help="a filter's slices by their channel, or by their L2 norm"),
]


def kernels(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    unit: Units = None,
    order: Order = "channel",
    beside: BesideWeights = None,
    scale: ScaleName = "layer",
    options: ViewOptions = ViewOptions(),
) -> None:
    """The kernels of every convolution, and of a dense layer what each unit receives of every map."""
    from cutaway.look import beside as set_beside
    from cutaway.look import kernels as find_kernels

    view = options.open(run)
    subjects = view.subjects(beside)
    found = [find_kernels(subject, layer) for subject in subjects.values()]
    if unit is not None:
        found = [kernels.only(unit) for kernels in found]
    result = found[0]
    arrays = {f"layer.{n}": v for n, v in result.layers.items()}
    for name, other in zip(list(subjects)[1:], found[1:], strict=True):
        arrays |= {f"{name}.layer.{n}": v for n, v in other.layers.items()}
    view.answer(
        result if len(found) == 1 else set_beside(found, list(subjects)),
        file_name("kernels", layer, unit, beside),
        arrays,
        {"layers": {n: list(v.shape) for n, v in result.layers.items()}},
        scale=scale,
        order=order,
    )

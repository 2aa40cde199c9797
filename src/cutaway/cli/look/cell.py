"""``cutaway look cell``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.view import ImageName, Layer, SplitName, Unit, ViewOptions, file_name

Place = Annotated[int | None, Parameter(negative="")]


def cell(
    run: RunName,
    /,
    *,
    layer: Layer,
    unit: Unit,
    row: Place = None,
    column: Place = None,
    image: ImageName = "0",
    split: SplitName = "test",
    options: ViewOptions = ViewOptions(),
) -> None:
    """One value of a feature map explained: the patch, the kernel, their products, the bias, the sum.

    Parameters
    ----------
    row
        of the unit's map, from 0; where it is largest when not given
    column
        likewise
    """
    import torch

    from cutaway.look import cell as find_cell

    view = options.open(run)
    found = find_cell(view.subject, view.images([image], split), layer, unit, row=row, column=column)
    top, left, bottom, right = found.field
    facts = {
        "image": image,
        "layer": layer,
        "unit": unit,
        "row": found.row,
        "column": found.column,
        "value": found.value,
        "bias": found.bias,
        "products": float(found.products.double().sum()),
        "channels": list(found.channels),
        "field": {"top": top, "left": left, "bottom": bottom, "right": right},
    }
    arrays = {
        "image": found.image,
        "patch": found.patch,
        "kernel": found.kernel,
        "products": found.products,
        "places": found.places,
        "bias": torch.tensor(found.bias),
        "value": torch.tensor(found.value),
        "field": torch.tensor(found.field),
    }
    view.answer(
        found,
        file_name("cell", [Path(image).stem, layer, unit, found.row, found.column]),
        arrays,
        facts,
        [
            f"{layer}, unit {unit} at row {found.row}, column {found.column}: {found.value:.6g}",
            f"products {facts['products']:.6g}, bias {found.bias:.6g}",
            f"from rows {top} to {bottom - 1} and columns {left} to {right - 1} of the image",
        ],
    )

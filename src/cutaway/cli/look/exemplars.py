"""``cutaway look exemplars``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.view import Layers, Units, ViewOptions, file_name

if TYPE_CHECKING:
    from torch import Tensor

    from cutaway.look import Exemplars
    from cutaway.look.exemplars import BandName

Source = Annotated[
    str,
    Parameter(
        name="--split", negative="", help="the split that is looked through: train, validation or test"
    ),
]
Scheduler = Annotated[
    str | None,
    Parameter(
        negative="",
        help="address of a Dask scheduler whose workers share the images out, such as tcp://10.0.0.1:8786",
    ),
]
Bands = Annotated[
    list[Literal["top", "middle", "bottom"]] | None,
    Parameter(
        name="--band", negative="", help="a part of the range; give it again for more; all when not given"
    ),
]


def exemplars(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    unit: Units = None,
    count: Annotated[int, Parameter(negative="")] = 9,
    band: Bands = None,
    whole: Annotated[bool, Parameter(negative="")] = False,
    split: Source = "train",
    quantile: Annotated[float, Parameter(negative="")] = 0.5,
    sample: Annotated[int, Parameter(negative="")] = 500,
    scheduler: Scheduler = None,
    options: ViewOptions = ViewOptions(),
) -> None:
    """The images, and the parts of them, that excite every unit most, middling and least.

    Parameters
    ----------
    count
        images of a unit from each part of its range
    whole
        draw whole images, darkened but for what the unit sees
    quantile
        that the middle stands for, from 0 to 1
    sample
        images that the middle is chosen from, at random
    """
    from cutaway.look import exemplars as find_exemplars
    from cutaway.look.exemplars import BANDS

    view = options.open(run)
    result = find_exemplars(
        view.subject,
        view.split(split),
        layer,
        count=count,
        quantile=quantile,
        sample=sample,
        scheduler=scheduler,
    )
    if unit is not None:
        result = result.only(unit)
    bands = tuple(name for name in BANDS if name in (band or BANDS))
    view.answer(
        result.lean(),
        file_name("exemplars", layer, unit, band, [] if split == "train" else [split]),
        _arrays(result, bands),
        {
            "split": split,
            "images": len(result.split),
            "sampled": result.sampled,
            "quantile": result.quantile,
            "layers": {name: _facts(result, name, bands) for name in result.layers},
        },
        [_told(result, name) for name in result.layers],
        bands=bands,
        whole=whole,
    )


def _arrays(result: Exemplars, bands: tuple[BandName, ...]) -> dict[str, Tensor]:
    import torch

    found = {}
    for name, layer in result.layers.items():
        found[f"{name}.units"] = torch.tensor(list(result.numbers(name)))
        if "middle" in bands:
            found[f"{name}.middles"] = layer.middles
        for band in bands:
            own = layer.band(band)
            found |= {
                f"{name}.{band}.images": own.images,
                f"{name}.{band}.values": own.values,
                f"{name}.{band}.places": own.places,
                f"{name}.{band}.boxes": own.boxes,
            }
    return found


def _facts(result: Exemplars, name: str, bands: tuple[BandName, ...]) -> dict[str, Any]:
    layer = result.layers[name]
    facts: dict[str, Any] = {"units": list(result.numbers(name))}
    for band in bands:
        own = layer.band(band)
        facts[band] = {
            "images": own.images.tolist(),
            "values": own.values.tolist(),
            "places": own.places.tolist(),
            "boxes": own.boxes.tolist(),
        }
    return facts


def _told(result: Exemplars, name: str) -> str:
    """A layer in a line: the units whose top images are of one class, each with that class."""
    pure = []
    for unit in result.numbers(name):
        classes = set(result.class_names(name, unit))
        if len(classes) == 1 and result.layers[name].top.images.shape[1] > 1:
            pure.append(f"{unit} ({classes.pop()})")
    total = len(result.numbers(name))
    shown = ", ".join(pure[:8]) + (" …" if len(pure) > 8 else "")
    return f"{name}: {len(pure)} of {total} units have top images of one class{': ' if pure else ''}{shown}"

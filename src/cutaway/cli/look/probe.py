"""``cutaway look probe``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.view import Layers, ViewOptions, file_name

if TYPE_CHECKING:
    from torch import Tensor

    from cutaway.look import Reading

Held = Annotated[
    Literal["test", "validation"],
    Parameter(name="--split", negative="", help="what the error is measured on"),
]


def probe(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    images: Annotated[int, Parameter(negative="")] = 5000,
    test_images: Annotated[int, Parameter(negative="")] = 2000,
    split: Held = "test",
    features: Annotated[int, Parameter(negative="")] = 1024,
    seed: Annotated[int, Parameter(negative="")] = 0,
    options: ViewOptions = ViewOptions(),
) -> None:
    """How much of the class a linear classifier reads from each layer, against random weights.

    Parameters
    ----------
    images
        training images that the probes learn from
    test_images
        images of the split that they are tested on
    features
        that a probe reads of a layer at most: larger maps are averaged over the cells of a grid
    seed
        of all draws
    """
    from cutaway.look import probe as find_probe

    view = options.open(run)
    result = find_probe(
        view.subject,
        view.split("train"),
        view.split(split),
        layer,
        random=view.run.subject("random"),
        images=images,
        test_images=test_images,
        features=features,
        seed=seed,
    )
    rows = {"pixels": result.pixels, **result.layers}
    wide = max(map(len, rows))
    lines = [
        f"{name:<{wide}}  {_told(reading)}{_against(result.random.get(name))}"
        for name, reading in rows.items()
    ]
    view.answer(
        result,
        file_name("probe", layer),
        {
            "pixels": _array(result.pixels),
            **{f"layer.{name}": _array(reading) for name, reading in result.layers.items()},
            **{f"random.{name}": _array(reading) for name, reading in result.random.items()},
        },
        {
            "split": split,
            "train_images": result.train_images,
            "test_images": result.pixels.images,
            "chance": result.chance,
            "pixels": _facts(result.pixels),
            "layers": {name: _facts(reading) for name, reading in result.layers.items()},
            "random": {name: _facts(reading) for name, reading in result.random.items()},
        },
        lines,
    )


def _told(reading: Reading) -> str:
    low, high = reading.interval
    return f"{reading.error:7.2%} ({low:.1%} to {high:.1%})"


def _against(reading: Reading | None) -> str:
    return f"  random weights {_told(reading)}" if reading else ""


def _facts(reading: Reading) -> dict[str, Any]:
    return {
        "error": reading.error,
        "interval": list(reading.interval),
        "wrong": reading.wrong,
        "features": reading.features,
        "strength": reading.strength,
    }


def _array(reading: Reading) -> Tensor:
    """The error and the ends of its interval, ``(3,)`` float64."""
    import torch

    return torch.tensor([reading.error, *reading.interval], dtype=torch.float64)

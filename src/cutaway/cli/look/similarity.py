"""``cutaway look similarity``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.rank import Source
from cutaway.cli.look.view import Layers, View, ViewOptions, file_name

if TYPE_CHECKING:
    from cutaway.nets.subject import Subject

_WEIGHTS = ("best", "last", "random")


def similarity(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    with_: Annotated[str | None, Parameter(name="--with", negative="")] = None,
    images: Annotated[int, Parameter(negative="")] = 1000,
    split: Source = "test",
    seed: Annotated[int, Parameter(negative="")] = 0,
    options: ViewOptions = ViewOptions(),
) -> None:
    """Which layers say the same of images: linear CKA, layer by layer.

    Parameters
    ----------
    with_
        what the layers are compared with: other weights of the run (best, last, random or the number of
        an epoch that was kept), or another run as RUN or RUN:WEIGHTS; with each other when not given
    images
        how many are looked at, each class in proportion
    seed
        of the images' choice
    """
    from cutaway.look import similarity as find_similarity
    from cutaway.look.features import sample

    view = options.open(run)
    other = _other(view, with_) if with_ else None
    pixels = sample(view.split(split), images, seed).pixels
    result = find_similarity(view.subject, pixels, layer, other=other)
    view.answer(
        result,
        file_name("similarity", layer, ["with", with_] if with_ else None),
        {f"layer.{name}": values for name, values in zip(result.rows, result.values, strict=True)},
        {
            "with": with_,
            "split": split,
            "images": result.images,
            "batch": result.batch,
            "rows": list(result.rows),
            "columns": list(result.columns),
            # NaN is no JSON: a layer that gives the same for all images is like none.
            "values": [[None if math.isnan(v) else v for v in row] for row in result.values.tolist()],
        },
    )


def _other(view: View, text: str) -> Subject:
    """Other weights of the run, or another run's."""
    from cutaway.cli.console import StoreOption

    if text in _WEIGHTS or text.isdecimal():
        return view.run.subject(text)
    name, _, weights = text.partition(":")
    return StoreOption(view.options.store).open().find(name).subject(weights or "best")

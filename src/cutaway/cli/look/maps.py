"""``cutaway look maps``."""

from __future__ import annotations

from pathlib import Path

from cutaway.cli.console import RunName
from cutaway.cli.look.view import (
    BesideWeights,
    ImageNames,
    Layers,
    ScaleName,
    SplitName,
    Units,
    ViewOptions,
    file_name,
    listed,
)


def maps(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    unit: Units = None,
    image: ImageNames = ("0",),
    split: SplitName = "test",
    beside: BesideWeights = None,
    scale: ScaleName = "layer",
    options: ViewOptions = ViewOptions(),
) -> None:
    """What every unit of every layer gives for an image.

    With --unit, those units are followed through all layers.
    """
    from cutaway.look import beside as set_beside
    from cutaway.look import feature_maps

    view = options.open(run)
    subjects = view.subjects(beside)
    pictures = view.images(image, split)
    found = [feature_maps(subject, pictures, layer, unit) for subject in subjects.values()]
    result = found[0]
    shapes = {n: list(v.shape[1:]) for n, v in result.layers.items()}
    blank = {
        n: [
            number
            for number, empty in zip(result.numbers(n), result.blank(n).all(0).tolist(), strict=True)
            if empty
        ]
        for n in result.layers
    }
    arrays = {f"layer.{n}": v for n, v in result.layers.items()}
    for name, other in zip(list(subjects)[1:], found[1:], strict=True):
        arrays |= {f"{name}.layer.{n}": v for n, v in other.layers.items()}
    view.answer(
        result if len(found) == 1 else set_beside(found, list(subjects)),
        file_name("maps", [Path(name).stem for name in image], layer, unit, beside),
        {"image": result.images, **arrays},
        {"image": image[0] if len(image) == 1 else list(image), "layers": shapes, "blank": blank},
        [f"{n}: {len(u)} of {shapes[n][0]} blank: {listed(u)}" for n, u in blank.items() if u],
        scale=scale,
    )

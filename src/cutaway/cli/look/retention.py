"""``cutaway look retention``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.probe import Held
from cutaway.cli.look.view import Layers, ViewOptions, file_name

if TYPE_CHECKING:
    from torch import Tensor

    from cutaway.look import Kept


def retention(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    images: Annotated[int, Parameter(negative="")] = 5000,
    test_images: Annotated[int, Parameter(negative="")] = 1000,
    split: Held = "test",
    features: Annotated[int, Parameter(negative="")] = 2048,
    examples: Annotated[int, Parameter(negative="")] = 8,
    seed: Annotated[int, Parameter(negative="")] = 0,
    options: ViewOptions = ViewOptions(),
) -> None:
    """How much of the image is left in each layer: the error of its best linear reconstruction.

    Parameters
    ----------
    images
        training images that the reconstructions are fitted on
    test_images
        images of the split that are reconstructed
    features
        that are read of a layer at most: what is wider is projected at random
    examples
        reconstructions to show for each layer
    seed
        of all draws
    """
    from cutaway.look import retention as find_retention

    view = options.open(run)
    result = find_retention(
        view.subject,
        view.split("train"),
        view.split(split),
        layer,
        random=view.run.subject("random"),
        images=images,
        test_images=test_images,
        features=features,
        examples=examples,
        seed=seed,
    )
    rows = {"pixels": result.pixels, **result.layers}
    wide = max(map(len, rows))
    view.answer(
        result,
        file_name("retention", layer),
        {
            "originals": result.originals,
            **{f"reconstruction.{name}": images for name, images in result.reconstructions.items()},
            "pixels": _array(result.pixels),
            **{f"layer.{name}": _array(kept) for name, kept in result.layers.items()},
            **{f"random.{name}": _array(kept) for name, kept in result.random.items()},
        },
        {
            "split": split,
            "train_images": result.train_images,
            "test_images": result.test_images,
            "pixels": _facts(result.pixels),
            "layers": {name: _facts(kept) for name, kept in result.layers.items()},
            "random": {name: _facts(kept) for name, kept in result.random.items()},
        },
        [f"{name:<{wide}}  {_told(kept)}{_against(result.random.get(name))}" for name, kept in rows.items()],
    )


def _told(kept: Kept) -> str:
    low, high = kept.interval
    return f"{kept.error:7.2%} ({low:.1%} to {high:.1%}) of the variance lost"


def _against(kept: Kept | None) -> str:
    return f"  random weights {kept.error:7.2%}" if kept else ""


def _facts(kept: Kept) -> dict[str, Any]:
    return {
        "error": kept.error,
        "interval": list(kept.interval),
        "features": kept.features,
        "strength": kept.strength,
    }


def _array(kept: Kept) -> Tensor:
    """The error and the ends of its interval, ``(3,)`` float64."""
    import torch

    return torch.tensor([kept.error, *kept.interval], dtype=torch.float64)

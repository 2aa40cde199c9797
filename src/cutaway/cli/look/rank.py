"""``cutaway look rank``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.view import Layers, ViewOptions, file_name

Source = Annotated[
    str, Parameter(name="--split", negative="", help="the split that is looked at: train, validation or test")
]


def rank(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    images: Annotated[int, Parameter(negative="")] = 1000,
    split: Source = "test",
    seed: Annotated[int, Parameter(negative="")] = 0,
    options: ViewOptions = ViewOptions(),
) -> None:
    """How many of its dimensions each layer uses: saturation, effective rank, participation ratio.

    Parameters
    ----------
    images
        how many are looked at, each class in proportion
    seed
        of the images' choice
    """
    from cutaway.look import rank as find_rank
    from cutaway.look.features import sample

    view = options.open(run)
    result = find_rank(view.subject, sample(view.split(split), images, seed).pixels, layer)
    wide = max(map(len, result.layers))
    view.answer(
        result,
        file_name("rank", layer),
        {f"layer.{name}": spectrum.eigenvalues for name, spectrum in result.layers.items()},
        {
            "split": split,
            "images": result.images,
            "layers": {
                name: {
                    "units": spectrum.units,
                    "samples": spectrum.samples,
                    "effective_rank": spectrum.effective_rank,
                    "participation_ratio": spectrum.participation_ratio,
                    "dimensions": spectrum.dimensions(),
                    "saturation": spectrum.saturation,
                }
                for name, spectrum in result.layers.items()
            },
        },
        [
            f"{name:<{wide}}  {spectrum.dimensions():4} of {spectrum.units:4} dimensions hold 99 % of the "
            f"variance; effective rank {spectrum.effective_rank:.1f}"
            + (" (few images: a lower bound)" if spectrum.limited else "")
            for name, spectrum in result.layers.items()
        ],
    )

"""``cutaway look occlusion`` and ``rise``: what happens when parts of the image are covered."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.attribution import BaselineOption, say_attribution
from cutaway.cli.look.target import TARGETS, TargetOptions
from cutaway.cli.look.view import ViewOptions

Count = Annotated[int, Parameter(negative="")]
Seed = Annotated[int, Parameter(negative="")]


def occlusion(
    run: RunName,
    /,
    *,
    size: Annotated[int | None, Parameter(negative="")] = None,
    stride: Annotated[int | None, Parameter(negative="")] = None,
    baseline: BaselineOption = "black",
    seed: Seed = 0,
    target: TargetOptions = TARGETS,
    options: ViewOptions = ViewOptions(),
) -> None:
    """How much a class or a unit loses when a window of the image is covered, for windows everywhere.

    Parameters
    ----------
    size
        of the window, in pixels; a seventh of each side when not given
    stride
        pixels from a window to the next, no more than its size; its size when not given
    seed
        of a random baseline
    """
    from cutaway.look.backward.occlusion import occlusion as find

    view = options.open(run)
    asked = target.all_asked(view)
    settings = {"size": size, "stride": stride, "baseline": baseline, "seed": seed}
    found = find(
        view.subject, asked.images, asked.targets, size=size, stride=stride, baseline=baseline, seed=seed
    )
    say_attribution(view, asked, found, "occlusion", settings, scale=target.scale)


def rise(
    run: RunName,
    /,
    *,
    samples: Count = 2000,
    grid: Count = 7,
    shown: Annotated[float, Parameter(negative="")] = 0.5,
    of: Annotated[Literal["probability", "logit"], Parameter(negative="")] = "probability",
    baseline: BaselineOption = "black",
    seed: Seed = 0,
    target: TargetOptions = TARGETS,
    options: ViewOptions = ViewOptions(),
) -> None:
    """What a class or a unit comes to on average when a place is seen, among random masks of the image.

    Parameters
    ----------
    samples
        masks: the map's noise falls with their square root
    grid
        cells of a mask to a side
    shown
        the probability that a cell is seen
    of
        what is read of a class
    seed
        of the masks
    """
    from cutaway.look.backward.rise import rise as find

    view = options.open(run)
    asked = target.all_asked(view)
    settings = {
        "samples": samples,
        "grid": grid,
        "shown": shown,
        "of": of,
        "baseline": baseline,
        "seed": seed,
    }
    found = find(
        view.subject,
        asked.images,
        asked.targets,
        samples=samples,
        grid=grid,
        shown=shown,
        of=of,
        baseline=baseline,
        seed=seed,
    )
    say_attribution(view, asked, found, "rise", settings, scale=target.scale)

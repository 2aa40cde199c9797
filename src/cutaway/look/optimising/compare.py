"""The same targets with no prior, with each prior alone, and with all of them: what a prior does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cutaway.data import Split
from cutaway.errors import ConfigError
from cutaway.look.backward.target import Asked
from cutaway.look.optimising.ascent import Recipe
from cutaway.look.optimising.canvas import Start
from cutaway.look.optimising.maximize import Maximized, maximize
from cutaway.look.optimising.priors import Prior
from cutaway.nets.subject import Subject


@dataclass(frozen=True)
class Compared:
    """Images of the same targets, made with other priors.

    Args:
        results: by the priors' names: "no prior", each by itself, and "all".
        subject: the subject's name.
    """

    results: Mapping[str, Maximized]
    subject: str = ""


def compare_priors(
    subject: Subject,
    targets: Asked | Sequence[Asked],
    priors: Mapping[str, Prior],
    recipe: Recipe | None = None,
    *,
    start: Start = "noise",
    dataset: Split | None = None,
) -> Compared:
    """:func:`maximize` with no prior, with each by itself, and with all together.

    Args:
        subject: any whose preprocessing scales and shifts.
        targets: as for :func:`maximize`.
        priors: by the name that stands beside their images.
        recipe: of all; its own priors do not count.
        start: as for :func:`maximize`.
        dataset: as for :func:`maximize`.

    Raises:
        ConfigError: there are no priors to compare.
        CutawayError: as :func:`maximize` does.
    """
    if not priors:
        raise ConfigError("There are no priors to compare; give one or more.")
    recipe = recipe or Recipe()
    mixtures: dict[str, Sequence[Prior]] = {"no prior": ()}
    mixtures |= {name: (prior,) for name, prior in priors.items()}
    if len(priors) > 1:
        mixtures["all"] = tuple(priors.values())
    found: dict[str, Maximized] = {}
    for name, mixture in mixtures.items():
        made = maximize(subject, targets, replace(recipe, priors=mixture), start=start, dataset=dataset)
        found[name] = made
        dataset = None  # what its images reach is the same for all
    first = found["no prior"]
    return Compared(
        {
            name: replace(made, best_value=first.best_value, best_image=first.best_image)
            for name, made in found.items()
        },
        subject.name,
    )

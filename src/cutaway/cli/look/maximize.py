"""``cutaway look maximize``: the image that a class or a unit prefers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.recipe import RECIPE, RecipeOptions
from cutaway.cli.look.target import TargetLayer, TargetUnits
from cutaway.cli.look.view import SplitName, View, ViewOptions, file_name

if TYPE_CHECKING:
    from cutaway.look import Target
    from cutaway.look.optimising import Maximized

PRIOR_FILE = "prior.safetensors"
"""The generator that ``cutaway look train-prior`` keeps among a run's looks."""

Classes = Annotated[
    tuple[str, ...],
    Parameter(
        name="--class",
        negative="",
        show_default=False,
        help="a class by its name or number; give it again for more; all classes when nothing is asked for",
    ),
]


def maximize(
    run: RunName,
    /,
    *,
    classes: Classes = (),
    layer: TargetLayer = None,
    unit: TargetUnits = (),
    place: Annotated[str, Parameter(negative="")] = "sum",
    start: Annotated[Literal["noise", "grey"], Parameter(negative="")] = "noise",
    diverse: Annotated[int, Parameter(negative="")] = 1,
    compare: Annotated[bool, Parameter(negative="")] = False,
    generator: Annotated[bool, Parameter(negative="")] = False,
    split: SplitName = "test",
    recipe: RecipeOptions = RECIPE,
    options: ViewOptions = ViewOptions(),
) -> None:
    """The image that a class, a unit or a whole layer's units prefer, by gradient ascent.

    Below each: what the target comes to, the most that any image of the split comes to, and what the net
    takes the image for.

    Parameters
    ----------
    place
        of a unit's map: sum, all of it; max, where it is largest; or ROW,COLUMN
    start
        what images begin as
    diverse
        images for each target, unlike each other
    compare
        make them with no prior, with each prior alone, and with all that are asked for
    generator
        change the code of the generator that cutaway look train-prior made, in place of pixels
    """
    from cutaway.errors import ConfigError
    from cutaway.look.optimising import Recipe, load_generator
    from cutaway.look.optimising import maximize as find

    view = options.open(run)
    targets = _targets(view, classes, layer, unit, place)
    dataset = view.split(split)
    chosen = recipe.recipe(Recipe())
    asked = [classes, [layer] if layer else None, unit, [] if place == "sum" else [place]]
    if compare and (generator or diverse > 1):
        raise ConfigError("--compare makes one image of each target in pixels: no --diverse, no --generator.")
    if compare:
        from cutaway.look.optimising import compare_priors

        compared = compare_priors(
            view.subject, targets, recipe.priors(), chosen, start=start, dataset=dataset
        )
        view.answer(
            compared,
            file_name("maximize", ["priors"], *asked),
            {f"{name}.images": made.images for name, made in compared.results.items()},
            {"priors": {name: _facts(made) for name, made in compared.results.items()}},
            [f"{name}: {line}" for name, made in compared.results.items() for line in _lines(made)],
        )
        return
    prior = load_generator(view.run.folder / "looks" / PRIOR_FILE) if generator else None
    if prior is not None:
        prior.refuse_other(view.split("train"))
    found = find(
        view.subject, targets, chosen, start=start, diverse=diverse, generator=prior, dataset=dataset
    )
    view.answer(
        found,
        file_name("maximize", *asked, ["generator"] if generator else None),
        {"images": found.images, "values": found.values, "probabilities": found.probabilities},
        _facts(found),
        [*_lines(found), *found.notes],
    )


def _targets(
    view: View, classes: tuple[str, ...], layer: str | None, units: tuple[int, ...], place: str
) -> list[Target]:
    """What is asked for: classes, units, or all of either.

    Raises:
        ConfigError: options that contradict each other.
    """
    from cutaway.cli.look.target import place_of
    from cutaway.errors import ConfigError
    from cutaway.look import Target
    from cutaway.look.backward.target import as_target

    if layer is None:
        if units:
            raise ConfigError("--unit needs the --layer that it belongs to.")
        known = classes or [str(number) for number in range(len(view.subject.classes))]
        return [as_target(view.subject, name) for name in known]
    if classes:
        raise ConfigError("Ask for classes or for units of a layer, not for both.")
    at = place_of(place)
    if not units:
        from cutaway.look import feature_maps

        blank = view.images(("0",))
        units = tuple(range(feature_maps(view.subject, blank, [layer]).layers[layer].shape[1]))
    return [Target({unit: 1.0}, layer, at) for unit in units]


def _facts(found: Maximized) -> dict[str, Any]:
    return {
        "images": [
            {
                "target": found.targets[at],
                "start": float(found.values[0, at]),
                "reached": float(found.reached[at]),
                "dataset": None if found.best_value is None else float(found.best_value[at]),
                "dataset_image": None if found.best_image is None else int(found.best_image[at]),
                "probability": float(found.probabilities[at].max()),
                "class": found.classes[int(found.probabilities[at].argmax())] if found.classes else None,
            }
            for at in range(len(found.images))
        ],
        "notes": list(found.notes),
        "stopped": found.stopped,
    }


def _lines(found: Maximized) -> list[str]:
    """A line for each image."""
    rows = _facts(found)["images"]
    return [
        f"{row['target']}: {row['reached']:.4g}, from {row['start']:.3g}"
        + ("" if row["dataset"] is None else f"; image {row['dataset_image']} comes to {row['dataset']:.4g}")
        + f"; taken for {row['class']} ({row['probability']:.1%})"
        for row in rows
    ]


def prior_path(view: View) -> Path:
    """Where a run's generator lies."""
    return view.run.folder / "looks" / PRIOR_FILE

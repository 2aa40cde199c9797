"""``cutaway look invert``, ``caricature`` and ``interpolate``: images in the space of a layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.recipe import RECIPE, RecipeOptions
from cutaway.cli.look.target import TargetUnits
from cutaway.cli.look.view import ImageNames, Layers, Shown, SplitName, ViewOptions, file_name
from cutaway.errors import ConfigError


def invert(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    distance: Annotated[Literal["euclidean", "cosine", "l1", "gram"], Parameter(negative="")] = "euclidean",
    image: ImageNames = ("0",),
    split: SplitName = "test",
    shown: Shown = 0,
    recipe: RecipeOptions = RECIPE,
    options: ViewOptions = ViewOptions(),
) -> None:
    """What each layer remembers of an image: another one with the same features, found step by step.

    Parameters
    ----------
    distance
        between features that is made small
    """
    from cutaway.look.optimising import invert as find
    from cutaway.look.optimising.invert import DEFAULT

    view = options.open(run)
    pictures = view.images(image, split)
    found = find(view.subject, pictures, layer, recipe.recipe(DEFAULT), distance=distance)
    found = found.only(shown or len(image))
    facts = {
        name: {
            "feature_error": found.feature_error[name].tolist(),
            "pixel_error": found.pixel_error[name].tolist(),
        }
        for name in found.layers
    }
    view.answer(
        found,
        file_name("invert", [Path(name).stem for name in image], layer),
        {"image": found.originals, **{f"layer.{name}": value for name, value in found.layers.items()}},
        {"image": list(image), "distance": distance, "layers": facts, "stopped": found.stopped},
        [
            f"{name:14}  features {float(found.feature_error[name].mean()):8.2%}  "
            f"pixels {float(found.pixel_error[name].mean()):.3f}"
            for name in found.layers
        ],
    )


def caricature(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    image: ImageNames = ("0",),
    split: SplitName = "test",
    power: Annotated[float, Parameter(negative="")] = 2.0,
    recipe: RecipeOptions = RECIPE,
    options: ViewOptions = ViewOptions(),
) -> None:
    """What each layer sees in an image, made stronger in the image.

    Parameters
    ----------
    power
        how much the direction of the features counts against their length
    """
    from cutaway.look.optimising import caricature as find
    from cutaway.look.optimising.caricature import DEFAULT

    view = options.open(run)
    found = find(view.subject, view.images(image, split), layer, recipe.recipe(DEFAULT), power=power)
    view.answer(
        found,
        file_name("caricature", [Path(name).stem for name in image], layer),
        {"image": found.originals, **{f"layer.{name}": value for name, value in found.layers.items()}},
        {
            "image": list(image),
            "layers": {
                name: {
                    "strength": found.strength[name].tolist(),
                    "likeness": found.likeness[name].tolist(),
                }
                for name in found.layers
            },
        },
        [
            f"{name}: features {float(found.strength[name].mean()):.2f} times as long, "
            f"cosine {float(found.likeness[name].mean()):.2f}"
            for name in found.layers
        ],
    )


def interpolate(
    run: RunName,
    /,
    *,
    classes: Annotated[tuple[str, ...], Parameter(name="--class", negative="", show_default=False)] = (),
    layer: Annotated[str | None, Parameter(negative="")] = None,
    unit: TargetUnits = (),
    image: Annotated[tuple[str, ...], Parameter(name="--image", negative="", show_default=False)] = (),
    split: SplitName = "test",
    images: Annotated[int, Parameter(negative="")] = 7,
    recipe: RecipeOptions = RECIPE,
    options: ViewOptions = ViewOptions(),
) -> None:
    """Walk from one class, unit or image to another.

    Two of a kind: --class 3 --class 8, --layer conv2 --unit 1 --unit 4, or --layer conv2 --image 0 --image 1.

    Parameters
    ----------
    classes
        a class by its name or number; give it twice
    layer
        whose units are walked between, or in whose space images are
    image
        an image file, or the number of an image of the split; give it twice
    images
        on the way, with both ends
    """
    from cutaway.look import Target
    from cutaway.look.backward.target import as_target
    from cutaway.look.optimising import Recipe, walk_images, walk_units
    from cutaway.look.optimising.invert import DEFAULT

    view = options.open(run)
    two = [kind for kind in (classes, unit, image) if len(kind) == 2]
    if len(two) != 1 or len([kind for kind in (classes, unit, image) if kind]) != 1:
        raise ConfigError("A walk goes between two: give --class, --unit or --image twice.")
    if not classes and layer is None:
        raise ConfigError("Which layer? Give --layer.")
    found: Any
    if image:
        ends = view.images(image, split)
        chosen = recipe.recipe(DEFAULT)
        found = walk_images(view.subject, ends[:1], ends[1:], str(layer), chosen, images=images)
    else:
        targets = (
            [as_target(view.subject, name) for name in classes]
            if classes
            else [Target({one: 1.0}, layer, "sum") for one in unit]
        )
        found = walk_units(view.subject, targets[0], targets[1], recipe.recipe(Recipe()), images=images)
    view.answer(
        found,
        file_name("interpolate", two[0], [layer] if layer else None),
        {"images": found.images, "amounts": found.amounts},
        {"ends": list(found.ends), "layer": found.layer, "amounts": found.amounts.tolist()},
    )

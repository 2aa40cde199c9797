"""Looks that give a map for each image and target.

``cutaway look saliency``, ``gradient-input``, ``smoothgrad``, ``integrated-gradients``, ``guided``,
``deconvnet`` and ``deeplift``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.target import TARGETS, OtherwiseName, TargetOptions
from cutaway.cli.look.view import ViewOptions, file_name

if TYPE_CHECKING:
    from torch import Tensor

    from cutaway.cli.look.target import Asked
    from cutaway.cli.look.view import View
    from cutaway.look import Attribution

Show = Annotated[
    Literal["auto", "signed", "strength"],
    Parameter(
        negative="",
        help="the sum over channels with its sign, or the largest amount; strength for plain gradients, "
        "signed for all others when not given",
    ),
]
BaselineOption = Annotated[
    Literal["black", "mean", "blur", "random"],
    Parameter(
        negative="",
        help="what the image is compared with: black; its mean colour; itself, blurred; or noise",
    ),
]
Seed = Annotated[int, Parameter(negative="")]


def saliency(
    run: RunName,
    /,
    *,
    show: Show = "auto",
    target: TargetOptions = TARGETS,
    options: ViewOptions = ViewOptions(),
) -> None:
    """Which pixels a class or a unit is most sensitive to: the gradient by the image."""
    from cutaway.look import saliency as find

    _answer(run, "saliency", find, target, options, show)


def gradient_input(
    run: RunName,
    /,
    *,
    show: Show = "auto",
    target: TargetOptions = TARGETS,
    options: ViewOptions = ViewOptions(),
) -> None:
    """The gradient times the image: what each pixel adds, to first order."""
    from cutaway.look import gradient_input as find

    _answer(run, "gradient-input", find, target, options, show)


def smoothgrad(
    run: RunName,
    /,
    *,
    samples: Annotated[int, Parameter(negative="")] = 32,
    noise: Annotated[float, Parameter(negative="")] = 0.15,
    seed: Seed = 0,
    show: Show = "auto",
    target: TargetOptions = TARGETS,
    options: ViewOptions = ViewOptions(),
) -> None:
    """The mean gradient of noisy copies of the image.

    Parameters
    ----------
    samples
        noisy copies of each image
    noise
        standard deviation, as a share of the range of the image's values
    seed
        of the noise
    """
    from cutaway.look import smoothgrad as find

    _answer(run, "smoothgrad", find, target, options, show, samples=samples, noise=noise, seed=seed)


def integrated_gradients(
    run: RunName,
    /,
    *,
    steps: Annotated[int, Parameter(negative="")] = 50,
    baseline: BaselineOption = "black",
    seed: Seed = 0,
    show: Show = "auto",
    target: TargetOptions = TARGETS,
    options: ViewOptions = ViewOptions(),
) -> None:
    """What each pixel adds on the straight way from a baseline to the image.

    Parameters
    ----------
    steps
        points on the way: more make the gap smaller
    seed
        of a random baseline
    """
    from cutaway.look import integrated_gradients as find

    _answer(
        run, "integrated-gradients", find, target, options, show, steps=steps, baseline=baseline, seed=seed
    )


def guided(
    run: RunName,
    /,
    *,
    otherwise: OtherwiseName = "refuse",
    show: Show = "auto",
    target: TargetOptions = TARGETS,
    options: ViewOptions = ViewOptions(),
) -> None:
    """Guided backpropagation: back through ReLUs goes only what is positive, and only where they are on."""
    from cutaway.look import guided as find

    _answer(run, "guided", find, target, options, show, otherwise=otherwise)


def deconvnet(
    run: RunName,
    /,
    *,
    otherwise: OtherwiseName = "refuse",
    show: Show = "auto",
    target: TargetOptions = TARGETS,
    options: ViewOptions = ViewOptions(),
) -> None:
    """From a class or a unit down to pixels by the deconvolutional net, pools undone by their switches."""
    from cutaway.look import deconvnet as find

    _answer(run, "deconvnet", find, target, options, show, otherwise=otherwise)


def deeplift(
    run: RunName,
    /,
    *,
    baseline: BaselineOption = "black",
    otherwise: OtherwiseName = "refuse",
    seed: Seed = 0,
    show: Show = "auto",
    target: TargetOptions = TARGETS,
    options: ViewOptions = ViewOptions(),
) -> None:
    """What each pixel's difference from a baseline adds, handed back by DeepLift's rescale rule.

    Parameters
    ----------
    seed
        of a random baseline
    """
    from cutaway.look import deeplift as find

    _answer(run, "deeplift", find, target, options, show, baseline=baseline, otherwise=otherwise, seed=seed)


def _answer(  # noqa: PLR0917  what all commands of this file have
    run: str,
    name: str,
    find: Callable[..., Attribution],
    target: TargetOptions,
    options: ViewOptions,
    show: str,
    **settings: Any,
) -> None:
    """Apply a method with its settings and tell what it found."""
    view = options.open(run)
    asked = target.all_asked(view)
    found = find(view.subject, asked.images, asked.targets, **settings)
    against = f"{settings['baseline']} baseline" if "baseline" in settings else ""
    say_attribution(view, asked, found, name, settings, against=against, scale=target.scale, show=show)


def say_attribution(
    view: View,
    asked: Asked,
    found: Attribution,
    name: str,
    settings: Mapping[str, Any],
    *,
    against: str = "",
    arrays: Mapping[str, Tensor] | None = None,
    facts: Mapping[str, Any] | None = None,
    lines: Sequence[str] = (),
    **drawing: Any,
) -> None:
    """Write and tell an attribution.

    Args:
        view: the run.
        asked: images and targets.
        found: the maps.
        name: of the command.
        settings: of the method, for ``--json``.
        against: what a map's sum is a difference from; empty where it is the target itself.
        arrays: more for the .npz.
        facts: more for ``--json``.
        lines: more to say, above the notes.
        drawing: options of the figure.
    """
    sums = found.maps.double().flatten(2).sum(2)
    targets = [
        {
            "target": told,
            "value": found.values[place].tolist(),
            "sum": sums[place].tolist(),
            **({} if found.gap is None else {"gap": found.gap[place].tolist()}),
        }
        for place, told in enumerate(found.targets)
    ]
    told = [
        f"image {image}, {_target(asked, target, at)}: {float(found.values[place, at]):.4g}"
        + _gap(found, place, at, against)
        for place, target in enumerate(found.targets)
        for at, image in enumerate(asked.names)
    ]
    view.answer(
        found,
        file_name(name, asked.parts),
        {
            "image": found.images,
            "maps": found.maps,
            "values": found.values,
            **({} if found.gap is None else {"gap": found.gap}),
            **(arrays or {}),
        },
        {
            **asked.facts,
            "method": found.method,
            "settings": dict(settings),
            "targets": targets,
            **(facts or {}),
            "notes": list(found.notes),
        },
        [*told, *lines, *found.notes],
        predicted=asked.predicted,
        **drawing,
    )


def _target(asked: Asked, target: str, image: int) -> str:
    """A target by its name, and which class was predicted."""
    return f"predicted {asked.predicted[image]}" if target == "predicted" else target


def _gap(found: Attribution, place: int, image: int, against: str) -> str:
    """What a map lacks of what it should add up to, in words."""
    if found.gap is None:
        return ""
    gap = float(found.gap[place, image])
    total = float(found.maps[place, image].double().sum())
    whole = total + gap
    share = f" ({abs(gap / whole):.2%})" if whole else ""
    if against:
        return (
            f", {whole:+.4g} from the {against}; the map adds up to {total:.4g}, the gap is {gap:.2g}{share}"
        )
    return f"; the map adds up to {total:.4g}, biases and ε took {gap:.2g}{share}"

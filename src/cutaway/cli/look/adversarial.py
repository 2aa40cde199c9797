"""``cutaway look adversarial`` and ``unnatural``: images that deceive the net."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.view import ImageNames, SplitName, ViewOptions, file_name

if TYPE_CHECKING:
    from cutaway.nets.subject import Subject

NormName = Annotated[
    Literal["linf", "l2"],
    Parameter(negative="", help="the largest change of a value, or the root of the sum of all squares"),
]
Number = Annotated[float, Parameter(negative="")]
Count = Annotated[int, Parameter(negative="")]


def adversarial(
    run: RunName,
    /,
    *,
    method: Annotated[Literal["fgsm", "pgd"], Parameter(negative="")] = "pgd",
    eps: Number = 16.0,
    norm: NormName = "linf",
    toward: Annotated[str | None, Parameter(negative="")] = None,
    steps: Count = 20,
    whole: Annotated[bool, Parameter(negative="")] = False,
    seed: Count = 0,
    image: ImageNames = ("0",),
    split: SplitName = "test",
    options: ViewOptions = ViewOptions(),
) -> None:
    """Change an image so little that it stays what it is, until the net takes it for something else.

    Parameters
    ----------
    method
        one step along the gradient's signs, or many small ones
    eps
        how far the image may be changed, in pixel values from 0 to 255
    toward
        a class by its name or number, for which it should be taken; any other than now when not given
    steps
        of pgd
    whole
        round the change, so that the result can be saved as a picture
    seed
        of pgd's start
    """
    from cutaway.look.adversarial import fgsm, pgd

    view = options.open(run)
    pictures = view.images(image, split)
    goal: Any = None if toward is None else _class(view.subject, toward)
    if method == "fgsm":
        found = fgsm(view.subject, pictures, eps, toward=goal, norm=norm, whole=whole)
    else:
        found = pgd(view.subject, pictures, eps, toward=goal, norm=norm, steps=steps, seed=seed, whole=whole)
    rows, lines = [], []
    for at, name in enumerate(image):
        classes = [found.names[int(taken[at])] for taken in found.taken]
        sure = [float(confidence[at]) for confidence in found.confidence]
        linf, l2 = float(found.linf[at]), float(found.l2[at])
        rows.append(
            {
                "image": name,
                "before": {"class": classes[0], "confidence": sure[0]},
                "after": {"class": classes[1], "confidence": sure[1]},
                "success": bool(found.success[at]),
                "already": bool(found.already[at]),
                "linf": linf,
                "l2": l2,
            }
        )
        told = "" if found.success[at] else "; the attack failed"
        lines.append(
            f"image {name}: {classes[0]} ({sure[0]:.2%}) becomes {classes[1]} ({sure[1]:.2%}); "
            f"changed by {linf:.3g} at most, {l2:.4g} in all{told}"
        )
    view.answer(
        found,
        file_name(
            method,
            [Path(name).stem for name in image],
            [f"{eps:g}", *([] if norm == "linf" else [norm])],
            [] if toward is None else ["toward", toward],
        ),
        {
            "image": found.images,
            "changed": found.changed,
            "before": found.before,
            "after": found.after,
            "success": found.success,
            "linf": found.linf,
            "l2": found.l2,
        },
        {
            "method": found.method,
            "eps": eps,
            "norm": norm,
            "unit": found.unit,
            "toward": toward,
            "images": rows,
            "notes": list(found.notes),
        },
        [*lines, *found.notes],
    )


def unnatural(
    run: RunName,
    /,
    *,
    classes: Annotated[
        list[str] | None,
        Parameter(
            name="--class",
            negative="",
            help="a class by its name or number; give it again for more; all when not given",
        ),
    ] = None,
    start: Annotated[Literal["grey", "noise", "black"], Parameter(negative="")] = "grey",
    confidence: Number = 0.99,
    steps: Count = 500,
    step: Number = 2.0,
    seed: Count = 0,
    options: ViewOptions = ViewOptions(),
) -> None:
    """Images of nothing that the net is sure are some class, made by plain gradient ascent.

    Parameters
    ----------
    start
        the image to begin with
    confidence
        the probability to stop at
    steps
        at most
    step
        of each, in pixel values
    seed
        of the noise
    """
    from cutaway.look.unnatural import unnatural as find

    view = options.open(run)
    asked = None if classes is None else [_class(view.subject, name) for name in classes]
    found = find(view.subject, asked, start=start, confidence=confidence, steps=steps, step=step, seed=seed)
    rows, lines = [], []
    for at, number in enumerate(found.classes.tolist()):
        sure, taken = float(found.probability[at]), int(found.steps[at])
        linf, l2 = float(found.linf[at]), float(found.l2[at])
        rows.append(
            {
                "class": found.names[number],
                "probability": sure,
                "reached": bool(found.reached[at]),
                "steps": taken,
                "linf": linf,
                "l2": l2,
            }
        )
        lines.append(
            f"{found.names[number]}: {sure:.2%} after {taken} steps; changed by {linf:.3g} at most, "
            f"{l2:.4g} in all"
        )
    view.answer(
        found,
        file_name("unnatural", classes, [] if start == "grey" else [start]),
        {
            "images": found.images,
            "start": found.start,
            "classes": found.classes,
            "before": found.before,
            "after": found.after,
            "steps": found.steps,
            "confidence": found.confidence,
        },
        {
            "start": start,
            "confidence": confidence,
            "unit": found.unit,
            "classes": rows,
            "notes": list(found.notes),
        },
        [*lines, *found.notes],
    )


def _class(subject: Subject, name: str) -> int:
    """A class's number by its name or number."""
    from cutaway.look.backward.target import as_target

    return next(iter(as_target(subject, name).weights or {}))

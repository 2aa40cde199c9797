"""``cutaway look lrp``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.attribution import Show, say_attribution
from cutaway.cli.look.target import TARGETS, OtherwiseName, TargetOptions
from cutaway.cli.look.view import ViewOptions

if TYPE_CHECKING:
    from cutaway.cli.look.target import Asked
    from cutaway.look import Relevance
    from cutaway.nets.subject import Subject

RulesName = Annotated[
    str,
    Parameter(
        negative="",
        help="z, epsilon, z-plus or alpha2-beta1 for all sums; epsilon-plus, epsilon-plus-flat, "
        "epsilon-alpha2-beta1 or epsilon-gamma-box by depth",
    ),
]


def lrp(
    run: RunName,
    /,
    *,
    rules: RulesName = "epsilon-plus",
    layers: Annotated[bool, Parameter(negative="")] = False,
    otherwise: OtherwiseName = "refuse",
    show: Show = "auto",
    target: TargetOptions = TARGETS,
    options: ViewOptions = ViewOptions(),
) -> None:
    """Relevance: a class's or unit's value handed back to the pixels, operation by operation.

    Parameters
    ----------
    layers
        the relevance that arrives in each layer too: its sum is told, all of it is in an .npz
    """
    from cutaway.look import lrp as find

    view = options.open(run)
    asked = target.all_asked(view)
    names = _layers(view.subject) if layers else []
    found = find(view.subject, asked.images, asked.targets, rules=rules, layers=names, otherwise=otherwise)
    say_attribution(
        view,
        asked,
        found,
        "lrp" if rules == "epsilon-plus" else f"lrp-{rules}",
        {"rules": rules, "otherwise": otherwise},
        arrays={f"layer.{name}": values for name, values in (found.layers or {}).items()},
        facts={"layers": {name: found.total(name).tolist() for name in names}} if layers else None,
        lines=_told(found, asked, names),
        scale=target.scale,
        show=show,
    )


def _layers(subject: Subject) -> list[str]:
    """All layers, in the order of computing."""
    from cutaway.look import layers

    if subject.plan is not None:
        return [row.name for row in subject.plan.leaves()]
    return [row.name for row in layers(subject) if row.leaf]


def _told(found: Relevance, asked: Asked, layers: list[str]) -> list[str]:
    """The sums by layer, from the pixels up, a column for each target and image."""
    if not layers:
        return []
    pairs = [(target, image) for target in range(len(found.targets)) for image in range(len(asked.names))]
    rows = {"pixels": found.total(), **{name: found.total(name) for name in layers}}
    wide = max(map(len, rows))
    lines = ["relevance in all, from the pixels up:"]
    for name, totals in rows.items():
        told = "".join(f"  {float(totals[pair]):>9.4g}" for pair in pairs)
        lines.append(f"{name:<{wide}}{told}")
    return lines

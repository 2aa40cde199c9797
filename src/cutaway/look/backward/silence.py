"""Silence: why a map is zero everywhere, told by the layer where what goes back ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from cutaway.errors import CutawayError
from cutaway.look.backward.graph import INPUT, Graph, float_inputs, graphs
from cutaway.look.backward.rules import Rules
from cutaway.look.backward.target import Target
from cutaway.look.layers import layers
from cutaway.nets.subject import Subject

Cause = Callable[[int, Sequence[int]], list[str]]
"""From a target's number and those of images to a sentence for each image; empty where it is not known."""

_LOOKED_AT = 16
"""Images that are asked for a cause; the others are likely to have the same ones."""


def cause_of(
    subject: Subject,
    images: Tensor,
    targets: Sequence[Target],
    rules: Rules | None = None,
    times: str = "",
) -> Cause:
    """A function that tells for silent maps where what goes back ends, by a pass of those images alone.

    Args:
        subject: any.
        images: ``(N, C, H, W)``, as they were looked at.
        targets: those of the maps.
        rules: those that the maps were made with.
        times: what to say where something does arrive at the input, for methods that multiply it.
    """

    def cause(number: int, silent: Sequence[int]) -> list[str]:
        asked = list(silent[: subject.batch or _LOOKED_AT])
        try:
            found = _causes(subject, images[asked], targets[number].of(asked), rules)
        except CutawayError:  # the maps stand; only the reason for their silence is not found
            found = []
        found = [why or times for why in found]
        return found + [""] * (len(silent) - len(found))

    return cause


def _causes(subject: Subject, images: Tensor, target: Target, rules: Rules | None) -> list[str]:
    names = [row.name for row in layers(subject) if row.leaf]
    if target.layer is not None:
        before = names[: names.index(target.layer)] if target.layer in names else []
        names = [*before, target.layer]
    with graphs(subject, names, rules, to_end=target.layer is None) as forward:
        graph = forward(float_inputs(subject, images))
        reached = _reached(graph, target, [INPUT, *names])
    return [
        _told(target, [INPUT, *names], {name: bool(flags[n]) for name, flags in reached.items()})
        for n in range(len(images))
    ]


def _reached(graph: Graph, target: Target, names: Sequence[str]) -> dict[str, Tensor]:
    """For the layers that can be asked, whether anything arrives there: ``(n,)`` each."""
    known = [name for name in names if name in graph.edges and name not in graph.overwritten]
    found = graph.back(target, target.seed(graph.root(target)), known)
    return {name: value.flatten(1).ne(0).any(1) for name, value in zip(known, found, strict=True)}


def _told(target: Target, names: Sequence[str], reached: Mapping[str, bool]) -> str:
    """A sentence on the first layer behind the last one that nothing arrives at."""
    if reached[INPUT]:
        return ""
    last = max(place for place, name in enumerate(names) if not reached.get(name, True))
    behind = [place for place in range(last + 1, len(names)) if names[place] in reached]
    if not behind:
        return "" if target.layer else "Nothing goes back from the logits themselves."
    where = f"at {names[behind[0]]}"
    if behind[0] > last + 1:
        # Those between are overwritten in place, and can't be asked.
        where = f"between {names[last + 1]} and {names[behind[0]]}"
    return f"What goes back ends {where}: units there are off or saturated, or weights are zero."

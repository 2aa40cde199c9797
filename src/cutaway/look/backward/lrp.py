"""Layer-wise relevance propagation: a target's value handed back to the pixels, operation by operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cutaway.errors import NotFoundError, nearest
from cutaway.look.backward.attribution import Attribution, as_images, chunks, walks, with_zero_noted
from cutaway.look.backward.composite import COMPOSITES, Composite
from cutaway.look.backward.graph import INPUT, float_inputs
from cutaway.look.backward.propagation import Propagation
from cutaway.look.backward.relevance import Box
from cutaway.look.backward.rules import Otherwise
from cutaway.look.backward.target import Asked, as_targets
from cutaway.look.finite import refuse_nan
from cutaway.nets.subject import Subject
from cutaway.progress import tracked


@dataclass(frozen=True)
class Relevance(Attribution):
    """An attribution by relevance; its ``gap`` is the target's value less the sum of the map.

    Args:
        layers: for each layer asked for, the relevance of its output, ``(T, N, …)`` float32 on the CPU.
        composite: the rules' name.
    """

    layers: Mapping[str, Tensor] | None = None
    composite: str = ""

    def total(self, layer: str = INPUT) -> Tensor:
        """The relevance in a layer's output, or in the input: ``(T, N)`` float64.

        Equal to the target's value where nothing was absorbed by biases and ε, and where all ways from the
        input to the target lead through the layer.
        """
        values = self.maps if layer == INPUT else (self.layers or {})[layer]
        return values.double().flatten(2).sum(2)


def lrp(
    subject: Subject,
    images: Tensor,
    targets: Asked | Sequence[Asked] | None = None,
    *,
    rules: str | Composite = "epsilon-plus",
    layers: Sequence[str] = (),
    otherwise: Otherwise = "refuse",
) -> Relevance:
    """Layer-wise relevance propagation.

    The target's value is handed back: by each weighted sum to its inputs as its rule says, by a max-pool to
    its maximum, by averages and residual additions in proportion to what each part adds, and by activations
    as it is. A batch norm behind a sum is folded into it; any other divides what it adds and its shift by
    their amounts. Constants that are added elsewhere take no relevance.

    Args:
        subject: any.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        targets: as for :func:`saliency`; of a difference, each side's value with its sign is handed back.
        rules: the name of one of ``COMPOSITES``, or a :class:`Composite`.
        layers: addresses whose outputs' relevance is wanted too, all from the same pass.
        otherwise: ``gradient`` passes operations without a rule with their plain gradient, which hands back
            something other than relevance.

    Raises:
        NotFoundError: there is no composite of that name.
        ConfigError: an operation has no rule.
        CutawayError: as :func:`saliency` does.

    Source: Bach, Binder, Montavon, Klauschen, Müller, Samek, "On pixel-wise explanations for non-linear
    classifier decisions by layer-wise relevance propagation", 2015.
    """
    wanted = as_targets(subject, targets)
    name = rules if isinstance(rules, str) else "custom"
    mode = Propagation(_boxed(subject, _composite(rules)), otherwise)
    names = list(dict.fromkeys(layers))
    found: list[_Part] = [_Part.empty() for _ in wanted]
    with tracked("LRP", len(images) * len(wanted), "images") as add:
        # A layer that is a target ends its pass: what lies behind it has no part in it.
        for root in dict.fromkeys(target.layer for target in wanted):
            places = [place for place, target in enumerate(wanted) if target.layer == root]
            with walks(subject, [wanted[place] for place in places], names, mode) as forward:
                for inputs, chosen in chunks(subject, images, [wanted[place] for place in places]):
                    graph = forward(inputs)
                    refuse_nan(subject, inputs, {"the target": graph.root(chosen[0])})
                    for place, target in zip(places, chosen, strict=True):
                        value = graph.seed(target) * graph.root(target)
                        maps, *inner = graph.back(target, value, [INPUT, *names], keep=True)
                        found[place].add(
                            as_images(subject, maps),
                            graph.value(target),
                            dict(zip(names, inner, strict=True)),
                        )
                        add(len(inputs))
    maps = torch.stack([torch.cat(part.maps) for part in found])
    values = torch.stack([torch.cat(part.values) for part in found])
    result = Relevance(
        images,
        maps,
        values.float(),
        tuple(map(str, wanted)),
        "LRP",
        subject.name,
        (values - maps.double().flatten(2).sum(2)).float(),
        _foreign(mode),
        {name: torch.stack([torch.cat(part.layers[name]) for part in found]) for name in names},
        name,
    )
    return with_zero_noted(result)


@dataclass(frozen=True)
class _Part:
    """What one target has, chunk by chunk."""

    maps: list[Tensor]
    values: list[Tensor]
    layers: dict[str, list[Tensor]]

    @classmethod
    def empty(cls) -> _Part:
        return cls([], [], {})

    def add(self, maps: Tensor, values: Tensor, layers: Mapping[str, Tensor]) -> None:
        self.maps.append(maps.detach().float().cpu())
        self.values.append(values.double().cpu())
        for name, value in layers.items():
            self.layers.setdefault(name, []).append(value.detach().float().cpu())


def _foreign(mode: Propagation) -> tuple[str, ...]:
    """What a reader should know of operations that had their plain gradient."""
    if not mode.foreign:
        return ()
    names = ", ".join(mode.foreign)
    return (f"{names} passed with the plain gradient, so what arrives at the input is not relevance alone.",)


def _composite(rules: str | Composite) -> Composite:
    if isinstance(rules, Composite):
        return rules
    if rules not in COMPOSITES:
        raise NotFoundError(f'LRP has no rules "{rules}".{nearest(rules, list(COMPOSITES))}')
    return COMPOSITES[rules]


def _boxed(subject: Subject, composite: Composite) -> Composite:
    """The composite with the range of this subject's inputs in z-B."""
    if not composite.box:
        return composite
    shape = (1, *subject.input_shape)
    ends = [float_inputs(subject, torch.full(shape, pixel, dtype=torch.uint8)) for pixel in (0, 255)]
    return replace(composite, first=Box(torch.minimum(*ends), torch.maximum(*ends)))

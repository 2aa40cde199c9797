"""Random weights from the top down: what an explanation should not survive."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import torch
from torch import nn

from cutaway.errors import ConfigError
from cutaway.look.backward.methods import typed
from cutaway.look.layers import layers
from cutaway.look.untrained import untrained
from cutaway.nets.subject import Subject


def cascade(subject: Subject, stages: int = 5, seed: int = 0) -> Iterator[tuple[str, Subject]]:
    """Copies of a subject with the weights of ever more layers drawn anew, from the logits down.

    The model is one copy, which the next step changes: use each before taking the next. Weights are those of
    :func:`cutaway.look.untrained`; the last step has all of them.

    Args:
        subject: any; itself not touched.
        stages: at most so many steps, of nearly as many layers each.
        seed: of the weights.

    Yields:
        the name of the lowest layer whose weights are random, and the subject.

    Raises:
        ConfigError: the model can't be copied or applied.

    Source: Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim, "Sanity checks for saliency maps", 2018.
    """
    groups = steps(subject, stages)
    random = dict(untrained(subject, seed).model.named_modules())
    with torch.inference_mode(False):
        model = copy.deepcopy(subject.model)
    modules = dict(model.named_modules())
    for group in groups:
        for name in group:
            _take(modules[name], random[name])
        yield group[-1] or subject.name, replace(subject, model=model, name=f"{subject.name}, random weights")


def steps(subject: Subject, stages: int) -> list[list[str]]:
    """The names of the layers with weights that each step of the cascade adds, the last computed first.

    Raises:
        ConfigError: there are no steps or no weights, or the model can't be applied.
    """
    if stages < 1:
        raise ConfigError(f"stages should be 1 or more, not {stages}.")
    names = _weighted(subject)
    if not names:
        raise ConfigError(f"{subject.name} has no weights, so there is nothing to draw anew.")
    count = min(stages, len(names))
    ends = [round(step * len(names) / count) for step in range(count + 1)]
    return [names[low:high] for low, high in pairwise(ends)]


def _weighted(subject: Subject) -> list[str]:
    """Modules with weights of their own from the last computed to the first, then those never applied."""
    computed: dict[str, int] = {}
    for place, row in enumerate(layers(typed(subject))):
        computed[row.name.partition("@")[0].partition("[")[0]] = place
    names = [
        name for name, module in subject.model.named_modules() if any(True for _ in module.parameters(False))
    ]
    return sorted(names, key=lambda name: -computed.get(name, -1))


def _take(module: nn.Module, other: nn.Module) -> None:
    """Give a module the parameters and buffers that are another one's own."""
    with torch.inference_mode(False), torch.no_grad():
        for mine, theirs in (
            (module._parameters, other._parameters),
            (module._buffers, other._buffers),
        ):
            for name, value in mine.items():
                new = theirs[name]
                if value is not None and new is not None:
                    value.copy_(new)

"""The same net with random weights: what a look is held against."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from cutaway.config import derive
from cutaway.errors import ConfigError
from cutaway.nets.randomness import seeded
from cutaway.nets.subject import Subject


def untrained(subject: Subject, seed: int = 0) -> Subject:
    """A copy of a subject whose parameters are drawn anew; the subject itself is not touched.

    Every module draws its own by ``reset_parameters()``, as it did when it was made; batch norm
    forgets its statistics with that. A parameter that no module draws anew has its values put in a
    random order, which keeps their distribution and nothing else. Other buffers stay.

    Args:
        subject: any.
        seed: of all draws.

    Raises:
        ConfigError: the model can't be copied.
    """
    try:
        # Made in inference mode, weights could have no part in a gradient later.
        with torch.inference_mode(False):
            model = copy.deepcopy(subject.model)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ConfigError(
            f"{subject.name} can't be copied to get random weights ({str(error)[:80]}). Give them as random."
        ) from None
    with torch.inference_mode(False), seeded(derive(seed, "untrained")), torch.no_grad():
        before = [parameter.detach().clone() for parameter in model.parameters()]
        for module in model.modules():
            _redraw(module)
        for parameter, values in zip(model.parameters(), before, strict=True):
            parameter.grad = None
            if torch.equal(parameter, values) or not parameter.isfinite().all():
                parameter.copy_(_shuffled(values))
    return replace(subject, model=model, name=f"{subject.name}, random weights")


def _redraw(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()


def _shuffled(values: Tensor) -> Tensor:
    """The finite ones among the values in a random order, each as often as it takes to fill the shape."""
    flat = values.flatten()
    known = flat[flat.isfinite()]
    if not len(known):
        return torch.zeros_like(values)
    # Drawn on the CPU, so that the order is the same on every device.
    order = torch.randperm(len(flat)).to(flat.device) % len(known)
    return known[order].view_as(values)

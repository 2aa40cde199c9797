"""Kernels: the weights of convolutions as they are, and those of dense layers as the maps they weigh."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cutaway.errors import ConfigError, DataError, NotFoundError, nearest
from cutaway.look.arrangement import arrangement
from cutaway.look.capture import capture
from cutaway.look.choice import chosen_units
from cutaway.look.modules import named_modules
from cutaway.nets.subject import Subject

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d)
_CALLS = ("conv1d", "conv2d")


@dataclass(frozen=True)
class Kernels:
    """The kernels of some layers.

    Args:
        layers: for each layer ``(filters, channels, height, width)``, float32 on the CPU. Of a dense
            layer a filter is a unit, and channels, height and width are those of the maps it weighs;
            height and width are 1 where it weighs no maps.
        subject: the subject's name.
        units: the filters that each layer shows, by the numbers that they have there; all of them for a
            layer that is not named.
    """

    layers: Mapping[str, Tensor]
    subject: str = ""
    units: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def norms(self, layer: str) -> Tensor:
        """The L2 norm of every slice, ``(filters, channels)``: how much a filter listens to a channel."""
        norms: Tensor = torch.linalg.vector_norm(self.layers[layer].flatten(2), dim=2)
        return norms

    def strongest(self, layer: str) -> Tensor:
        """Channels from the largest norm down, for every filter: ``(filters, channels)`` int64."""
        return self.norms(layer).argsort(dim=1, descending=True, stable=True)

    def numbers(self, layer: str) -> Sequence[int]:
        """The number of each filter that is shown of a layer."""
        return self.units.get(layer) or range(len(self.layers[layer]))

    def only(self, units: Sequence[int]) -> Kernels:
        """The same kernels of these filters alone; layers that have none of them are left out.

        Raises:
            ConfigError: no unit is asked for.
            NotFoundError: no layer has such a filter.
        """
        places = chosen_units({layer: self.numbers(layer) for layer in self.layers}, units)
        return Kernels(
            {layer: self.layers[layer][at] for layer, at in places.items()},
            self.subject,
            {layer: [self.numbers(layer)[place] for place in at] for layer, at in places.items()},
        )


def kernels(subject: Subject, layers: Sequence[str] | None = None) -> Kernels:
    """The kernels of ``layers``; of all convolutions when not given.

    Args:
        subject: trained or not.
        layers: convolutions, transposed ones too, and dense layers; a convolution that no module
            makes by its call, such as ``conv2d@3``.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: a layer has no kernels, or there is none.
        DataError: weights are not finite.
    """
    modules = {name: module for name, module in named_modules(subject.model).items() if name}
    known = [name for name, module in modules.items() if isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED))]
    if layers is None and not known:
        raise ConfigError(
            f"{subject.name} has no convolution among its modules, so no kernels. "
            "Those of a function are found by its call: conv2d@1."
        )
    found: dict[str, Tensor] = {}
    for name in known if layers is None else layers:
        if name in modules:
            weights = _weights(subject, name, modules[name], known)
        elif name.partition("@")[0] in _CALLS:
            weights = _called(subject, name)
        else:
            raise NotFoundError(f'There is no layer "{name}".{nearest(name, known)}')
        kernel = weights.detach().float().cpu().clone().contiguous()
        _refuse_nan(subject, name, kernel)
        found[name] = kernel if kernel.dim() == 4 else kernel[:, :, None]
    return Kernels(found, subject.name)


def _weights(subject: Subject, name: str, module: nn.Module, known: Sequence[str]) -> Tensor:
    """A module's kernels by filter and channel."""
    if isinstance(module, _CONVOLUTIONS):
        return module.weight
    if isinstance(module, _TRANSPOSED):
        return by_filter(module.weight, module.groups)
    if isinstance(module, nn.Linear):
        shape = arrangement(subject, name)
        return module.weight.reshape(len(module.weight), *shape)
    dense = [key for key, other in named_modules(subject.model).items() if isinstance(other, nn.Linear)]
    near = nearest(name, [*known, *dense]) or " Those of a function are found by its call: conv2d@1."
    raise ConfigError(f"{name} has no kernels.{near}")


def by_filter(weight: Tensor, groups: int) -> Tensor:
    """The kernels of a transposed convolution, ``(I, O / groups, …)``, as ``(O, I / groups, …)``."""
    inputs, outputs = weight.shape[:2]
    parts = weight.reshape(groups, inputs // groups, outputs, *weight.shape[2:])
    return parts.transpose(1, 2).reshape(groups * outputs, inputs // groups, *weight.shape[2:])


def _called(subject: Subject, name: str) -> Tensor:
    """What a call of a function is given for a kernel."""
    address = f"{name}:input2"
    blank = torch.zeros(1, *subject.input_shape, dtype=torch.uint8)
    with capture(subject.model, [address]) as outputs:
        return outputs(subject.filled(subject.inputs(blank)))[address]


def _refuse_nan(subject: Subject, name: str, weights: Tensor) -> None:
    bad = ~weights.isfinite()
    if bad.any():
        unit = int(bad.flatten(1).any(1).nonzero()[0])
        many = f"{int(bad.sum()):,} of {math.prod(weights.shape):,}"
        raise DataError(
            f"{subject.name}: {many} weights of {name} are NaN or infinite, first in unit {unit}. "
            "Take weights from before it diverged."
        )

"""Kernels: the weights of convolutions, as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from cutaway.errors import ConfigError, NotFoundError, nearest
from cutaway.nets.subject import Subject


@dataclass(frozen=True)
class Kernels:
    """The kernels of some convolutions.

    Args:
        layers: for each layer ``(filters, channels, height, width)``, float32 on the CPU.
        subject: the subject's name.
    """

    layers: Mapping[str, Tensor]
    subject: str = ""


def kernels(subject: Subject, layers: Sequence[str] | None = None) -> Kernels:
    """The kernels of ``layers``; of all convolutions when not given.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: a layer is no convolution, or there is none.
    """
    modules = {name: module for name, module in subject.model.named_modules() if name}
    convs = [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]
    if not convs:
        raise ConfigError(f"{subject.name} has no convolution, so no kernels.")
    found: dict[str, Tensor] = {}
    for name in convs if layers is None else layers:
        if name not in modules:
            raise NotFoundError(f'There is no layer "{name}".{nearest(name, convs)}')
        module = modules[name]
        if not isinstance(module, nn.Conv2d):
            raise ConfigError(f"{name} is no convolution.{nearest(name, convs)}")
        found[name] = module.weight.detach().float().cpu().clone().contiguous()
    return Kernels(found, subject.name)

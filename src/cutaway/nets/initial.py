"""What weights begin as: named rules, a layer at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from itertools import pairwise

import torch
from torch import Tensor, nn

from cutaway.config import InitKind, derive
from cutaway.errors import ConfigError, nearest
from cutaway.nets.builder import Net
from cutaway.nets.plan import LayerPlan
from cutaway.nets.whitening import whitening_kernels
from cutaway.nets.words import AvgPool, MaxPool
from cutaway.registry import Registry

Rule = Callable[[Tensor, int, int], None]
"""Fills a kernel in place, given the numbers of inputs and of outputs of a unit."""

RULES: Registry[Rule] = Registry("initialisation")


def initialise(
    net: Net, kinds: Mapping[str, InitKind], seed: int, moments: Mapping[str, Tensor] | None = None
) -> None:
    """Fill the kernels of the layers that ``kinds`` names; their biases become zero.

    Each layer draws from a stream of its own: how one begins does not depend on the others.

    Args:
        net: as it was built; layers that are not named stay so.
        kinds: by a layer's dotted name, or a pattern such as ``conv*``; the last one that fits counts.
        seed: of all streams.
        moments: for each layer that whitens, of the patches that it sees (:func:`patch_moment`).

    Raises:
        ConfigError: a pattern fits no layer with a kernel.
    """
    kernels = _kernels(net)
    chosen = chosen_rules(net, kinds)
    pools = _pools(net.plan.rows)
    with torch.no_grad():
        for name, module in kernels.items():
            kind = chosen[name]
            if kind is InitKind.TORCH:
                continue
            taps = math.prod(module.weight.shape[2:])
            inputs, outputs = module.weight.shape[1] * taps, module.weight.shape[0] * taps
            if kind is InitKind.THEANO:
                outputs //= pools.get(name, 1)
            if kind is InitKind.WHITEN:
                found = whitening_kernels((moments or {})[name], len(module.weight))
                module.weight.copy_(found.reshape(module.weight.shape))
            else:
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(derive(seed, "init", name))
                    RULES[kind](module.weight, inputs, outputs)
            if module.bias is not None:
                module.bias.zero_()


def chosen_rules(net: nn.Module, kinds: Mapping[str, InitKind]) -> dict[str, InitKind]:
    """The rule of every layer with a kernel, by its dotted name.

    Raises:
        ConfigError: a pattern fits no layer with a kernel.
    """
    kernels = _kernels(net)
    for pattern in kinds:
        if not any(fnmatchcase(name, pattern) for name in kernels):
            raise ConfigError(
                f'init: no layer with a kernel is called "{pattern}".{nearest(pattern, kernels)}'
            )
    return {
        name: next((kinds[p] for p in reversed(list(kinds)) if fnmatchcase(name, p)), InitKind.TORCH)
        for name in kernels
    }


def _kernels(net: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    return {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


def _pools(rows: tuple[LayerPlan, ...]) -> dict[str, int]:
    """Values that the pool behind each layer makes one of, where it follows at once."""
    found = {}
    for row, following in pairwise(rows):
        word = following.layer.word
        if isinstance(word, MaxPool | AvgPool):
            found[row.name] = math.prod(word.size)
    return found


@RULES.add(InitKind.THEANO)
@RULES.add(InitKind.XAVIER)
def _xavier(weight: Tensor, inputs: int, outputs: int) -> None:
    """Uniform up to √(6 / (inputs + outputs)). Glorot and Bengio, 2010.

    The Theano tutorial's LeNet divides the outputs by the size of the pool that follows.
    """
    bound = math.sqrt(6 / (inputs + outputs))
    weight.uniform_(-bound, bound)


@RULES.add(InitKind.HE)
def _he(weight: Tensor, inputs: int, outputs: int) -> None:
    """Normal with deviation √(2 / inputs), for ReLU. He et al., 2015."""
    del outputs
    weight.normal_(0, math.sqrt(2 / inputs))


@RULES.add(InitKind.LECUN)
def _lecun(weight: Tensor, inputs: int, outputs: int) -> None:
    """Normal with deviation √(1 / inputs). LeCun et al., "Efficient BackProp", 1998."""
    del outputs
    weight.normal_(0, math.sqrt(1 / inputs))


@RULES.add(InitKind.ORTHOGONAL)
def _orthogonal(weight: Tensor, inputs: int, outputs: int) -> None:
    """A random orthogonal matrix of units by inputs. Saxe et al., 2014."""
    del inputs, outputs
    nn.init.orthogonal_(weight)


@RULES.add(InitKind.NORMAL)
def _normal(weight: Tensor, inputs: int, outputs: int) -> None:
    """Normal with deviation 0.01, as AlexNet's. Krizhevsky et al., 2012."""
    del inputs, outputs
    weight.normal_(0, 0.01)


@RULES.add(InitKind.DIRAC)
def _dirac(weight: Tensor, inputs: int, outputs: int) -> None:
    """Units that pass on an input each, as many as there are; the others as LeCun's.

    A layer that begins with nearly the identity is learnt through sooner. Zagoruyko and Komodakis,
    "DiracNets", 2017.
    """
    _lecun(weight, inputs, outputs)
    passing = weight[: weight.shape[1]].zero_()
    middle = [side // 2 for side in weight.shape[2:]]
    for unit in range(len(passing)):
        passing[(unit, unit, *middle)] = 1

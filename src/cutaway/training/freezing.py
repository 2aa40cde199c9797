"""Which layers learn, and until when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from torch import nn

from cutaway.config import TrainConfig
from cutaway.errors import ConfigError, nearest
from cutaway.nets import LayerPlan, Plan
from cutaway.nets.builder import Net


class Freezing:
    """The layers of a net that a recipe keeps from learning.

    A layer is named by itself, by the block that it lies in, or by a pattern such as ``conv*``. A
    frozen batch norm keeps its means and variances too.

    Args:
        recipe: has ``freeze``, ``freeze_after`` and ``train_only``.
        plan: the net.

    Raises:
        ConfigError: a name fits no layer with parameters, or nothing is left to learn in some epoch.
    """

    def __init__(self, recipe: TrainConfig, plan: Plan) -> None:
        names = list(_learning(plan.rows, ""))
        self._until: dict[str, int] = {}
        for name in _fitting(recipe.freeze, names, "freeze"):
            self._until[name] = 0
        if recipe.train_only:
            wanted = set(_fitting(recipe.train_only, names, "train_only"))
            self._until |= {name: 0 for name in names if name not in wanted}
        for pattern, epochs in recipe.freeze_after.items():
            for name in _fitting([pattern], names, "freeze_after"):
                self._until[name] = min(epochs, self._until.get(name, epochs))
        _check_learning([self._until.get(name, recipe.epochs) for name in names], recipe.epochs)

    def __bool__(self) -> bool:
        """Whether any layer is ever frozen."""
        return bool(self._until)

    def frozen(self, epoch: int) -> list[str]:
        """The dotted names of the layers that stay as they are in an epoch, counted from 0."""
        return [name for name, until in self._until.items() if epoch >= until]

    def apply(self, net: Net, epoch: int) -> None:
        """Prepare a net in training mode for an epoch, counted from 0."""
        for name in self.frozen(epoch):
            module = net.get_submodule(name)
            module.requires_grad_(requires_grad=False)
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def _check_learning(until: list[int], epochs: int) -> None:
    """In every epoch there should be a layer that learns; ``until`` is when each has learnt enough."""
    if not until or max(until) >= epochs:
        return
    last = max(until)
    if not last:
        raise ConfigError(
            "train.freeze and train.train_only leave no layer to learn. Free one, or set train.epochs to 0."
        )
    raise ConfigError(
        "train.freeze, train.freeze_after and train.train_only leave no layer to learn from "
        f"epoch {last + 1} on. Free one, or set train.epochs to {last}."
    )


def _learning(rows: Iterable[LayerPlan], prefix: str) -> Iterator[str]:
    """The dotted names of all layers with parameters of their own."""
    for row in rows:
        inner = [*(part for branch in row.branches for part in branch), *row.tail]
        if inner:
            yield from _learning(inner, f"{prefix}{row.layer.name}.")
        elif row.parameters:
            yield f"{prefix}{row.layer.name}"


def _fitting(patterns: Iterable[str], names: list[str], field: str) -> Iterator[str]:
    for pattern in patterns:
        found = [name for name in names if any(fnmatchcase(part, pattern) for part in _lineage(name))]
        if not found:
            raise ConfigError(
                f'train.{field}: no layer with parameters is called "{pattern}".{nearest(pattern, names)}'
            )
        yield from found


def _lineage(name: str) -> Iterator[str]:
    """A layer's name, and those of the blocks that it lies in."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        yield ".".join(parts[:count])

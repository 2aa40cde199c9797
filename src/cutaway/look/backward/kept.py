"""Kept values: what a backward pass will need, as it was, whatever the model writes over it meanwhile."""

from __future__ import annotations

from collections import defaultdict
from weakref import WeakSet

from torch import Tensor

from cutaway.errors import ConfigError


class Kept:
    """A value as it was when it was kept; a copy of it only where the model writes over it."""

    def __init__(self, value: Tensor) -> None:
        self._value = value.detach()
        self._version = value._version

    def value(self) -> Tensor:
        """The value.

        Raises:
            ConfigError: it was changed by something that no mode sees.
        """
        if self._value._version != self._version:
            raise ConfigError(
                "LRP needs a value that the model changes in place where it can't be seen, such as in "
                "a function of its own; take that out."
            )
        return self._value

    def copy(self) -> None:
        """Have a copy from now on, before the value is overwritten."""
        if self._value._version == self._version:
            self._value = self._value.clone()
            self._version = self._value._version


class Keeper:
    """Everything that is kept of one forward pass."""

    def __init__(self) -> None:
        # By memory: a view that is written to changes all that lies there.
        self._kept: defaultdict[int, WeakSet[Kept]] = defaultdict(WeakSet)

    def keep(self, value: Tensor) -> Kept:
        """Keep a value."""
        kept = Kept(value)
        self._kept[value.untyped_storage().data_ptr()].add(kept)
        return kept

    def before_write(self, value: Tensor) -> None:
        """Copy what lies where something is about to be written."""
        for kept in self._kept.pop(value.untyped_storage().data_ptr(), ()):
            kept.copy()

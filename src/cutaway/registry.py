"""The one kind of registry: a decorator and a dict.

Command-line choices, page menus and the lists in error messages come from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from cutaway.errors import ConfigError, CutawayError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one kind, in the order of their registration.

    Args:
        kind: what one entry is called in messages, such as "net" or "source".
        error: raised for an unknown name.
    """

    def __init__(self, kind: str, error: type[CutawayError] = ConfigError) -> None:
        self.kind = kind
        self._error = error
        self._entries: dict[str, T] = {}

    def add(self, name: str) -> Callable[[T], T]:
        """A decorator that registers what it decorates under ``name``.

        Raises:
            ValueError: the name is taken; two entries of one name are a mistake in the code.
        """

        def register(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"two entries called {name!r} in the registry of {self.kind}s")
            self._entries[name] = entry
            return entry

        return register

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise self._error(f'There is no {self.kind} "{name}".{nearest(name, self._entries)}')
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

"""How long work tells how far it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is.

    Args:
        what: what is done, such as "Decoding".
        done: units that are done.
        total: units in all; 0 where nobody knows.
        unit: what is counted, such as "images".
    """

    what: str
    done: int
    total: int
    unit: str


Listener = Callable[[Progress], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Inside, all work tells its progress to ``listener``."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def tracked(what: str, total: int = 0, unit: str = "") -> Iterator[Callable[[int], None]]:
    """Tell of a piece of work: its beginning, and each time the yielded function is called with a number.

    Args:
        what: what is done.
        total: units in all; 0 where nobody knows.
        unit: what is counted.

    Yields:
        a function that adds to the units that are done.
    """
    listener = _listener.get()
    done = 0

    def add(count: int) -> None:
        nonlocal done
        done += count
        if listener:
            listener(Progress(what, done, total, unit))

    add(0)
    yield add

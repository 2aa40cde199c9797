"""Stopping at a step's end when the user asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """A request that a training asks after at every step: ``stop()`` is true once it is made."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> bool:
        """Whether somebody asked."""
        return self.requested


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Inside, the first Ctrl-C or SIGTERM asks to stop and the second Ctrl-C stops at once.

    A step is never torn: the request is only read between steps. Outside the main thread, where
    Python allows no handlers, nothing is installed.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        stop.requested = True
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

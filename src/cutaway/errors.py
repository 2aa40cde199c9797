"""What can go wrong, and the exit code that each kind ends the command line with.

A message is one or two lines: what is wrong, then what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CutawayError(Exception):
    """Something failed that the user can mend; the message says how. Exit code 1."""

    exit_code = 1


class ConfigError(CutawayError):
    """A wrong argument, experiment or net description. Exit code 2."""

    exit_code = 2


class NotFoundError(CutawayError):
    """A run, source, net, layer or file that is not there. Exit code 3."""

    exit_code = 3


class DataError(CutawayError):
    """Data that is missing, damaged or does not fit together. Exit code 1."""


class StoreError(CutawayError):
    """The store could not be read or written; what was there is kept. Exit code 1."""


class DivergedError(CutawayError):
    """Training met a value that is not finite. Exit code 1."""


class LostProcessError(CutawayError):
    """One of several processes that train together is gone. Exit code 1."""


class InterruptedRunError(CutawayError):
    """The user stopped a run; it can be resumed. Exit code 130, as shells give for Ctrl-C."""

    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an "unknown NAME" message: the nearest known name, and all of them.

    Case is ignored in looking for the nearest. With nothing known, an empty string.
    """
    names = sorted(known)
    lower = {n.lower(): n for n in names}
    close = get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    hint = f' Did you mean "{lower[close[0]]}"?' if close else ""
    return f"{hint} Known: {', '.join(names)}." if names else ""

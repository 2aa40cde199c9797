"""What a local worker loads first: Ctrl-C in a terminal reaches it too, but it is the study that answers."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Called by Dask in a worker that begins: the study asks it to pause, and then ends it."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)

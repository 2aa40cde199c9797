"""Where a training runs, and on how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cutaway.errors import ConfigError
from cutaway.machine import available_cores


def choose_device(name: str, number: int = 0) -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; auto takes a GPU if there is one.

    Args:
        name: as in an experiment.
        number: this process's among those of the machine, which then has a GPU of its own.

    Raises:
        ConfigError: this machine has no such GPU.
    """
    count = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if count else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and device.index is None and number and count:
        return torch.device("cuda", number % count)
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ConfigError(f"train.device is {name}, but PyTorch sees {count} GPUs here. Use auto or cpu.")
    return device


@contextmanager
def threads(count: int, processes: int = 1) -> Iterator[int]:
    """Inside, PyTorch computes on ``count`` threads (0: one a core); behind, on as many as before.

    ``processes`` of a machine share its cores.

    Yields:
        the number of threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or max(1, available_cores() // processes))
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)

"""Devices, threads and kept memory: chosen, and put back."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from cutaway.errors import ConfigError
from cutaway.machine import available_cores
from cutaway.training.allocator import freed_memory
from cutaway.training.device import choose_device, threads


def test_auto_takes_what_is_there() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu").type == "cpu"


def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="cuda:97"):
        choose_device("cuda:97")


def test_threads_are_put_back_also_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), threads(1) as count:
        assert count == torch.get_num_threads() == 1
        raise RuntimeError
    assert torch.get_num_threads() == before
    with threads(0) as count:
        assert count == available_cores()


def test_memory_is_kept_where_there_is_glibc() -> None:
    with freed_memory(kept=True) as kept:
        assert kept == (platform.libc_ver()[0] == "glibc")
        assert float(torch.ones(1000, 1000).sum()) == 1e6


GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no mallopt")


FREED = """
from pathlib import Path
import torch
from cutaway.training.allocator import freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

for kept in (False, True):
    with freed_memory(kept=kept):
        before = resident()
        blocks = [torch.ones(1 << 19) for _ in range(100)]
        pin = torch.ones(1 << 14)  # what lies above what is freed keeps a heap from shrinking
        full = resident()
        del blocks
        freed = resident()
    print(full - before, freed - before, resident() - before)
"""
"""200 MiB in blocks of 2 MiB, as the maps of a step are, taken and freed."""


@GLIBC
def test_freed_memory_stays_or_goes_back() -> None:
    """In a process of its own: where much was freed before, blocks are taken from what is left of it."""
    found = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    (full, freed, behind), kept = (list(map(int, line.split())) for line in found.stdout.splitlines())
    assert min(full, kept[0]) > 190
    assert freed < 10
    assert kept[1] > 190
    # Behind it, everything that is free has gone back.
    assert max(behind, kept[2]) < 10


@GLIBC
@pytest.mark.parametrize("kept", [True, False])
def test_the_allocator_is_put_back_also_after_an_error(monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    options: dict[int, int] = {}

    class Libc:
        def __init__(self, name: None) -> None:
            self.malloc_trim: Callable[[int], int] = lambda pad: 1

        def mallopt(self, option: int, value: int) -> int:
            options[option] = value
            return 1

    monkeypatch.setattr(ctypes, "CDLL", Libc)
    with pytest.raises(RuntimeError), freed_memory(kept=kept):
        changed = dict(options)
        raise RuntimeError
    # glibc's own values; once set, its threshold no longer adapts, so all have to be told.
    assert options == {-4: 65536, -3: 128 << 10, -1: 128 << 10, -2: 128 << 10}
    assert changed != options
    assert (changed[-4] == 0) == kept

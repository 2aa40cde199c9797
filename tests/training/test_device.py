"""Devices, threads and kept memory: chosen, and put back."""

from __future__ import annotations

import platform

import pytest
import torch

from cutaway.errors import ConfigError
from cutaway.training.allocator import freed_memory
from cutaway.training.device import available_threads, choose_device, threads


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
        assert count == available_threads()


def test_memory_is_kept_where_there_is_glibc() -> None:
    with freed_memory(kept=True) as kept:
        assert kept == (platform.libc_ver()[0] == "glibc")
        assert float(torch.ones(1000, 1000).sum()) == 1e6

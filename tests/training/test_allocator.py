"""Freed memory: a large block goes back to the kernel at once where it is not to be kept."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import sys, torch
from cutaway.training.allocator import freed_memory
from cutaway.training.room import resident_memory
with freed_memory(kept=sys.argv[1] == "kept"):
    # Many blocks of 2 MiB with small ones between them, so that a heap could not give them back.
    blocks = [(torch.ones(2 << 18), torch.ones(20_000)) for _ in range(60)]
    before = resident_memory()
    pins = [small for _, small in blocks]
    del blocks
    print((before - resident_memory()) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's settings")
@pytest.mark.parametrize(("how", "least", "most"), [("kept", 0, 20), ("returned", 100, 130)])
def test_blocks_stay_or_go(how: str, least: int, most: int) -> None:
    command = [sys.executable, "-c", CODE, how]
    freed = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert least <= freed <= most

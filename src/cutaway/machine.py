"""What the machine lets this process have."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path


def processes() -> tuple[int, int]:
    """This process's number among those that ``torchrun`` started, and how many they are; else 0 and 1."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def available_cores() -> int:
    """The cores that this process may use, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name, such as "AMD EPYC-Milan Processor"; its kind where the system says no more."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()

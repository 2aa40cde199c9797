"""What the machine lets this process have."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def processes() -> tuple[int, int]:
    """This process's number among those that ``torchrun`` started, and how many they are; else 0 and 1."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def available_cores() -> int:
    """The cores that this process may use: in a container perhaps few, or a part of their time."""
    told = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([told, *_quotas()]))


def processor() -> str:
    """The processor's name, such as "AMD EPYC-Milan Processor"; its kind where the system says no more."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def free_memory() -> int:
    """Bytes that this process may still take: the machine's, or its control groups' where that is less."""
    free = [_meminfo("MemAvailable")]
    for group in _control_groups("memory"):
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            bounds = _number(group / limit), _number(group / used)
            if bounds[0] is not None and bounds[1] is not None:
                free.append(bounds[0] - bounds[1] + _cached(group / "memory.stat"))
    return max(0, min(free))


def resident_memory() -> int:
    """Bytes of this process that lie in memory now; 0 where the system does not say."""
    pages = _number(Path("/proc/self/statm"), 1)
    return 0 if pages is None else pages * os.sysconf("SC_PAGE_SIZE")


def _control_groups(kind: str) -> Iterator[Path]:
    """The folders of the control groups that limit this process, from its own to the outermost.

    Every one on the way limits it. A container may see its group at the top, and still be told its path
    on the host: what is not there is passed over.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    top = Path("/sys/fs/cgroup")
    found = [(top, "/"), (top / kind, "/")]
    for line in lines:
        _, kinds, path = (*line.split(":", 2), "", "")[:3]
        if not kinds:  # version 2 has one tree for everything
            found.append((top, path))
        elif kind in kinds.split(","):
            found.append((top / kind, path))
    seen = set()
    for tree, path in found:
        group = tree.joinpath(*(part for part in path.split("/") if part not in {"", ".."}))
        while group not in seen:
            seen.add(group)
            if group.is_dir():
                yield group
            if group == tree:
                break
            group = group.parent


def _quotas() -> Iterator[int]:
    """Cores' worth of time that control groups let this process have, begun ones counted whole."""
    for group in _control_groups("cpu"):
        for quota, period in (
            (_number(group / "cpu.max"), _number(group / "cpu.max", 1)),
            (_number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")),
        ):
            if quota and period:
                yield -(-quota // period)


def _meminfo(key: str) -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 1 << 62  # a system that does not say: no limit


def _cached(path: Path) -> int:
    """Bytes of files that a control group has read and would give up at once; they count as used."""
    try:
        counts = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return 0
    # The first is of the whole hierarchy, in version 1; version 2 has only the other.
    found = counts.get("total_inactive_file", counts.get("inactive_file", "0"))
    return int(found) if found.isdigit() else 0


def _number(path: Path, place: int = 0) -> int | None:
    try:
        text = path.read_text(encoding="ascii").split()[place]
    except (OSError, IndexError):
        return None
    return int(text) if text.isdigit() else None

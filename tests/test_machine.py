"""What the machine lets a process have, read from files like those of the system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cutaway import machine as machine_module
from cutaway.machine import available_cores, free_memory, resident_memory

V1 = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes")
V2 = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current")
GIB = 1 << 30
MEMINFO = "MemTotal:       33554432 kB\nMemFree:          1048576 kB\nMemAvailable:   16777216 kB\n"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Writes files of a machine with 16 GiB to spare, which are then read."""
    monkeypatch.setattr(machine_module, "Path", lambda text: tmp_path / str(text).lstrip("/"))

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")

    write({"proc/meminfo": MEMINFO})
    return write


def test_without_a_control_group_the_machines_memory_counts(machine: Any) -> None:
    assert free_memory() == 16 * GIB


@pytest.mark.parametrize("names", [V1, V2])
def test_a_control_groups_limit_counts(machine: Any, names: tuple[str, str]) -> None:
    machine({names[0]: f"{4 * GIB}\n", names[1]: f"{GIB}\n"})
    assert free_memory() == 3 * GIB
    machine({names[1]: f"{5 * GIB}\n"})
    assert free_memory() == 0


@pytest.mark.parametrize("limit", ["max\n", f"{2**63 - 4096}\n"])
@pytest.mark.parametrize("names", [V1, V2])
def test_a_control_group_without_a_limit(machine: Any, names: tuple[str, str], limit: str) -> None:
    machine({names[0]: limit, names[1]: f"{GIB}\n"})
    assert free_memory() == 16 * GIB


@pytest.mark.parametrize("files", [{V2[0]: f"{GIB}\n"}, {V2[1]: f"{GIB}\n"}, {V2[0]: "", V2[1]: "1\n"}])
def test_half_of_what_a_control_group_should_say(machine: Any, files: dict[str, str]) -> None:
    machine(files)
    assert free_memory() == 16 * GIB


# Files that were read stay in the page cache, which counts as used by the group, but is given up
# as soon as memory is wanted: a training would be refused or cut for a large dataset read before.
def test_cached_files_of_a_control_group_are_free(machine: Any) -> None:
    machine({V2[0]: f"{4 * GIB}\n", V2[1]: f"{3 * GIB}\n"})
    machine({"sys/fs/cgroup/memory.stat": f"anon {GIB}\nfile {2 * GIB}\ninactive_file {2 * GIB}\n"})
    assert free_memory() == 3 * GIB


def test_a_system_that_does_not_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine_module, "Path", lambda text: tmp_path / "gone")
    assert free_memory() > 1 << 50
    monkeypatch.undo()
    monkeypatch.setattr(machine_module, "Path", lambda text: tmp_path / "gone")
    assert resident_memory() == 0


def test_this_very_machine() -> None:
    if not Path("/proc/self/status").is_file():
        pytest.skip("no /proc")
    assert 0 < free_memory() < 1 << 50
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (told,) = [int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS")]
    assert resident_memory() == pytest.approx(told, rel=0.05)


# A process is often in a group below the top one: a batch system's job, a unit of systemd, a container that
# sees the host's tree.
@pytest.mark.parametrize(
    ("told", "group", "names"),
    [
        ("0::/user.slice/job.scope\n", "sys/fs/cgroup/user.slice/job.scope", V2),
        ("7:pids:/\n4:memory:/slurm/job_1\n0::/\n", "sys/fs/cgroup/memory/slurm/job_1", V1),
        ("0::/../../job.scope\n", "sys/fs/cgroup/job.scope", V2),
    ],
)
def test_the_limit_of_its_own_group_counts(
    machine: Any, told: str, group: str, names: tuple[str, str]
) -> None:
    limit, used = (f"{group}/{Path(name).name}" for name in names)
    machine({"proc/self/cgroup": told, limit: f"{4 * GIB}\n", used: f"{GIB}\n"})
    assert free_memory() == 3 * GIB


def test_the_least_of_all_groups_on_the_way_counts(machine: Any) -> None:
    machine({"proc/self/cgroup": "0::/a/b\n"})
    for group, limit in (("a/b", "max"), ("a", str(5 * GIB)), ("", str(9 * GIB))):
        machine(
            {f"sys/fs/cgroup/{group}/memory.max": limit, f"sys/fs/cgroup/{group}/memory.current": f"{GIB}"}
        )
    assert free_memory() == 4 * GIB


def test_a_group_that_is_told_by_its_path_on_the_host(machine: Any) -> None:
    machine({"proc/self/cgroup": "4:memory:/docker/0123\n", V1[0]: f"{2 * GIB}\n", V1[1]: "0\n"})
    assert free_memory() == 2 * GIB


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 64),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
    ],
)
def test_a_part_of_the_cores_time(
    monkeypatch: pytest.MonkeyPatch, machine: Any, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    machine({f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    assert available_cores() == cores

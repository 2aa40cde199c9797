"""How much memory there is, and how a batch is cut to fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway.config import Experiment, load_experiment
from cutaway.errors import ConfigError
from cutaway.nets import Plan, inference_memory, parse_net, plan, training_memory
from cutaway.training import room
from cutaway.training.room import PROGRAM, Room, find_room, free_memory, resident_memory

CPU = torch.device("cpu")
PLAIN = plan(parse_net("conv 8 5x5 | relu | maxpool 2 | flatten | dense 10"), (1, 28, 28))
NORMED = plan(parse_net("conv 8 5x5 | eyes: batchnorm | relu | residual 8 | flatten | dense 10"), (1, 28, 28))
RESIDENT = 300 << 20


@pytest.fixture(autouse=True)
def _resident(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process has taken already, the same on every machine."""
    monkeypatch.setattr(room, "resident_memory", lambda: RESIDENT)


def found(planned: Plan, spare: float, **recipe: Any) -> Room:
    """The room where ``spare`` bytes are left for the net, in a limit on the whole process."""
    memory = f"{int(spare / 0.95) + 1 + RESIDENT + PROGRAM}"
    experiment = load_experiment(Experiment(), {"train": {"memory": f'"{memory}"', **recipe}})
    return find_room(experiment.train, planned, CPU)


def takes(planned: Plan, images: int, states: int = 1) -> int:
    return training_memory(planned, images, states).total


def test_a_batch_that_fits_goes_whole() -> None:
    for batch in (1, 33, 128):
        found_room = found(PLAIN, takes(PLAIN, batch), batch=batch)
        assert found_room.microbatch == batch
        assert takes(PLAIN, batch) <= found_room.limit <= takes(PLAIN, batch) + 2
        assert not found_room.roomy


def test_a_byte_less_and_it_is_cut_in_two() -> None:
    assert found(PLAIN, takes(PLAIN, 33) - 4, batch=33).microbatch == 17


@given(st.integers(1, 40), st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_parts_are_as_few_as_fit_and_about_equal(fitting: int, batch: int) -> None:
    recipe = {"batch": batch, "microbatch": fitting}
    experiment = load_experiment(Experiment(), {"train": recipe})
    microbatch = find_room(experiment.train, PLAIN, CPU).microbatch
    least = -(-batch // min(fitting, batch))
    sizes = [len(range(begin, min(begin + microbatch, batch))) for begin in range(0, batch, microbatch)]
    assert max(sizes) <= fitting
    assert len(sizes) <= least
    # The smallest number that does in so many parts: none is much smaller than the others.
    assert -(-batch // max(1, microbatch - 1)) > least or microbatch == 1


@pytest.mark.parametrize("fitting", [1, 2, 5, 16, 32])
def test_memory_decides_the_parts(fitting: int) -> None:
    found_room = found(PLAIN, takes(PLAIN, fitting), batch=33)
    parts = -(-33 // fitting)
    assert found_room.microbatch == -(-33 // parts)
    assert takes(PLAIN, found_room.microbatch) <= found_room.limit


@pytest.mark.parametrize(
    ("recipe", "states"),
    [
        ({"optimiser": "sgd", "momentum": 0}, 0),
        ({"optimiser": "sgd"}, 1),
        ({"optimiser": "adam"}, 2),
        ({"optimiser": "adamw", "momentum": 0}, 2),
    ],
)
def test_what_the_optimiser_remembers_is_counted(recipe: dict[str, Any], states: int) -> None:
    assert found(PLAIN, takes(PLAIN, 33, states), batch=33, **recipe).microbatch == 33
    assert found(PLAIN, takes(PLAIN, 33, states) - 4, batch=33, **recipe).microbatch == 17


def test_not_even_one_image() -> None:
    with pytest.raises(ConfigError, match=r"One image needs .* in training, but .* are left") as caught:
        found(PLAIN, takes(PLAIN, 1) - 4, batch=33)
    assert "Give more --memory, or take a smaller net or image." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_less_memory_than_the_process_has_taken() -> None:
    experiment = load_experiment(Experiment(), {"train": {"memory": "100MiB"}})
    with pytest.raises(ConfigError, match="but the process itself takes all there is"):
        find_room(experiment.train, PLAIN, CPU)


def test_batch_norm_is_not_cut() -> None:
    with pytest.raises(ConfigError) as caught:
        found(NORMED, takes(NORMED, 20), batch=33)
    message = str(caught.value)
    assert "A batch of 33 does not fit, 17 would; but eyes takes its mean over the whole batch." in message
    for way in ("--train.batch 17", "more --memory", "--train.split_batchnorm true"):
        assert way in message
    assert "\n" not in message
    # Each way out is one.
    assert found(NORMED, takes(NORMED, 20), batch=17).microbatch == 17
    assert found(NORMED, takes(NORMED, 33), batch=33).microbatch == 33
    assert found(NORMED, takes(NORMED, 20), batch=33, split_batchnorm=True).microbatch == 17


def test_batch_norm_inside_a_block_is_seen() -> None:
    planned = plan(parse_net("residual 8 | flatten | dense 10"), (1, 8, 8))
    with pytest.raises(ConfigError, match=r"but residual1\.batchnorm1 takes its mean"):
        found(planned, takes(planned, 20), batch=33)


def test_a_microbatch_that_was_asked_for() -> None:
    whole = 10 * takes(PLAIN, 33)
    assert found(PLAIN, whole, batch=33, microbatch=7).microbatch == 7
    assert found(PLAIN, whole, batch=33, microbatch=30).microbatch == 17
    assert found(PLAIN, whole, batch=33, microbatch=33).microbatch == 33
    assert found(PLAIN, whole, batch=33, microbatch=1000).microbatch == 33
    # Also where fewer images would fit: a run is continued with the sums that it began with.
    assert found(PLAIN, takes(PLAIN, 3), batch=33, microbatch=7).microbatch == 7
    with pytest.raises(ConfigError, match="7 would; but eyes"):
        found(NORMED, 10 * takes(NORMED, 33), batch=33, microbatch=7)


def test_scoring_goes_in_chunks_that_fit() -> None:
    limit = takes(PLAIN, 20)
    chunk = found(PLAIN, limit, batch=20).chunk
    assert 20 < chunk < 100
    assert inference_memory(PLAIN, chunk).total <= limit + 2 < inference_memory(PLAIN, chunk + 1).total
    assert found(PLAIN, 100 * limit, batch=20).chunk == 100
    assert found(PLAIN, takes(PLAIN, 1), batch=20).chunk >= 1


def test_scoring_takes_no_more_than_a_step_unless_that_is_little() -> None:
    for batch in (1, 33, 128, 400, 4000):
        chunk = found(PLAIN, 1 << 39, batch=batch).chunk
        assert 100 <= chunk <= 500
        inside = inference_memory(PLAIN, chunk).total <= takes(PLAIN, batch)
        assert inside or chunk == 100
        assert chunk == 500 or inference_memory(PLAIN, chunk + 1).total > takes(PLAIN, batch)
    assert found(PLAIN, 1 << 39, batch=1).chunk == 100
    assert found(PLAIN, 1 << 39, batch=4000).chunk == 500


def test_freed_memory_is_kept_where_twice_as_much_is_there() -> None:
    chunk = found(PLAIN, 1 << 39, batch=128).chunk
    most = max(takes(PLAIN, 128), inference_memory(PLAIN, chunk).total + 4 * PLAIN.parameters)
    assert not found(PLAIN, 2 * most - 4, batch=128).roomy
    assert found(PLAIN, 2 * most, batch=128).roomy


def test_auto_is_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_experiment(Experiment(), {"train": {"batch": 33}}).train
    monkeypatch.setattr(room, "free_memory", lambda: 10 << 30)
    whole = find_room(recipe, PLAIN, CPU)
    assert whole.limit == int(0.95 * ((10 << 30) - PROGRAM))
    assert (whole.microbatch, whole.chunk, whole.roomy) == (33, 100, True)
    # What the process has taken is not free any more: it is not taken off twice.
    monkeypatch.setattr(room, "free_memory", lambda: PROGRAM + int(takes(PLAIN, 20) / 0.95) + 1)
    assert find_room(recipe, PLAIN, CPU).microbatch == 17
    monkeypatch.setattr(room, "free_memory", lambda: 0)
    with pytest.raises(ConfigError, match="but the process itself takes all there is"):
        find_room(recipe, PLAIN, CPU)


# What the machine says. ---------------------------------------------------------------------------

V1 = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes")
V2 = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current")
GIB = 1 << 30
MEMINFO = "MemTotal:       33554432 kB\nMemFree:          1048576 kB\nMemAvailable:   16777216 kB\n"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Writes files of a machine with 16 GiB to spare, which the room then reads."""
    monkeypatch.setattr(room, "Path", lambda text: tmp_path / str(text).lstrip("/"))

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
    monkeypatch.setattr(room, "Path", lambda text: tmp_path / "gone")
    assert free_memory() > 1 << 50
    monkeypatch.undo()
    monkeypatch.setattr(room, "Path", lambda text: tmp_path / "gone")
    assert resident_memory() == 0


def test_this_very_machine() -> None:
    if not Path("/proc/self/status").is_file():
        pytest.skip("no /proc")
    assert 0 < free_memory() < 1 << 50
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (told,) = [int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS")]
    assert resident_memory() == pytest.approx(told, rel=0.05)

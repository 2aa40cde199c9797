"""Event files, read back by a reader of our own: lengths, checksums and protocol buffers by hand."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from cutaway.config import Experiment, load_experiment
from cutaway.data.idx import write_idx
from cutaway.errors import ConfigError, StoreError
from cutaway.store import Run, Store, resume, train
from cutaway.store.tensorboard import BoardLog
from cutaway.training import EpochDone, Event, StepDone

Command = Callable[..., tuple[int, str, str]]


@dataclass
class Told:
    """An event as it stands in a file."""

    time: float = 0.0
    step: int = 0
    version: str = ""
    log: int = 0
    values: dict[str, float] = field(default_factory=dict)


def crc32c(content: bytes) -> int:
    """Castagnoli's checksum, bit by bit: RFC 3720, appendix B.4."""
    found = 0xFFFFFFFF
    for byte in content:
        found ^= byte
        for _ in range(8):
            found = (found >> 1) ^ (0x82F63B78 if found & 1 else 0)
    return found ^ 0xFFFFFFFF


def masked(content: bytes) -> int:
    found = crc32c(content)
    return ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(content: bytes) -> Iterator[bytes]:
    """TFRecord: length uint64, its masked checksum, the bytes, their masked checksum."""
    place = 0
    while place < len(content):
        length, check = struct.unpack_from("<QI", content, place)
        assert check == masked(content[place : place + 8])
        data = content[place + 12 : place + 12 + length]
        assert len(data) == length
        assert struct.unpack_from("<I", content, place + 12 + length) == (masked(data),)
        yield data
        place += 16 + length


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The numbered fields of a message: varints, 64 bits, bytes, 32 bits."""
    place = 0

    def varint() -> int:
        nonlocal place
        found = shift = 0
        while True:
            byte = message[place]
            found |= (byte & 127) << shift
            place, shift = place + 1, shift + 7
            if byte < 128:
                return found

    while place < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        yield number, message[place : place + size]
        place += size


def read(path: Path) -> list[Told]:
    """Every event of a file; the numbers are those of event.proto and summary.proto."""
    found = []
    for record in records(path.read_bytes()):
        event = Told()
        for number, value in fields(record):
            if number == 1:
                (event.time,) = struct.unpack("<d", value)
            elif number == 2:
                event.step = value
            elif number == 3:
                event.version = value.decode()
            elif number == 7:
                event.log = dict(fields(value))[1]
            elif number == 5:
                for _, one in fields(value):
                    parts = dict(fields(one))
                    event.values[parts[1].decode()] = struct.unpack("<f", parts[2])[0]
        found.append(event)
    return found


def events(run: Run) -> list[Told]:
    """The epochs in a run's only event file, behind the two events that every such file begins with."""
    (path,) = (run.folder / "tensorboard").iterdir()
    assert path.name.startswith("events.out.tfevents.")
    first, restart, *epochs = read(path)
    assert (first.version, first.values) == ("brain.Event:2", {})
    assert (restart.log, restart.step) == (1, 0)  # START: what was seen before is forgotten
    return epochs


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def assert_all_is_told(run: Run) -> None:
    """Every epoch once, in order, with the ledger's own values."""
    told = events(run)
    measured = run.measured()
    assert [event.step for event in told] == [row.epoch for row in run.epochs()]
    seconds = run.row.created
    for event, row in zip(told, run.epochs(), strict=True):
        seconds += row.seconds
        assert event.time == pytest.approx(seconds, abs=1e-6)
        wanted = {"lr": row.lr, "images_per_second": row.images_per_second, "seconds": row.seconds}
        for split, score in row.scores.items():
            wanted[f"objective/{split}"] = score.objective
            wanted[f"top1_error/{split}"] = score.top1_error
            wanted[f"top5_error/{split}"] = score.top5_error
        steps = [
            {layer: asdict(found) for layer, found in layers.items()}
            for layers in measured[row.epoch].steps.values()
        ]
        for layer, first in steps[0].items():
            for measure in first:
                rows = [step[layer][measure] for step in steps]
                wanted[f"{measure}/{layer}"] = rows[-1] if measure == "distance" else sum(rows) / len(rows)
        for layer, units in measured[row.epoch].units.items():
            wanted |= {f"dead_units/{layer}": units.dead, f"rare_units/{layer}": units.rare}
            wanted[f"saturated_units/{layer}"] = units.saturated
        wanted = {tag: value for tag, value in wanted.items() if not math.isnan(value)}
        assert event.values == pytest.approx(wanted, rel=1e-6)


@pytest.fixture(scope="module")
def short(small: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Three epochs of four steps, few images to be scored on; one layer has no biases."""
    folder = tmp_path_factory.mktemp("digits")
    generator = torch.Generator().manual_seed(3)
    for prefix, count in (("train", 300), ("t10k", 50)):
        pixels = torch.randint(256, (count, 28, 28), generator=generator).to(torch.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte", pixels)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", (torch.arange(count) % 10).to(torch.uint8))
    return load_experiment(
        small,
        {
            "net": "conv 3 5x5 stride 2 nobias | relu | maxpool 4 | flatten | dense 10",
            "data": {"source": "idx", "path": str(folder), "train_images": 200, "validation": 100},
            "train": {"batch": 50, "epochs": 3, "checkpoint_minutes": 0},
        },
    )


def logged(store: Store) -> BoardLog:
    return BoardLog(lambda: store.find("last"))


def test_it_has_every_epoch_with_the_ledgers_values(short: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = train(short, store=store, observers=[logged(store)])
    assert_all_is_told(run)
    last = events(run)[-1].values
    assert {"objective/train", "top1_error/validation", "top5_error/test"} <= last.keys()
    assert {"weight_gradient/conv1", "update/dense1", "dead_units/relu1"} <= last.keys()
    # A layer without biases has no gradient of them: NaN would be drawn as a hole.
    assert "bias_gradient/dense1" in last
    assert "bias_gradient/conv1" not in last


def test_an_epoch_is_there_as_soon_as_it_is_done(short: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path)
    seen: list[list[int]] = []

    def look(event: Event) -> None:
        if isinstance(event, EpochDone):
            seen.append([told.step for told in events(store.find("last"))])

    train(short, store=store, observers=[logged(store), look])
    assert seen == [[1], [1, 2], [1, 2, 3]]


class Killed(BaseException):
    """Ends a training without a word, as SIGKILL does."""


@pytest.mark.parametrize("damage", ["none", "torn", "half a file", "another's"])
def test_an_epoch_that_is_done_again_is_told_once(
    short: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """Killed between the second epoch's place in the log and its checkpoint."""
    store = Store(tmp_path)

    def kill(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        train(short, store=store, observers=[logged(store), kill])
    run = store.find("last")
    (path,) = (run.folder / "tensorboard").iterdir()
    assert [event.step for event in events(run)] == [1, 2]
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "half a file":
        path.with_name(f".{path.name}.1.tmp").write_bytes(b"half")
    elif damage == "another's":
        (path.parent / "events.out.tfevents.0000000001.other").write_bytes(path.read_bytes())
        monkeypatch.setattr("os.getpid", lambda: 1)  # another process resumes it
    resume(run, observers=[BoardLog(lambda: run)])
    assert_all_is_told(run)


def test_a_run_begun_without_it_has_all_epochs_once_it_is_asked_for(
    short: Experiment, tmp_path: Path
) -> None:
    store = Store(tmp_path)

    def stop(event: Event) -> None:
        if isinstance(event, StepDone) and (event.epoch, event.step) == (3, 2):
            raise Killed

    with pytest.raises(Killed):
        train(short, store=store, observers=[stop])
    run = store.find("last")
    assert not (run.folder / "tensorboard").exists()
    resume(run, observers=[BoardLog(lambda: run)])
    assert_all_is_told(run)


def test_a_ledger_that_is_ahead_of_the_checkpoint(short: Experiment, tmp_path: Path) -> None:
    """A damaged checkpoint gives way to the one before: epochs that the ledger has are still to come."""
    store = Store(tmp_path)

    def kill(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        train(short, store=store, observers=[logged(store), kill])
    run = store.find("last")
    (run.folder / "last.safetensors").write_bytes(b"damaged")
    seen: list[list[int]] = []

    def look(event: Event) -> None:
        if isinstance(event, EpochDone):
            seen.append([told.step for told in events(run)])

    resume(run, observers=[BoardLog(lambda: run), look])
    assert seen == [[1, 2], [1, 2, 3]]
    assert_all_is_told(run)


def test_weights_that_are_not_trained(short: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = train(short, {"train": {"epochs": 0}}, store=store, observers=[logged(store)])
    (told,) = events(run)
    assert told.step == 0
    assert told.values["top1_error/test"] == pytest.approx(run.epochs()[0].scores["test"].top1_error)


def test_a_file_that_cannot_be_written_is_told(short: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path)

    def hide(event: Event) -> None:
        if isinstance(event, EpochDone):
            (store.find("last").folder / "tensorboard").rename(tmp_path / "away")

    with pytest.raises(StoreError, match=r"tfevents.* can't be written"):
        train(short, store=store, observers=[logged(store), hide])


def test_from_the_command_line_beside_the_table(short: Experiment, tmp_path: Path, cutaway: Command) -> None:
    from cutaway.config import dump_experiment

    file = tmp_path / "short.toml"
    file.write_text(dump_experiment(short), encoding="utf-8")
    arguments = ("--store", tmp_path / "runs", "--train.epochs", "1")
    code, _, err = cutaway("train", file, "--log", "csv", "--log", "tensorboard", *arguments)
    assert code == 0, err
    run = Store(tmp_path / "runs").find("last")
    assert_all_is_told(run)
    assert (run.folder / "log.csv").is_file()
    code, _, err = cutaway(
        "resume", run.id, "--extend", "1", "--log", "tensorboard", "--store", tmp_path / "runs"
    )
    assert code == 0, err
    assert_all_is_told(run)
    assert len(run.epochs()) == 2
    code, _, err = cutaway("train", file, "--log", "tensorbord", *arguments)
    assert code == 2
    assert "tensorboard" in err


def test_without_the_library_it_is_told_before_training(
    short: Experiment, tmp_path: Path, cutaway: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ConfigError, match=r"pip install 'cutaway\[tensorboard\]'"):
        logged(Store(tmp_path))
    code, out, err = cutaway("train", "digits", "--log", "tensorboard", "--store", tmp_path / "runs")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "tensorboardX" in err
    assert not (tmp_path / "runs").exists()
    # Who does not ask for it needs no library.
    run = train(short, {"train": {"epochs": 0}}, store=Store(tmp_path / "runs"))
    assert run.status == "finished"

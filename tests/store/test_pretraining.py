"""What a run keeps of its pre-training, and runs that are stopped or killed in the middle of it."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cutaway.config import Experiment, dump_experiment, load_experiment
from cutaway.errors import ConfigError, DivergedError, InterruptedRunError, StoreError
from cutaway.store import Run, Store, resume, train
from cutaway.store import database as module
from cutaway.store.database import Database
from cutaway.store.ledger import Ledger, PretrainRow
from cutaway.store.logs import LineLog
from cutaway.store.reconstructions import load_reconstructions, save_reconstruction
from cutaway.store.saved import Card
from cutaway.training import Event, Pretrained, Reconstruction

TRAIN = """
import sys
from cutaway.progress import listening
from cutaway.store import Store, train

# One line for each step of pre-training lets the test choose its moment without a clock.
def told(progress):
    if progress.what.startswith("pre-training"):
        print(progress.what, progress.done, flush=True)

try:
    with listening(told):
        train(sys.argv[1], store=Store(sys.argv[2]))
except Exception as error:
    print(error, file=sys.stderr)
    sys.exit(getattr(error, "exit_code", 99))
"""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def short(small: Experiment) -> Experiment:
    """Two depths, two epochs of four steps each; one epoch of training."""
    return load_experiment(
        small,
        {
            "data": {"train_images": 200, "validation": 100},
            "train": {"batch": 100, "epochs": 1, "threads": 1},
            "pretrain": {"layers": "*", "batch": 50, "noise": 0.1, "images": 4},
        },
    )


@pytest.fixture(scope="module")
def whole(short: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that nothing happened to."""
    return train(short, store=Store(tmp_path_factory.mktemp("whole")))


def tensors(run: Run) -> dict[str, Tensor]:
    return dict(run.load("last")[0].tensors)


def assert_same(run: Run, whole: Run) -> None:
    found, expected = tensors(run), tensors(whole)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert run.status == "finished"
    assert [errors(row) for row in run.pretraining()] == [errors(row) for row in whole.pretraining()]
    shown, wanted = run.reconstructions(), whole.reconstructions()
    assert list(shown) == list(wanted) == ["conv1", "conv2"]
    for layer, one in wanted.items():
        assert shown[layer].error == one.error
        assert torch.equal(shown[layer].images, one.images)
    assert not list(run.folder.rglob(".*.tmp"))


def errors(row: PretrainRow) -> tuple[object, ...]:
    return row.depth, row.epoch, row.layer, row.train_error, row.validation_error, row.image_error


def test_a_run_keeps_every_epoch_and_what_came_back(whole: Run) -> None:
    rows = whole.pretraining()
    assert [(row.depth, row.layer, row.epoch) for row in rows] == [
        (1, "conv1", 1),
        (1, "conv1", 2),
        (2, "conv2", 1),
        (2, "conv2", 2),
    ]
    assert [row.image_error is None for row in rows] == [True, False, True, False]
    assert all(row.seconds > 0 and row.validation_error is not None for row in rows)
    # The training's own time is told apart.
    assert whole.row.seconds == pytest.approx(sum(row.seconds for row in whole.epochs()))
    files = sorted(path.name for path in (whole.folder / "pretraining").iterdir())
    assert files == ["1-conv1.npz", "2-conv2.npz"]
    held = whole.images().split("validation").pixels
    for name, row in zip(files, (rows[1], rows[3]), strict=True):
        with np.load(whole.folder / "pretraining" / name, allow_pickle=False) as arrays:
            assert set(arrays) == {"originals", "reconstructions", "error", "split"}
            assert arrays["originals"].dtype == arrays["reconstructions"].dtype == np.uint8
            assert arrays["reconstructions"].shape == (4, 1, 28, 28)
            assert np.array_equal(arrays["originals"], held[[0, 33, 66, 99]].numpy())
            assert float(arrays["error"]) == row.image_error
            assert str(arrays["split"]) == "validation"


def test_a_run_without_it_keeps_nothing(trained: Run) -> None:
    assert trained.pretraining() == []
    assert trained.reconstructions() == {}
    assert not (trained.folder / "pretraining").exists()


def start(short: Experiment, folder: Path) -> subprocess.Popen[str]:
    experiment = folder / "short.toml"
    experiment.write_text(dump_experiment(short), encoding="utf-8")
    command = [sys.executable, "-c", TRAIN, str(experiment), str(folder / "runs")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("lines", [2, 5, 10, 13, 18])
def test_killed_and_resumed_it_gives_the_same_weights(
    short: Experiment, whole: Run, tmp_path: Path, lines: int
) -> None:
    """SIGKILL behind a step: in the first epoch, at epochs' ends, between depths, in the last one."""
    with start(short, tmp_path) as process:
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        process.kill()
    run = Store(tmp_path / "runs").find("last")
    assert run.status == "killed"
    assert run.ledger.check() == "ok"
    assert_same(resume(run), whole)


def test_interrupted_it_says_where_and_goes_on(short: Experiment, whole: Run, tmp_path: Path) -> None:
    with start(short, tmp_path) as process:
        assert process.stdout is not None
        for _ in range(8):  # the second epoch of the first depth
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    run = Store(tmp_path / "runs").find("last")
    assert process.returncode == 130
    assert "(in the pre-training of conv1, epoch 2 of 2). Continue with: cutaway resume" in told
    assert run.status == "stopped"
    assert "in the pre-training of conv1" in run.row.reason
    assert run.load("last")[1].position.pretrained == 1
    # What it has by now can be looked into.
    assert run.subject("last").predict(run.images().split("test").pixels[:2]).shape == (2, 10)
    assert_same(resume(run), whole)


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("target", ["1-conv1.npz", "2-conv2.npz", "last.safetensors"])
def test_killed_while_writing(
    short: Experiment, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """The process dies before a file has its name."""
    replace = Path.replace

    def dying(self: Path, name: Path) -> Path:
        if name.name == target:
            raise _Killed
        return replace(self, name)

    monkeypatch.setattr(Path, "replace", dying)
    with pytest.raises(_Killed):
        train(short, store=Store(tmp_path))
    monkeypatch.undo()
    run = Store(tmp_path).find("last")
    assert list(run.folder.rglob(".*.tmp"))
    assert_same(resume(run), whole)


def test_stopped_in_this_process(short: Experiment, whole: Run, tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, Pretrained) and (event.depth, event.epoch) == (1, 2):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(
        InterruptedRunError, match=r"Stopped in epoch 0, after step 0 \(in the pre-training of conv2"
    ):
        train(short, store=Store(tmp_path), observers=[interrupt])
    assert_same(resume(Store(tmp_path).find("last")), whole)


def test_diverged_it_says_what_to_try(
    short: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cutaway.training.stage import Stage

    monkeypatch.setattr(Stage, "is_finite", lambda self, errors: False)
    with pytest.raises(DivergedError, match=r"in the pre-training of conv1.* Try --pretrain.lr 0.0001"):
        train(short, store=Store(tmp_path))
    run = Store(tmp_path).find("last")
    assert run.status == "diverged"
    with pytest.raises(
        ConfigError, match=r"has diverged and would again .* Train it with a lower learning rate\."
    ):
        resume(run)


def test_an_experiment_of_before_has_none(whole: Run) -> None:
    """Experiments and checkpoints that were written without pre-training are read as they were."""
    card = json.loads(whole.load("last")[1].to_json())
    assert card["position"].pop("pretrained") == 4
    assert Card.from_json(json.dumps(card)).position.pretrained == 0


def test_a_ledger_of_before_is_brought_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = PretrainRow(1, 1, "conv1", 0.5, None, None, 2.0)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_MIGRATIONS", module._MIGRATIONS[:2])
        with Database(tmp_path / "ledger.sqlite").writing() as database:
            database.execute(
                "INSERT INTO run (id, name, status, created, versions, experiment) "
                "VALUES ('abc', 'old', 'finished', 0, '', '')"
            )
    ledger = Ledger(Database(tmp_path / "ledger.sqlite"))
    assert ledger.pretrain_epochs("abc") == []
    assert [(run.name, run.images) for run in ledger.runs()] == [("old", "")]
    ledger.add_pretrain_epoch("abc", row)
    assert ledger.pretrain_epochs("abc") == [row]


def test_an_epoch_done_again_replaces_itself_and_goes_with_its_run(tmp_path: Path) -> None:
    ledger = Ledger(Database(tmp_path / "ledger.sqlite"))
    for run in ("abc", "xyz"):
        ledger.add_run(run, run, "", "")
        for depth, epoch in ((2, 1), (1, 2), (1, 1), (1, 1)):
            ledger.add_pretrain_epoch(run, PretrainRow(depth, epoch, f"conv{depth}", 0.5, 0.25, 0.75, 2.0))
    assert [(row.depth, row.epoch) for row in ledger.pretrain_epochs("abc")] == [(1, 1), (1, 2), (2, 1)]
    ledger.remove_run("abc")
    assert ledger.pretrain_epochs("abc") == []
    assert len(ledger.pretrain_epochs("xyz")) == 3
    database = sqlite3.connect(ledger.path)
    assert database.execute("SELECT DISTINCT run FROM pretrain_epoch").fetchall() == [("xyz",)]
    database.close()


def _some(count: int) -> Reconstruction:
    pixels = torch.arange(count * 12, dtype=torch.uint8).view(count, 3, 2, 2)
    return Reconstruction(0.125, "train", pixels, 255 - pixels)


def test_reconstructions_come_back_in_the_order_of_depths(tmp_path: Path) -> None:
    for depth in (10, 2, 1):
        save_reconstruction(tmp_path, depth, f"conv{depth}", _some(3))
    save_reconstruction(tmp_path, 3, "eyes_1", _some(0))
    found = load_reconstructions(tmp_path)
    assert list(found) == ["conv1", "conv2", "eyes_1", "conv10"]
    assert (found["conv2"].error, found["conv2"].split) == (0.125, "train")
    assert torch.equal(found["conv2"].originals, _some(3).originals)
    assert torch.equal(found["conv2"].images, _some(3).images)
    assert found["eyes_1"].images.shape == (0, 3, 2, 2)


@pytest.mark.parametrize(
    "damage", [lambda content: content[:100], lambda content: b"", lambda content: b"no zip"]
)
def test_a_damaged_file_of_them_is_told(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    save_reconstruction(tmp_path, 1, "conv1", _some(2))
    path = tmp_path / "pretraining" / "1-conv1.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreError, match=r"1-conv1\.npz can't be read"):
        load_reconstructions(tmp_path)


def test_as_a_line_for_other_programs() -> None:
    lines: list[str] = []
    log = LineLog(lines.append)
    log(Pretrained(1, 2, "conv1", 1, 2, 0.5, None, 1.5))
    log(Pretrained(1, 2, "conv1", 2, 2, 0.25, 0.5, 1.5, _some(2)))
    first, second = map(json.loads, lines)
    assert first["event"] == second["event"] == "pretrained"
    assert (first["layer"], first["train"], first["validation"], first["images"]) == (
        "conv1",
        0.5,
        None,
        None,
    )
    assert (second["validation"], second["images"]) == (0.5, 0.125)

"""``cutaway runs show RUN --pretraining``, and pre-training from the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from cutaway.config import Experiment, load_experiment
from cutaway.store import Run, Store, train

Command = Callable[..., tuple[int, str, str]]

FIELDS = {
    "data": {"train_images": 200, "validation": 100},
    "train": {"batch": 100, "epochs": 1, "threads": 1},
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def store(small: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Pre-trained layer by layer; stacked, of another seed; from scratch; from scratch with another batch."""
    found = Store(tmp_path_factory.mktemp("pretraining"))
    base = load_experiment(small, FIELDS)
    pretrain = {"layers": "*", "batch": 50, "images": 4}
    train(base, {"name": "greedy", "pretrain": pretrain}, store=found)
    stacked = {**pretrain, "mode": "stacked", "images": 0}
    train(base, {"name": "stacked", "seed": 3, "pretrain": stacked}, store=found)
    train(base, {"name": "scratch", "pretrain": {"lr": 0.5}}, store=found)
    train(base, {"name": "other", "train": {"batch": 50}}, store=found)
    return found


def named(store: Store, name: str) -> Run:
    return next(run for run in store.runs() if run.row.name == name)


def test_a_table_of_depths_beside_training_from_scratch(
    cutaway: Command, store: Store, tmp_path: Path
) -> None:
    run, scratch = named(store, "greedy"), named(store, "scratch")
    picture = tmp_path / "back.png"
    code, out, err = cutaway("runs", "show", run.id, "--pretraining", "--store", store.folder, "-o", picture)
    assert (code, err) == (0, "")
    assert "of the layer's own input behind the first epoch and the last" in out
    rows = [line.split() for line in out.splitlines()]
    epochs = run.pretraining()
    for depth in (1, 2):
        own = [row for row in epochs if row.depth == depth]
        assert own[0].validation_error is not None
        assert own[1].validation_error is not None
        assert own[1].image_error is not None
        expected = [
            str(depth),
            f"conv{depth}",
            f"{own[0].validation_error:.4f}",
            f"{own[1].validation_error:.4f}",
            f"{own[1].image_error:.4f}",
            "2",
            f"{own[0].seconds + own[1].seconds:.1f}",
        ]
        assert expected in rows
    before = sum(row.seconds for row in epochs)
    for one, kind, seconds in ((run, "pre-trained", before), (scratch, "from scratch", 0.0)):
        (line,) = [row for row in rows if row[:1] == [one.id]]
        best = one.epochs()[-1].scores
        own_seconds = one.row.seconds
        assert " ".join(line[1:]) == (
            f"{kind} {seconds:.1f} {own_seconds:.1f} {seconds + own_seconds:.1f} 1 1 "
            f"{best['validation'].top1_error:.2%} {best['test'].top1_error:.2%}"
        )
    # Another batch is another experiment.
    assert named(store, "other").id not in out
    assert out.rstrip().endswith(str(picture))
    assert picture.stat().st_size > 5_000


def test_without_a_run_from_scratch_it_says_how_to_make_one(cutaway: Command, store: Store) -> None:
    run = named(store, "stacked")
    code, out, err = cutaway("runs", "show", run.id, "--pretraining", "--store", store.folder)
    assert (code, err) == (0, "")
    assert "of the image behind the first epoch and the last" in out
    assert f'cutaway train {run.folder / "experiment.toml"} --pretrain.layers "[]"' in out


def test_as_json(cutaway: Command, store: Store) -> None:
    run, scratch = named(store, "greedy"), named(store, "scratch")
    code, out, _ = cutaway("runs", "show", run.id, "--pretraining", "--json", "--store", store.folder)
    assert code == 0
    facts = json.loads(out)
    epochs = run.pretraining()
    assert [depth["layer"] for depth in facts["depths"]] == ["conv1", "conv2"]
    assert facts["depths"][1]["image_error"] == epochs[-1].image_error
    assert len(facts["history"]) == 4
    assert [cost["run"] for cost in facts["compared"]] == [run.id, scratch.id]
    assert facts["compared"][0]["pretraining_seconds"] == sum(row.seconds for row in epochs)
    assert facts["compared"][1]["pretraining_seconds"] == 0
    listed = json.loads(cutaway("runs", "list", "--json", "--store", store.folder)[1])["runs"]
    assert {one["name"]: one["pretraining_seconds"] > 0 for one in listed} == {
        "greedy": True,
        "stacked": True,
        "scratch": False,
        "other": False,
    }


@pytest.mark.parametrize(
    ("name", "options", "code", "message"),
    [
        ("scratch", ["--pretraining"], 3, "was not pre-trained"),
        ("stacked", ["--pretraining", "-o", "x.png"], 3, "pretrain.images is 0"),
        ("greedy", ["--pretraining", "-o", "x.txt"], 2, "should end in .png, .svg or .pdf"),
        ("greedy", ["--pretraining", "--layers"], 2, "give one of them"),
        ("greedy", ["-o", "x.png"], 2, "add --layers, or --pretraining"),
    ],
)
def test_what_can_not_be_shown(  # noqa: PLR0917  a parameter for each column
    cutaway: Command, store: Store, name: str, options: list[str], code: int, message: str
) -> None:
    found, out, err = cutaway("runs", "show", named(store, name).id, *options, "--store", store.folder)
    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1


def test_trained_from_the_command_line_it_is_followed(cutaway: Command, tmp_path: Path) -> None:
    net = "conv 4 5x5 | maxpool 4 | relu | flatten | dense 10"
    fields = (
        "--data.train_images",
        "200",
        "--data.validation",
        "100",
        "--train.epochs",
        "1",
        "--train.threads",
        "1",
    )
    line = ("train", "digits", "--net", net, *fields, "--store", tmp_path)
    code, out, err = cutaway(*line, "--pretrain.layers", "conv*", "--pretrain.epochs", "2")
    assert code == 0, err
    assert "s of pre-training)" in out
    told = [row for row in err.splitlines() if row.startswith("pre-training")]
    assert len(told) == 2
    assert told[0].startswith("pre-training conv1 (1/1) epoch 1/2  error: train 0.")
    assert re.search(r"  image \d\.\d{4}", told[1])
    code, out, err = cutaway(*line, "--pretrain.layers", "dense1")
    assert (code, out) == (2, "")
    assert "dense1 is the classifier" in err
    assert len(Store(tmp_path).runs()) == 1
    code, out, _ = cutaway(*line, "--pretrain.layers", "*", "--events", "jsonl")
    kinds = [json.loads(row)["event"] for row in out.splitlines()]
    assert kinds == ["started", "pretrained", "pretrained", "step", "step", "epoch", "finished"]


def test_an_option_that_is_none_names_the_nearest(cutaway: Command, tmp_path: Path) -> None:
    code, _, err = cutaway("train", "digits", "--noise", "0.1", "--store", tmp_path)
    assert code == 2
    assert "Did you mean --pretrain.noise?" in err

"""``cutaway look card``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutaway.config import Study
from cutaway.errors import NotFoundError
from cutaway.look import activity, load
from cutaway.look.features import sample
from cutaway.nets import apply_edits, plan
from cutaway.store import Run
from cutaway.study import BASE, LayerCards, Origin, Trial, TrialStatus, Variant, archive
from cutaway.study.cards.advice import advise
from cutaway.study.cards.evidence import run_cards
from cutaway.study.cards.looking import Looking, Part
from cutaway.study.findings.table import tabulate
from cutaway.training import Score

Command = Callable[..., tuple[int, str, str]]

LINE = ("look", "card", "last", "--part", "units", "--images", "30")
FEW = Looking(images=30, parts=frozenset({Part.UNITS}))


@pytest.fixture
def store(trained: Run) -> Path:
    return trained.ledger.path.parent


@pytest.fixture
def study(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study of the run's net in which relu1 is not missed, and conv2 can not stay random."""
    experiment, planned = trained.experiment, trained.subject().plan
    assert planned
    without = plan(apply_edits(planned.spec, "-relu1"), planned.input_shape)
    variants = [
        Variant(BASE, experiment, planned, origin=Origin.BASE),
        Variant("without relu1", experiment, without, "-relu1", origin=Origin.ABLATE, layers=("relu1",)),
        Variant(
            "conv2 random",
            experiment,
            planned,
            changes={"train.freeze": ["conv2"]},
            origin=Origin.FREEZE,
            layers=("conv2",),
        ),
    ]
    more = {BASE: 0.0, "without relu1": 0.001, "conv2 random": 0.1}
    trials = [
        Trial(
            name,
            seed,
            status=TrialStatus.FINISHED,
            seconds=9.0 + seed,
            scores=_scores(rise, name, seed),
        )
        for name, rise in more.items()
        for seed in range(5)
    ]
    table = tabulate(Study(seeds=5), variants, trials, "k3x9qabc")

    def found(store: object, name: str) -> str:
        if name != "k3x9":
            raise NotFoundError(f'There is no study "{name}".')
        return name

    monkeypatch.setattr(archive, "find_study", found)
    monkeypatch.setattr(archive, "read_table", lambda store, row: table)


def _scores(rise: float, name: str, seed: int) -> dict[str, Score]:
    error = 0.02 + rise + (0.0002 * seed if name == BASE else 0.0001 * seed)
    return {"test": Score(1.0, error, 0.0, 10_000)}


def test_the_figures_are_those_of_the_cards(
    cutaway: Command, trained: Run, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "card.png"
    code, out, err = cutaway(*LINE, "--json", "-o", path, "--store", store)
    assert (code, err) == (0, "")
    facts = json.loads(out, parse_constant=pytest.fail)
    assert (facts["run"], facts["file"], facts["study"], facts["margin"]) == (
        trained.id,
        str(path),
        None,
        0.5,
    )
    wanted = run_cards(trained, looking=FEW)
    assert list(facts["layers"]) == list(wanted.cards)
    conv = facts["layers"]["conv1"]
    assert (conv["word"], conv["shape"], conv["argument"]) == ("conv 4 5x5", [4, 24, 24], "filters")
    assert conv["size"]["parameters"] == 104
    assert conv["size"]["source"] == "planner, one image"
    held = sample(trained.images().split("validation"), 30, 0)
    layer = activity(trained.subject(), held, ["relu1"]).layers["relu1"]
    assert conv["units"]["units"] == layer.units
    assert conv["units"]["dead"] == int(layer.dead.sum())
    learned = wanted.cards["conv1"].learning.value
    assert learned
    assert conv["learning"]["own"]["distance"] == pytest.approx(learned.own.distance)
    assert conv["readable"] == {"missing": "not looked for"}
    assert "cutaway study run" in conv["ablated"]["missing"]
    assert [piece["sentence"] for piece in facts["advice"]] == [piece.sentence for piece in advise(wanted)]
    with Image.open(path) as picture:
        assert min(picture.size) > 300


def test_numbers_go_to_an_npz(cutaway: Command, trained: Run, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "card.npz"
    code, out, _ = cutaway(*LINE, "-o", path, "--store", store)
    assert code == 0
    with np.load(path, allow_pickle=False) as found:
        assert float(found["conv1.size.parameters"]) == 104
        assert found["conv1.shape"].tolist() == [4, 24, 24]
        assert not any("source" in name for name in found)
    head, *rows = out.splitlines()
    assert head.split()[:3] == ["layer", "parameters", "multiply-adds"]
    assert "class wrong" not in head, "what nothing is known of has no column"
    assert rows[0].split()[:2] == ["conv1", "104"]
    assert rows[-1] == str(path)


def test_one_layer_is_told_with_every_source(cutaway: Command, store: Path, tmp_path: Path) -> None:
    code, out, _ = cutaway(*LINE, "--layer", "conv2", "-o", tmp_path / "a.npz", "--store", store)
    assert code == 0
    first, *lines = out.splitlines()
    assert first.startswith("conv2: conv 6 3x3 → 6×10×10")
    told = {line[:16].strip(): line[17:] for line in lines}
    assert told["cost"].endswith("[planner, one image]")
    assert told["learning"].endswith("[ledger, epochs 1 to 2]")
    assert told["units"].endswith("[activity over 30 validation images]")
    assert told["class"] == "not known: not looked for"
    assert told["random"].startswith('not known: a study with auto = "freeze" would tell')


def test_a_study_tells_what_may_go_and_what_has_to_learn(
    cutaway: Command, study: None, store: Path, tmp_path: Path
) -> None:
    line = (*LINE, "--study", "k3x9", "-o", tmp_path / "a.npz", "--store", store)
    code, out, err = cutaway(*line)
    assert (code, err) == (0, "")
    assert isinstance(load(tmp_path / "a.npz"), LayerCards)
    assert "relu1 may go: +0.08 points (±0.02 with 5 seeds).\n" in out
    assert (
        "conv2 has to learn: random +9.98 points (±0.02 with 5 seeds).  [study k3x9qabc, 5 seeds, test split]"
        in out
    )
    code, out, _ = cutaway(*line, "--margin", "0.05", "--json")
    facts = json.loads(out, parse_constant=pytest.fail)
    carried = {piece["kind"]: piece["layer"] for piece in facts["advice"] if piece["carried_by_a_study"]}
    assert carried["has to learn"] == "conv2"
    assert "may go" not in carried, "another margin, another advice"
    assert facts["layers"]["relu1"]["ablated"]["variant"] == "without relu1"
    assert facts["layers"]["relu1"]["ablated"]["top1_error"]["mean"] == pytest.approx(0.0008)


def test_the_file_is_named_by_what_was_asked_for(
    cutaway: Command, study: None, trained: Run, monkeypatch: pytest.MonkeyPatch, store: Path
) -> None:
    written: list[Path] = []
    monkeypatch.setattr("cutaway.cli.look.view._write", lambda path, *rest: written.append(path))
    assert cutaway(*LINE, "--layer", "conv1", "--study", "k3x9", "--store", store)[0] == 0
    assert written == [trained.folder / "looks" / "card-conv1-k3x9qabc.png"]


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--layer", "conv9"], 3, 'Did you mean "conv'),
        (["--study", "none"], 3, 'no study "none"'),
        (["--margin", "0"], 2, "points above 0"),
        (["--images", "0"], 2, "1 or more, not 0"),
        (["--part", "soul"], 2, "soul"),
    ],
)
def test_what_is_not_there_is_told(
    cutaway: Command, study: None, store: Path, tmp_path: Path, *, options: list[str], code: int, told: str
) -> None:
    line = ("look", "card", "last", "--part", "units", *options, "-o", tmp_path / "a.npz", "--store", store)
    found, out, err = cutaway(*line)
    assert (found, out) == (code, "")
    assert told in err
    assert list(tmp_path.iterdir()) == []

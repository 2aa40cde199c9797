"""A study's report: one file, whole by itself, whose every number is the table's."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import pytest

from cutaway.config import BudgetConfig, parse_study
from cutaway.draw import study_report
from cutaway.draw.report import LARGEST
from cutaway.study import Estimate, Measure, StudyTable, Trial, TrialStatus
from cutaway.study.cards.account import account
from cutaway.study.cards.card import Evidence, LayerCard, LayerCards, Retrained, Size

from .study_example import EPOCHS, PLOTS, some_table
from .test_report import Node, Tree, assert_self_contained, rows


@pytest.fixture(scope="module")
def table() -> StudyTable:
    return some_table()


@pytest.fixture(scope="module")
def page(table: StudyTable) -> str:
    return study_report(table, machine="cpu, 2 threads")


@pytest.fixture(scope="module")
def tree(page: str) -> Node:
    return Tree(page).root


def some_cards(table: StudyTable) -> LayerCards:
    """Of one layer: what it costs and what happens without it is known."""
    known: dict[str, Any] = {
        "size": Evidence(Size(0, 0.0, 0, 0.0, 576), "planner"),
        "ablated": Evidence(Retrained(table.rows[0], table.base), f"study {table.id}"),
    }
    parts = [one.name for one in fields(LayerCard)][5:]
    evidence = {name: known.get(name, Evidence(missing="not looked at")) for name in parts}
    card = LayerCard("relu1", "relu", (4, 6, 6), "", True, **evidence)
    return LayerCards({"relu1": card}, "small", f"{table.study.name} {table.id}", "test")


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take seconds; the words around them are the same without."""
    here = "cutaway.draw.report.study_page."
    monkeypatch.setattr(here + "_curve", lambda *_: "<svg></svg>")
    monkeypatch.setattr(here + "_forest", lambda *_: "<svg></svg>")
    monkeypatch.setattr(here + "_costs", lambda *_: [])


def section(tree: Node, name: str) -> Node:
    return tree.one("section", id=name)


def items(node: Node) -> list[str]:
    return [item.text for item in node.all("li")]


def test_it_is_self_contained_and_small(page: str) -> None:
    assert_self_contained(page)
    assert page.startswith("<!doctype html>")
    assert len(page.encode()) < LARGEST / 10


def test_it_names_the_study_and_its_totals(table: StudyTable, tree: Node) -> None:
    assert tree.one("h1").text == "what layers are worth"
    header = tree.one("header").text
    assert "study k3vq81xa · variants of small · cpu, 2 threads" in header
    facts = {
        div.one("dt").text: div.one("dd").text for div in tree.one("dl", **{"class": "facts"}).all("div")
    }
    # 3 trials of the base and of 5 variants: 20 + 0.2 · seed seconds each, 8 + 0.2 · seed where cut short.
    seconds = 4 * (60 + 0.6) + (20 + 16 + 0.6) + (24 + 0.6)
    assert facts == {
        "error of the base": "23.00%",
        "variants": "6",
        "seeds": "3",
        "trials": "18",
        "training in all": f"{round(seconds) // 60} min {round(seconds) % 60:02d} s",
    }
    assert not tree.all("p", **{"class": "warning"})


def test_it_begins_with_the_verdicts(table: StudyTable, tree: Node) -> None:
    first = tree.one("main").all("section")[0]
    assert first.attributes["id"] == "verdicts"
    assert first.all("p")[0].text == table.base.verdict.sentence
    assert sorted(items(first)) == sorted(row.verdict.sentence for row in table.rows)
    heads = [head.text.split(" ", 1)[1] for head in first.all("h3")]
    assert heads == ["worse 2", "better 1", "diverges 1", "no effect seen 1", "can't be told 1"]


def test_it_says_what_was_asked(tree: Node) -> None:
    terms = section(tree, "question").one("dl")
    names = [node.text for node in terms.all("dt")]
    told = dict(zip(names, (node.text for node in terms.all("dd")), strict=True))
    assert told == {
        "base": "small",
        "variants": "6 given",
        "seeds": "0 to 2",
        "split": "test: its errors are reported; choices never see the test split",
        "budget of a trial": "10 epochs",
        "stopping": "at 40% of the budget, 50% of the variants go on",
    }


@pytest.mark.usefixtures("no_pictures")
def test_the_budget_is_the_studys_own(table: StudyTable) -> None:
    study = table.study.model_copy(update={"budget": BudgetConfig(epochs=7, minutes=2.5, images=50_000)})
    terms = section(Tree(study_report(replace(table, study=study))).root, "question").text
    assert "7 epochs, at most 2.5 minutes, at most 50,000 images shown" in terms


def test_the_table_has_every_variant_with_its_numbers(table: StudyTable, tree: Node) -> None:
    first, second = section(tree, "table").all("table")
    heads, *body = rows(first)
    assert [row[0] for row in body] == [str(number) for number in range(7)]
    at = {name: column for column, name in enumerate(heads)}
    for cells, row in zip(body, (table.base, *table.rows), strict=True):
        assert cells[at["variant"]].startswith(row.variant.name)
        error = row.estimates.get(Measure.TOP1)
        if error is None:
            assert cells[at["top-1 error, %"]] == "–"
        elif math.isnan(error.low):
            assert cells[at["top-1 error, %"]] == f"{100 * error.mean:.2f}"
        else:
            wanted = f"{100 * error.mean:.2f}[{100 * error.low:.2f}, {100 * error.high:.2f}]"
            assert cells[at["top-1 error, %"]] == wanted
    heads_of_costs, *costs = rows(second)
    assert heads_of_costs[2:] == ["time of a trial", "multiply-adds", "memory of a step", "parameters"]
    # 36·4·9 + 16·6·36 + 96·10 multiply-adds, 40 + 222 + 970 parameters; 3 000 000 bytes.
    # 20, 20.2 and 20.4 seconds: 20.2 ± 4.303 · 0.2 / √3.
    assert costs[0] == ["0", "base", "20.2 s[19.7 s, 20.7 s]", "5,712", "2.9 MiB", "1,232"]
    for cells, row in zip(costs[1:6], table.rows, strict=False):
        assert row.variant.plan
        assert cells[1] == row.variant.name
        assert cells[3] == f"{row.variant.plan.multiply_adds:,}"
        assert cells[5] == f"{row.variant.plan.parameters:,}"
    assert costs[6][2:] == ["–"] * 4
    # By hand, as in the forest plot.
    assert [row[at["top-1, points"]] for row in body[:3]] == [
        "", "+12.40[+10.91, +13.89]", "−0.30[−3.28, +2.68]",
    ]  # fmt: skip
    assert [row[at["adjusted p"]] for row in body] == ["", "<0.001", "1.000", "0.021", "–", "0.030", "–"]
    assert [row[at["pairs"]] for row in body] == ["", "3", "3", "3", "1", "3", "0"]
    assert [row[at["verdict"]].split(" ", 1)[1] for row in body[1:]] == [one.effect for one in PLOTS]
    assert "2 of 3 diverged: NaN at step 212 in conv1" in body[4][at["variant"]]


@pytest.mark.usefixtures("no_pictures")
def test_what_a_variant_changes_stands_under_its_name(table: StudyTable) -> None:
    row = table.rows[0]
    changed = replace(row.variant, name="calm", edits="-relu1", changes={"train.lr": 0.05})
    page = Tree(study_report(replace(table, rows=(replace(row, variant=changed),)))).root
    assert section(page, "table").all("code")[0].text == "-relu1; train.lr = 0.05"


def test_every_trained_variant_has_its_curves(table: StudyTable, tree: Node) -> None:
    parts = section(tree, "curves").all("details")
    trained = [one.name for one in PLOTS if not one.problem]
    assert [
        part.one("summary").text.split("  ")[0].startswith(name)
        for part, name in zip(parts, trained, strict=True)
    ]
    for part, name in zip(parts, trained, strict=True):
        assert part.one("summary").text.startswith(name)
        labels = [picture.attributes["aria-label"] for picture in part.all("svg")]
        assert labels == [
            f"{measure} by epoch: base and {name}" for measure in ("objective", "top1_error", "top5_error")
        ]


def test_figures_are_there_for_a_screen_and_for_a_phone(tree: Node) -> None:
    for name, count in (("forest", 1), ("cost", 3)):
        found = section(tree, name)
        assert len(found.all("div", **{"class": "wide picture"})) == count
        assert len(found.all("div", **{"class": "narrow picture"})) == count
        assert len(found.all("svg")) == 2 * count
    words = [text.text for text in section(tree, "forest").all("svg")[0].all("text")]
    assert "+12.40 [+10.91, +13.89]" in words


def test_figures_take_their_colours_from_the_page(page: str, tree: Node) -> None:
    for svg in tree.one("main").all("svg"):
        for node in svg.all():
            assert "#" not in node.attributes.get("style", "").replace("url(#", ""), node.attributes["style"]
    for name in ("worse", "better", "diverges", "fine", "page"):
        assert f"var(--{name})" in page


def test_it_says_what_was_not_trained_to_its_end_and_why(tree: Node) -> None:
    found = section(tree, "untrained")
    assert "1 variant can't be trained" in found.text
    assert items(found) == [
        "without conv1: dense1 works on values in one row, not on maps of 1×8×8. Put flatten before it."
    ]
    _, *body = rows(found.one("table"))
    assert body == [
        ["train.lr=0.5, seed 1", "diverged", "NaN at step 212 in conv1"],
        ["train.lr=0.5, seed 2", "diverged", "NaN at step 212 in conv1"],
        *([f"without conv2 and relu2, seed {at}", "ended early", "rung 0.4: 5th of 5"] for at in range(3)),
    ]


@pytest.mark.usefixtures("no_pictures")
def test_where_all_trials_were_trained_it_says_so() -> None:
    whole = Tree(study_report(some_table(plots=PLOTS[:1]))).root
    assert "Nothing: every trial was trained to its end" in section(whole, "untrained").text


def test_every_trial_has_its_run_and_its_scores(table: StudyTable, tree: Node) -> None:
    _, *body = rows(section(tree, "trials").one("table"))
    trials = [trial for row in (table.base, *table.rows) for trial in row.trials]
    assert [row[2] for row in body] == [trial.run for trial in trials]
    assert [row[3] for row in body] == [trial.status for trial in trials]
    assert body[0] == ["base", "0", "run0400", "finished", str(EPOCHS), "22.00", "0.660", "20.0 s"]
    assert body[13] == ["train.lr=0.5", "1", "run1201", "diverged", "2", "–", "–", "8.2 s"]


def test_the_study_in_it_is_complete(table: StudyTable, tree: Node) -> None:
    assert parse_study(section(tree, "study").one("pre").text) == table.study


@pytest.mark.usefixtures("no_pictures")
def test_where_files_lie_is_not_told(table: StudyTable) -> None:
    study = table.study.model_copy(update={"base": "/home/someone/secret/small.toml"})
    page = study_report(replace(table, study=study))
    assert "someone" not in page
    assert "variants of small.toml" in page


@pytest.mark.usefixtures("no_pictures")
def test_a_study_that_is_not_ended_says_so(table: StudyTable) -> None:
    row = table.rows[0]
    waiting = tuple(
        replace(trial, status=TrialStatus.WAITING, scores={}, epochs=(), run="", seconds=0.0)
        for trial in row.trials[1:]
    )
    page = Tree(study_report(replace(table, rows=(replace(row, trials=(row.trials[0], *waiting)),)))).root
    assert page.one("p", **{"class": "warning"}).text.startswith("2 trials are not ended")
    assert "4 of 6" in page.one("header").text
    _, *body = rows(section(page, "trials").one("table"))
    assert body[-1] == ["without relu1", "2", "–", "waiting", "0", "–", "–", "–"]


@pytest.mark.usefixtures("no_pictures")
def test_trials_of_what_cant_be_trained_are_not_waited_for(table: StudyTable) -> None:
    never = replace(table.rows[5], trials=tuple(Trial("without conv1", seed) for seed in range(3)))
    page = Tree(study_report(replace(table, rows=(table.rows[0], never)))).root
    assert not page.all("p", **{"class": "warning"})
    facts = page.one("dl", **{"class": "facts"}).text
    assert "trials6" in facts
    assert not section(page, "untrained").all("table")
    assert len(rows(section(page, "trials").one("table"))) == 1 + 6


@pytest.mark.usefixtures("no_pictures")
def test_with_one_seed_nothing_is_claimed() -> None:
    page = Tree(study_report(some_table(1))).root
    assert page.one("p", **{"class": "warning"}).text.startswith("With one seed there is no interval")
    _, *body = rows(section(page, "table").all("table")[0])
    assert not any("[" in cell for row in body for cell in row[2:])
    assert body[1][2:5] == ["+13.00", "–", "1"]


def test_a_study_without_a_result_has_a_report_too(table: StudyTable) -> None:
    nothing = Estimate(math.nan, math.nan, math.nan, 0)
    base = replace(table.base, trials=(), estimates={Measure.TOP1: nothing})
    page = study_report(replace(table, base=base, rows=()))
    assert_self_contained(page)
    root = Tree(page).root
    assert "The study has no variants" in section(root, "verdicts").text
    assert "error of the base–" in root.one("header").text


@pytest.mark.usefixtures("no_pictures")
def test_layer_cards_are_told_with_their_sources(table: StudyTable, tree: Node) -> None:
    assert not tree.all("section", id="cards")
    cards = some_cards(table)
    page = study_report(table, cards)
    assert_self_contained(page)
    found = section(Tree(page).root, "cards")
    _, *body = rows(found.one("table"))
    assert body == [[line.label, line.text, line.source] for line in account(cards.cards["relu1"])]
    assert found.one("summary").text == "relu1 relu"
    (advice,) = items(found)
    assert "relu1" in advice
    assert advice.endswith(f"study {table.id}")


@pytest.mark.usefixtures("no_pictures")
def test_curves_that_do_not_fit_are_left_out_and_said_so(
    table: StudyTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cutaway.draw.report.study_page._CURVES_BUDGET", 50)
    found = section(Tree(study_report(table)).root, "curves")
    # A picture is 11 letters here: the second variant's three are too many.
    assert [one.one("summary").text for one in found.all("details")] == ["without relu1"]
    assert "4 more variants would not fit" in found.text
    assert 'cutaway.plot(table, which="curves", variants="conv1 random")' in found.text


def test_text_of_the_user_is_escaped(table: StudyTable) -> None:
    study = table.study.model_copy(update={"name": '<b>&"quoted" $x_$'})
    row = table.rows[0]
    odd = replace(row, variant=replace(row.variant, name="<i>$\\frac{</i>"))
    page = study_report(replace(table, study=study, rows=(odd,)), machine="<u>cpu")
    assert_self_contained(page)
    root = Tree(page).root
    assert root.one("h1").text == '<b>&"quoted" $x_$'
    assert not root.all("b")
    assert not root.all("i")
    assert not root.all("u")
    assert section(root, "curves").one("summary").text == "<i>$\\frac{</i>"

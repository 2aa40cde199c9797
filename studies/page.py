"""What the page of a repeated experiment is made of: its committed results, tables, pictures and claims."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cutaway.draw.studies.wording import signed
from cutaway.look import load
from cutaway.study import Measure, StudyTable, VariantRow, dynamics_from_json, from_json
from cutaway.study.findings.dynamics import Dynamics

FOLDER = "results"
"""What ``cutaway study export STUDY FOLDER/results`` wrote."""


class Outcome(StrEnum):
    """What came of a claim."""

    HELD = "held"
    FAILED = "did not hold"
    UNTOLD = "could not be told"


@dataclass(frozen=True)
class Claim:
    """A published claim beside what was measured.

    Args:
        text: the claim, in a sentence of ours.
        outcome: what came of it.
        evidence: the figures, with their intervals.
    """

    text: str
    outcome: Outcome
    evidence: str


@dataclass(frozen=True)
class Page:
    """All that is made anew of the results.

    Args:
        tables: Markdown by the name of its place in the page.
        pictures: figures by their file's name, without an ending.
        claims: in the order of the publication.
        waiting: names of places whose studies were not run yet.
    """

    tables: Mapping[str, str]
    pictures: Mapping[str, Figure]
    claims: Sequence[Claim] = ()
    waiting: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Results:
    """The committed results of one experiment.

    Args:
        folder: of the experiment.
    """

    folder: Path
    _known: dict[str, Any] = field(default_factory=dict)

    def study(self, name: str) -> StudyTable:
        """A study's results, with its statistics computed anew."""
        if name not in self._known:
            self._known[name] = from_json(self.facts(name))
        found: StudyTable = self._known[name]
        return found

    def has(self, name: str) -> bool:
        """Whether a study was run and exported."""
        return f"{name}.json" in self.files

    def dynamics(self, name: str) -> Dynamics:
        """How layers learnt in the trials of a study."""
        return dynamics_from_json(self.facts(f"{name}-dynamics"))

    def look(self, name: str) -> Any:
        """The result of a look."""
        return load(self.folder / FOLDER / f"{name}.npz")

    def facts(self, name: str) -> dict[str, Any]:
        """The numbers of a look, as ``--json`` prints them; or what a study is made of."""
        found: dict[str, Any] = json.loads(
            (self.folder / FOLDER / f"{name}.json").read_text(encoding="utf-8")
        )
        return found

    @cached_property
    def files(self) -> list[str]:
        """Names of all files."""
        return sorted(path.name for path in (self.folder / FOLDER).iterdir())


def judged(held: bool, failed: bool) -> Outcome:
    """What came of a claim that an interval decides, or leaves open."""
    if held:
        return Outcome.HELD
    return Outcome.FAILED if failed else Outcome.UNTOLD


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table. A column whose head ends in ``>`` is set to the right."""
    names = [name.removesuffix(">") for name in head]
    rules = ["---:" if name.endswith(">") else "---" for name in head]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [names, rules, *cells])


def claims_table(claims: Sequence[Claim]) -> str:
    """Every claim with its verdict."""
    return table(
        ["claim", "verdict", "what was measured"],
        [[claim.text, f"**{claim.outcome}**", claim.evidence] for claim in claims],
    )


def percent(row: VariantRow, measure: Measure = Measure.TOP1, places: int = 2) -> str:
    """A row's mean share as a percentage with the half of its interval: "0.95 ±0.04 %"."""
    found = row.estimates.get(measure)
    if found is None or not found.count:
        return "–"
    half = f" ±{100 * (found.high - found.low) / 2:.{places}f}" if found.count > 1 else ""
    return f"{100 * found.mean:.{places}f}{half} %"


def difference(row: VariantRow, measure: Measure = Measure.TOP1, places: int = 2) -> str:
    """A row's paired difference to the base in points, with its interval: "+0.12 (−0.03 to +0.27)"."""
    found = row.differences.get(measure)
    if found is None or not found.count:
        return "–"
    if found.count < 2:
        return signed(100 * found.mean, places)
    low, high = signed(100 * found.low, places), signed(100 * found.high, places)
    return f"{signed(100 * found.mean, places)} ({low} to {high})"


def made_line(results: Results, *names: str) -> str:
    """A sentence for each study: its id, when, with what and on which machine."""
    told = []
    for name in names:
        made = results.facts(name)["made"]
        trials = [trial for row in rows(results.study(name)) for trial in row.trials]
        minutes = sum(trial.seconds for trial in trials) / 60
        told.append(
            f"- study `{results.study(name).id}` (`{name}`): {_count(len(trials))} on one thread each, "
            f"{minutes:.0f} minutes together; begun {made['created'][:10]}; {made['versions']}; "
            f"{made['machine']}"
        )
    return "\n".join(told)


def _count(trials: int) -> str:
    return "1 trial" if trials == 1 else f"{trials} trials"


def runs_table(results: Results, *names: str) -> str:
    """Every trial with the id of its run."""
    found = []
    for name in names:
        for row in rows(results.study(name)):
            runs = ", ".join(f"`{trial.run}`" for trial in row.trials if trial.run)
            found.append([name, row.variant.name, runs])
    return table(["study", "variant", "runs, by seed"], found)


def rows(found: StudyTable) -> tuple[VariantRow, ...]:
    """The base and all variants."""
    return (found.base, *found.rows)


def row(found: StudyTable, name: str) -> VariantRow:
    """A variant's row, or the base's for "base"."""
    return next(one for one in rows(found) if one.variant.name == name)

"""A study's report: one HTML file with its question, its answers and all that they rest on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

from cutaway import __version__
from cutaway.config import StoppingKind, Study, dump_study
from cutaway.draw.embed import figure_svg
from cutaway.draw.figures import FAINT, INK
from cutaway.draw.report.page import INK_OF_PAGE, TEMPLATES
from cutaway.draw.studies import cost, curves, forest
from cutaway.draw.studies.epochs import MEASURES
from cutaway.draw.studies.marks import BASE_COLOUR, MARKS, PAGE, note
from cutaway.draw.studies.wording import NOTHING, duration, ends, interval, p_value, points, value
from cutaway.study import ENDED, Effect, Measure, StudyTable, Trial, TrialStatus, VariantRow
from cutaway.study.cards.account import account
from cutaway.study.cards.advice import MARGIN, advise
from cutaway.study.cards.card import LayerCards

_CURVES_BUDGET = 4_000_000
"""Bytes of all curves; a variant's three are some 60 kB."""

_WIDE, _NARROW = 9.0, 3.9
"""Inches of a figure on a screen, and on a phone's."""

_SIGNS = {
    Effect.WORSE: ("worse", "▲"),
    Effect.BETTER: ("better", "▼"),
    Effect.DIVERGES: ("diverges", "✖"),
    Effect.NONE_SEEN: ("none", "●"),
    Effect.UNTOLD: ("none", "◇"),
}
"""For each verdict, in the order of the page: the colour's name there and the shape of its figures."""

_COLOURS = INK_OF_PAGE | {
    "#b0b0b0": "var(--fine)",  # the lines of grids, of which these figures have many
    INK: "currentColor",
    PAGE: "var(--page)",
    FAINT: "var(--fine)",
    BASE_COLOUR: "var(--fine)",
    **{MARKS[effect].colour: f"var(--{name})" for effect, (name, _) in _SIGNS.items() if name != "none"},
}

_SCORES = {
    Measure.TOP1: "top-1 error, %",
    Measure.TOP5: "top-5 error, %",
    Measure.OBJECTIVE: "objective, nats",
}
_COSTS = {
    Measure.SECONDS: "time of a trial",
    Measure.MULTIPLY_ADDS: "multiply-adds",
    Measure.MEMORY: "memory of a step",
}
"""The columns of two tables: one with all of them is too wide for paper."""


def study_report(
    table: StudyTable, cards: LayerCards | None = None, *, margin: float = MARGIN, machine: str = ""
) -> str:
    """The report of a study as HTML: no scripts, nothing from the network.

    The question, the verdicts in sentences, the table with intervals, forest plot, curves of every
    variant against the base, cost against error, what was not trained and why, layer cards, every
    trial with its run, and the study itself.

    Args:
        table: of a study, also of one that is not ended.
        cards: of the base's layers.
        margin: points of top-1 error that a simpler net may cost in what the cards advise.
        machine: what it was trained on: "cpu, 2 threads".

    Raises:
        ConfigError: the margin is not a number above 0 and below 100.
    """
    # Where the base's file lies says nothing of the study, but much of the machine.
    study = table.study.model_copy(update={"base": PurePath(table.study.base).name})
    every = (table.base, *table.rows)
    trials = [(row, trial) for row in every if not row.variant.problem for trial in row.trials]
    drawn, left_out = _curves(table)
    return TEMPLATES.get_template("study.html.jinja").render(
        study=study,
        id=table.id,
        version=__version__,
        machine=machine,
        facts=_facts(table, [trial for _, trial in trials]),
        question=_question(study, table),
        waiting=sum(trial.status not in ENDED for _, trial in trials),
        base=table.base.verdict.sentence,
        verdicts=_verdicts(table),
        scores=list(_SCORES.values()),
        costs=list(_COSTS.values()),
        rows=[_cells(number, row) for number, row in enumerate(every)],
        forest=[_forest(table, width) for width in (_WIDE, _NARROW)],
        curves=drawn,
        left_out=left_out,
        prices=_costs(table),
        untrained=[(row.variant.name, row.variant.problem) for row in table.rows if row.variant.problem],
        broken=_broken(trials),
        cards=_cards(cards, margin) if cards else None,
        trials=[_trial(study, row, trial) for row, trial in trials],
        toml=dump_study(study),
    )


def _facts(table: StudyTable, trials: Sequence[Trial]) -> list[tuple[str, str]]:
    """The numbers at the head of the page."""
    ended = sum(trial.status in ENDED for trial in trials)
    estimate = table.base.estimates.get(Measure.TOP1)
    error = estimate.mean if estimate else math.nan
    return [
        ("error of the base", NOTHING if math.isnan(error) else f"{value(Measure.TOP1, error)}%"),
        ("variants", str(len(table.rows))),
        ("seeds", str(table.study.seeds)),
        ("trials", str(ended) if ended == len(trials) else f"{ended} of {len(trials)}"),
        ("training in all", duration(sum(trial.seconds for trial in trials))),
    ]


def _question(study: Study, table: StudyTable) -> list[tuple[str, str]]:
    """What was asked, under which terms."""
    origins = Counter(row.variant.origin.value for row in table.rows)
    told = ", ".join(f"{count} {origin}" for origin, count in origins.items()) or "none"
    seeds = study.every_seed
    asked = [
        ("base", study.base),
        ("variants", told),
        ("seeds", f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]} alone"),
        ("split", f"{study.split}: its errors are reported; choices never see the test split"),
        ("budget of a trial", _budget(table)),
    ]
    if study.stopping.rule is StoppingKind.HALVING:
        rungs = " and ".join(f"{rung:.0%}" for rung in study.stopping.rungs)
        asked.append(
            ("stopping", f"at {rungs} of the budget, {study.stopping.keep:.0%} of the variants go on")
        )
    return asked


def _budget(table: StudyTable) -> str:
    budget = table.study.budget
    told = [f"{budget.epochs or table.base.variant.experiment.train.epochs} epochs"]
    if budget.minutes:
        told.append(f"at most {budget.minutes:g} minutes")
    if budget.images:
        told.append(f"at most {budget.images:,} images shown")
    return ", ".join(told)


def _verdicts(table: StudyTable) -> list[dict[str, Any]]:
    """The sentences, those of one verdict together."""
    groups = []
    for effect, (colour, sign) in _SIGNS.items():
        said = [row.verdict.sentence for row in table.rows if row.verdict.effect is effect]
        if said:
            groups.append({"effect": effect.value, "colour": colour, "sign": sign, "sentences": said})
    return groups


def _cells(number: int, row: VariantRow) -> dict[str, Any]:
    """A row of the table."""
    variant = row.variant
    changes = [variant.edits] if variant.edits and variant.edits != variant.name else []
    changes += [f"{name} = {changed}" for name, changed in variant.changes.items()]
    difference = row.differences.get(Measure.TOP1)
    colour, sign = _SIGNS[row.verdict.effect]
    return {
        "number": number,
        "name": variant.name,
        "changes": "; ".join(change for change in changes if change not in variant.name),
        "note": "" if variant.problem else note(row),
        "difference": points(difference.mean) if difference else NOTHING if number else "",
        "interval": interval(difference) if difference else "",
        "p": p_value(difference.adjusted) if difference else NOTHING if number else "",
        "pairs": str(difference.count) if difference else "0" if number else "",
        "effect": row.verdict.effect.value if number else "",
        "colour": colour,
        "sign": sign if number else "",
        "scores": _measured(row, _SCORES),
        "costs": _measured(row, _COSTS),
        "parameters": f"{row.parameters:,}" if row.parameters else NOTHING,
    }


def _measured(row: VariantRow, measures: Iterable[Measure]) -> list[tuple[str, str]]:
    """For each measure its mean and the ends of its interval."""
    found = [(measure, row.estimates.get(measure)) for measure in measures]
    return [(value(m, one.mean), ends(m, one)) if one else (NOTHING, "") for m, one in found]


def _forest(table: StudyTable, width: float) -> str:
    name = f"forest plot of {len(table.rows)} variants, {'narrow' if width < 6 else 'wide'}"
    return figure_svg(forest(table, width=width), name, _COLOURS)


def _curves(table: StudyTable) -> tuple[list[dict[str, Any]], list[str]]:
    """For every variant with an epoch its three curves, while there is room; the names of the others."""
    drawn: list[dict[str, Any]] = []
    left_out: list[str] = []
    room = _CURVES_BUDGET
    for row in table.rows:
        name = row.variant.name
        if not any(trial.epochs for trial in row.trials):
            continue
        pictures = [_curve(table, name, measure) for measure in (MEASURES if room > 0 else ())]
        room -= sum(map(len, pictures))
        if room < 0 or not pictures:
            left_out.append(name)
        else:
            drawn.append({"name": name, "note": note(row), "pictures": pictures})
    return drawn, left_out


def _curve(table: StudyTable, name: str, measure: str) -> str:
    figure = curves(table, name, [measure])
    figure.axes[0].set_title("", loc="left")  # it stands above the three
    return figure_svg(figure, f"{measure} by epoch: base and {name}", _COLOURS)


def _costs(table: StudyTable) -> list[dict[str, Any]]:
    """The top-1 error against each cost, for a screen and for a phone."""
    titles = {
        Measure.MULTIPLY_ADDS: "Multiply-adds",
        Measure.SECONDS: "Time",
        Measure.MEMORY: "Memory",
    }
    return [
        {
            "title": title,
            "pictures": [
                figure_svg(
                    cost(table, x=measure, labels=labels, width=width),
                    f"top-1 error against {title.lower()}, points with {labels}",
                    _COLOURS,
                )
                for labels, width in (("names", 8.0), ("numbers", _NARROW))
            ],
        }
        for measure, title in titles.items()
    ]


def _broken(trials: Sequence[tuple[VariantRow, Trial]]) -> list[tuple[str, str, str]]:
    """Trials that were not trained to their end: variant and seed, how they stand, why."""
    return [
        (f"{row.variant.name}, seed {trial.seed}", trial.status.value, trial.reason)
        for row, trial in trials
        if trial.status not in (TrialStatus.FINISHED, TrialStatus.PLATEAU)
    ]


def _cards(cards: LayerCards, margin: float) -> dict[str, Any]:
    """What follows from the cards, and each in words."""
    return {
        "advice": advise(cards, margin),
        "margin": f"{margin:g}",
        "layers": [
            {"name": name, "word": card.word, "lines": account(card)} for name, card in cards.cards.items()
        ],
    }


def _trial(study: Study, row: VariantRow, trial: Trial) -> list[str]:
    """A row of the list of trials."""
    score = trial.scores.get(study.split)
    finite = score is not None and math.isfinite(score.objective)
    return [
        row.variant.name,
        str(trial.seed),
        trial.run or NOTHING,
        trial.status.value,
        str(len([epoch for epoch in trial.epochs if epoch.epoch])),
        value(Measure.TOP1, score.top1_error) if score and finite else NOTHING,
        value(Measure.OBJECTIVE, score.objective) if score and finite else NOTHING,
        duration(trial.seconds) if trial.seconds else NOTHING,
    ]

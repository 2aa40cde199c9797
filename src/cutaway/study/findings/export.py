"""A study's results as plain values: for JSON and CSV, and to make its tables and pictures again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cutaway.config import Experiment, dump_experiment, dump_study, parse_experiment, parse_study
from cutaway.errors import ConfigError, DataError
from cutaway.nets import parse_net, plan
from cutaway.store import EpochRow
from cutaway.study.findings.table import Measure, StudyTable, VariantRow, tabulate
from cutaway.study.trial import Trial, TrialStatus
from cutaway.study.variant import Origin, Variant
from cutaway.training import Score

FORMAT = 1
"""Of what :func:`to_json` gives; raised when an older reader would misread it."""


def as_rows(table: StudyTable) -> list[dict[str, Any]]:
    """A flat row for each variant, the base first: what CSV and a table of JSON take.

    Returns:
        by variant: name, origin, how many of its trials ended in each way, parameters, for each measure
        the mean and its interval, for the top-1 error the difference to the base, and the verdict. Shares
        are from 0 to 1, None stands for what is not known.
    """
    return [_row(row) for row in (table.base, *table.rows)]


def to_json(table: StudyTable) -> dict[str, Any]:
    """Everything that a table is made of, and the table, as values that JSON has.

    ``results`` is for other programs: :func:`from_json` makes it anew of the trials. Of a base that is a
    file, and of the folder of images, only the name is written, which says nothing of the machine; all else
    of the experiments is complete.
    """
    rows = (table.base, *table.rows)
    study = table.study.model_copy(
        update={"base": Path(table.study.base).name, "experiment": _unplaced_fields(table.study.experiment)}
    )
    return {
        "format": FORMAT,
        "id": table.id,
        "study": dump_study(study),
        "variants": [_variant(row.variant) for row in rows],
        "trials": [_trial(trial) for row in rows for trial in row.trials],
        "results": as_rows(table),
    }


def from_json(values: Mapping[str, Any]) -> StudyTable:
    """The table of which :func:`to_json` gave the values; its nets are planned again.

    Raises:
        DataError: they are not such values, or a newer Cutaway's.
    """
    number = values.get("format") if isinstance(values, Mapping) else None
    if number != FORMAT:
        raise DataError(
            f"These are no results of a study, or another Cutaway's (format {number!r}, not {FORMAT}). "
            "Take the object that `cutaway study show --json` prints, or update Cutaway."
        )
    try:
        study = parse_study(values["study"])
        variants = [_read_variant(one) for one in values["variants"]]
        trials = [_read_trial(one) for one in values["trials"]]
        name = str(values["id"])
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise DataError(
            f"These results of a study are damaged ({type(error).__name__}: {error}). Export them again."
        ) from None
    return tabulate(study, variants, trials, name)


def _unplaced(experiment: Experiment) -> Experiment:
    """The experiment with the name of its images' folder or file, and not where that lies."""
    data = experiment.data
    return experiment.model_copy(update={"data": data.model_copy(update={"path": Path(data.path).name})})


def _unplaced_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same of some fields of an experiment, nested or by dotted name."""
    found = dict(fields)
    if isinstance(data := found.get("data"), Mapping) and "path" in data:
        found["data"] = {**data, "path": Path(str(data["path"])).name}
    if "data.path" in found:
        found["data.path"] = Path(str(found["data.path"])).name
    return found


def _row(row: VariantRow) -> dict[str, Any]:
    statuses = [trial.status for trial in row.trials]
    found: dict[str, Any] = {
        "variant": row.variant.name,
        "origin": row.variant.origin.value,
        "edits": row.variant.edits,
        "layers": " ".join(row.variant.layers),
        "budget": row.budget,
        "seeds": len(statuses),
        **{status.value.replace(" ", "_"): statuses.count(status) for status in TrialStatus},
        "parameters": row.parameters,
    }
    for measure in Measure:
        one = row.estimates.get(measure)
        found[measure.value] = _known(one.mean) if one else None
        found[f"{measure.value}_low"] = _known(one.low) if one else None
        found[f"{measure.value}_high"] = _known(one.high) if one else None
    difference = row.differences.get(Measure.TOP1)
    for field in ("mean", "low", "high", "p", "adjusted"):
        name = "difference" if field == "mean" else f"difference_{field}"
        found[name] = _known(getattr(difference, field)) if difference else None
    found["pairs"] = difference.count if difference else 0
    found["effect"] = row.verdict.effect.value
    found["sentence"] = row.verdict.sentence
    return found


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _variant(variant: Variant) -> dict[str, Any]:
    return {
        "name": variant.name,
        "origin": variant.origin.value,
        "edits": variant.edits,
        "changes": dict(variant.changes),
        "layers": list(variant.layers),
        "problem": variant.problem,
        "experiment": dump_experiment(_unplaced(variant.experiment)),
        "net": variant.plan.spec.text() if variant.plan else None,
        "input": list(variant.plan.input_shape) if variant.plan else None,
    }


def _read_variant(values: Mapping[str, Any]) -> Variant:
    planned = None
    if values["net"] is not None:
        planned = plan(parse_net(values["net"]), tuple(values["input"]))
    return Variant(
        values["name"],
        parse_experiment(values["experiment"]),
        planned,
        values["edits"],
        dict(values["changes"]),
        Origin(values["origin"]),
        tuple(values["layers"]),
        values["problem"],
    )


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "variant": trial.variant,
        "seed": trial.seed,
        "run": trial.run,
        "status": trial.status.value,
        "reason": trial.reason,
        "seconds": _number(trial.seconds),
        "pretraining": _number(trial.pretraining),
        "scores": _scores(trial.scores),
        "rungs": [{"budget": share, "scores": _scores(scores)} for share, scores in trial.rungs.items()],
        "epochs": [
            {
                "epoch": row.epoch,
                "lr": _number(row.lr),
                "seconds": _number(row.seconds),
                "images_per_second": _number(row.images_per_second),
                "best": row.best,
                "scores": _scores(row.scores),
            }
            for row in trial.epochs
        ],
    }


def _read_trial(values: Mapping[str, Any]) -> Trial:
    return Trial(
        values["variant"],
        int(values["seed"]),
        values["run"],
        TrialStatus(values["status"]),
        values["reason"],
        tuple(
            EpochRow(
                int(row["epoch"]),
                float(row["lr"]),
                float(row["seconds"]),
                float(row["images_per_second"]),
                bool(row["best"]),
                _read_scores(row["scores"]),
            )
            for row in values["epochs"]
        ),
        float(values["seconds"]),
        _read_scores(values["scores"]),
        {float(rung["budget"]): _read_scores(rung["scores"]) for rung in values["rungs"]},
        float(values.get("pretraining", 0.0)),  # not in what the first Cutaway wrote
    )


def _scores(scores: Mapping[str, Score]) -> dict[str, Any]:
    return {
        split: {name: _number(value) for name, value in asdict(score).items()}
        for split, score in scores.items()
    }


def _read_scores(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Score]:
    return {
        split: Score(
            float(score["objective"]),
            float(score["top1_error"]),
            float(score["top5_error"]),
            int(score["images"]),
        )
        for split, score in values.items()
    }


def _number(value: float) -> float | str:
    """JSON has no NaN and no ∞: they are texts, which ``float`` reads."""
    return value if math.isfinite(value) else str(value)

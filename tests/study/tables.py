"""Variants and trials with scores of our choosing, without any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cutaway.config import Experiment
from cutaway.nets import apply_edits, parse_net, plan
from cutaway.store import EpochRow
from cutaway.study import BASE, Origin, Trial, TrialStatus, Variant
from cutaway.training import Score

NET = parse_net("conv 2 3x3 | relu | maxpool 2 | flatten | dense 10")
SHAPE = (1, 8, 8)
EXPERIMENT = Experiment(name="tiny", net=NET.text())
BASE_VARIANT = Variant(BASE, EXPERIMENT, plan(NET, SHAPE), origin=Origin.BASE)


def variant(name: str = "", edits: str = "", origin: Origin = Origin.GIVEN, **more: Any) -> Variant:
    """A variant of the base by edits, planned."""
    net = apply_edits(NET, edits)
    experiment = more.pop("experiment", EXPERIMENT.model_copy(update={"net": net.text()}))
    return Variant(name or edits, experiment, plan(net, SHAPE), edits, origin=origin, **more)


def score(top1: float, images: int = 1000, objective: float | None = None) -> Score:
    """Of a top-1 error."""
    return Score(top1 * 3 if objective is None else objective, top1, top1 / 4, images)


def trial(
    name: str,
    seed: int,
    top1: float = 0.1,
    status: TrialStatus = TrialStatus.FINISHED,
    rungs: Mapping[float, float] | None = None,
    **more: Any,
) -> Trial:
    """A trial that ended with a top-1 error on the test split; on the validation split it is 0.5."""
    scores = {"test": score(top1), "validation": score(0.5)}
    found = {share: {"test": score(one), "validation": score(0.5)} for share, one in (rungs or {}).items()}
    more = {"run": f"{name[:4]}{seed}", "seconds": 10.0 + seed, **more}
    return Trial(name, seed, status=status, scores=scores, rungs=found, **more)


def trials(name: str, errors: Sequence[float], **more: Any) -> list[Trial]:
    """Finished trials, a seed each from 0 on."""
    return [trial(name, seed, top1, **more) for seed, top1 in enumerate(errors)]


def epoch(number: int, top1: float) -> EpochRow:
    """An epoch as the ledger has it."""
    return EpochRow(
        number, 0.1 / number, 1.5, 900.0, number == 1, {"train": score(top1), "test": score(top1)}
    )

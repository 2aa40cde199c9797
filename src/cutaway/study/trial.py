"""A trial: one variant trained with one seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cutaway.store import EpochRow
from cutaway.training import Score


class TrialStatus(StrEnum):
    """How a trial stands."""

    WAITING = "waiting"
    """It was not begun, or not ended: a study that is run again goes on with it."""
    FINISHED = "finished"
    """It spent its budget."""
    PLATEAU = "plateau"
    """It was abandoned by the experiment's own patience."""
    EARLY = "ended early"
    """The study's stopping rule ended it."""
    DIVERGED = "diverged"
    """A value was not finite: a result."""
    FAILED = "failed"
    """It broke off for a reason that is not the variant's; it is tried again when the study is run again."""


ENDED = frozenset({TrialStatus.FINISHED, TrialStatus.PLATEAU, TrialStatus.EARLY, TrialStatus.DIVERGED})
"""What is not trained again."""


@dataclass(frozen=True)
class Trial:
    """What one training of a study came to.

    Args:
        variant: its name.
        seed: of weights, order, dropout and augmentation; trials of one seed are compared in pairs.
        run: the id of its run in the ledger; empty while there is none.
        status: how it stands.
        reason: why it ended early or diverged: "NaN at step 212 in conv3".
        epochs: what was measured in each.
        seconds: of training and scoring.
        scores: by split, where it ended: what the study compares.
        rungs: for a study that ends trials early: by share of the budget, scores by split.
        pretraining: those of the seconds in which layers were pre-trained.
    """

    variant: str
    seed: int
    run: str = ""
    status: TrialStatus = TrialStatus.WAITING
    reason: str = ""
    epochs: tuple[EpochRow, ...] = ()
    seconds: float = 0.0
    scores: Mapping[str, Score] = field(default_factory=dict)
    rungs: Mapping[float, Mapping[str, Score]] = field(default_factory=dict)
    pretraining: float = 0.0

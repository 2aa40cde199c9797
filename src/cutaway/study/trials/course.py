"""One trial's way through a study: its run, how far it is, and how it ended."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

from cutaway.disk import write_file
from cutaway.store import Run, Store
from cutaway.store.studybook import WHOLE, StudyRow, TrialRow
from cutaway.study.prepared import Prepared
from cutaway.study.trial import ENDED, TrialStatus
from cutaway.study.trials.courier import Parcel
from cutaway.study.trials.scribe import Scribe
from cutaway.study.trials.worker import MARK, Report
from cutaway.study.variant import Variant
from cutaway.training import Score, Task


class Course:
    """A trial of a study, from the ledger's row to its end.

    Args:
        store: where its run is kept.
        study: the study in the ledger.
        made: its images.
        variant: what is trained.
        row: the trial in the ledger.
    """

    def __init__(
        self, store: Store, study: StudyRow, made: Prepared, variant: Variant, row: TrialRow
    ) -> None:
        self._store, self._study, self._made = store, study, made
        self.variant = variant
        self._row = row
        self.scores: dict[float, Mapping[str, Score]] = dict(row.scores)
        self.parcel: Parcel | None = None
        self.failed = False

    @classmethod
    def all(cls, store: Store, study: StudyRow, made: Prepared) -> list[Course]:
        """All trials of a study whose variants can be trained, seed by seed."""
        known = {(trial.variant, trial.seed): trial for trial in store.studies.trials(study.id)}
        return [
            cls(
                store,
                study,
                made,
                variant,
                known.get((variant.name, seed)) or TrialRow(variant.name, seed, "", TrialStatus.WAITING),
            )
            for seed in made.study.every_seed
            for variant in made.variants
            if not variant.problem
        ]

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left to train."""
        return TrialStatus(self._row.status) in ENDED

    @cached_property
    def task(self) -> Task:
        """What is trained, with this trial's seed."""
        experiment = self.variant.experiment
        name = f"{self._made.study.name}: {self.variant.name}"[:80]
        seeded = experiment.model_copy(update={"seed": self._row.seed, "name": name})
        return self._made.shelf.task(seeded)

    @cached_property
    def run(self) -> Run:
        """Its run: the one that was begun, or a new one."""
        for run in self._store.runs():
            if run.id == self._row.run:
                return run
        run = self._store.create(self.task.experiment, self.task.images)
        self.scores = {}
        self._row = replace(self._row, run=run.id, seconds=0.0)
        self._note(TrialStatus.WAITING, "")
        return run

    @cached_property
    def scribe(self) -> Scribe:
        """The writer of its run."""
        return Scribe(self.run, self.task)

    @property
    def epoch_seconds(self) -> tuple[float, ...]:
        """What each epoch took that is done."""
        return tuple(row.seconds for row in self._store.ledger.epochs(self.run.id))

    @property
    def pretrain_seconds(self) -> tuple[float, ...]:
        """Likewise, of its pre-training."""
        return tuple(row.seconds for row in self._store.ledger.pretrain_epochs(self.run.id))

    @property
    def token(self) -> str:
        """By which a worker knows its run's folder."""
        return f"{self._study.id} {self._row.seed} {self.variant.name}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, no other process trains its run.

        Raises:
            StoreError: another one does, or the folder can't be written.
        """
        with self.scribe.held():
            write_file(self.run.folder / MARK, self.token.encode())
            yield

    @property
    def budget(self) -> int:
        """Training images that it is shown in all."""
        experiment = self.variant.experiment
        epoch = len(self._made.shelf.images(experiment).split("train"))
        return self._made.study.budget.images or epoch * experiment.train.epochs

    @property
    def images_left(self) -> int:
        """Training images that it was not yet shown."""
        return round((1 - max(self.scores, default=0.0)) * self.budget)

    @property
    def work(self) -> float:
        """Multiply-adds of its whole training, forward."""
        return self.budget * (self.variant.plan.multiply_adds if self.variant.plan else 0)

    def until(self, share: float) -> int:
        """Images at which it pauses for a share of its budget; 0 where its epochs end by themselves."""
        whole = share == WHOLE and not self._made.study.budget.images
        return 0 if whole else round(share * self.budget)

    def lacks(self, share: float, splits: tuple[str, ...]) -> bool:
        """Whether it goes on and was not scored at a share of its budget."""
        scored = self.scores.get(share, {})
        wanted = [split for split in splits if split in self._made.splits]
        return not self.ended and not self.failed and not all(split in scored for split in wanted)

    def take(self, report: Report, share: float) -> None:
        """Note what a worker reports of it."""
        if report.parcel is not None:
            self.scribe.unpack(report.parcel)
            self.parcel = report.parcel
        spent = math.fsum([*self.epoch_seconds, *self.pretrain_seconds, report.seconds])
        self._row = replace(self._row, seconds=spent)
        if report.end == "asked":
            self.scribe.pause("the study was interrupted")
            self._note(TrialStatus.WAITING, "")
            return
        is_pause = report.end == "paused" and share < WHOLE
        if report.scores:
            scores = {name: score for name, score in report.scores.items() if name != "train"}
            self.scores[share if is_pause else WHOLE] = scores
        if is_pause:
            self.scribe.pause(f"at {share:.0%} of the study's budget")
            self._note(TrialStatus.WAITING, "")
        elif report.end == "paused":
            self._finish(f"the study's budget of {self.budget:,} images")
        elif report.end == "late":
            self._finish(f"the study's budget of {self._made.study.budget.minutes:g} minutes")
        elif report.end == "finished":
            self._note(TrialStatus.FINISHED, "")
        else:
            if report.end == "diverged":  # where a score tells it, nobody has told the run
                self._store.ledger.set_status(self.run.id, "diverged", report.reason)
            self._note(TrialStatus(report.end), report.reason)

    def _finish(self, reason: str) -> None:
        self.scribe.end(reason)
        self._note(TrialStatus.FINISHED, reason)

    def end_early(self, reason: str) -> None:
        """Note that the study's rule ended it."""
        if not self.failed:
            self.scribe.pause(reason)
            self._note(TrialStatus.EARLY, reason)

    def fail(self, reason: str) -> None:
        """Note that it broke off; whoever runs the study again tries it again."""
        self.failed = True
        self._store.ledger.set_status(self.run.id, "failed", reason)
        self._note(TrialStatus.FAILED, reason)

    def _note(self, status: TrialStatus, reason: str) -> None:
        self._row = replace(self._row, status=status, reason=reason, scores=dict(self.scores))
        self._store.studies.note(self._study.id, self._row)

"""A study under way: trials handed to workers, their messages written down, rung by rung."""

from __future__ import annotations

import pickle
import queue
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from distributed import KilledWorker, get_worker

from cutaway.config import StoppingKind, dump_experiment
from cutaway.errors import CutawayError, InterruptedRunError, LostProcessError
from cutaway.progress import tracked
from cutaway.store import Store
from cutaway.store.studybook import WHOLE, StudyRow
from cutaway.study.identity import program
from cutaway.study.prepared import Prepared
from cutaway.study.trials.course import Course
from cutaway.study.trials.halving import survivors
from cutaway.study.trials.worker import Assignment, Report, allow_to_run, ask_to_stop, carry_out
from cutaway.study.trials.workers import gpu_resources, thread_count
from cutaway.study.variant import BASE
from cutaway.training import Score

_PATIENCE = 60.0
"""Seconds to wait for messages that a report says were sent before it, and for workers to pause."""

_LOOK = 0.25
"""Seconds after which somebody who waits looks whether to stop."""

_CHOICE, _REPORTED = ("validation",), ("validation", "test")
"""What is scored at a rung: of all what chooses, of those that end there and of the base both."""


@dataclass(frozen=True)
class _Job:
    """A trial to train up to a share of its budget, and the splits to score there."""

    course: Course
    share: float
    splits: tuple[str, ...]

    @property
    def due(self) -> bool:
        """Whether it goes on and was not scored there."""
        return self.course.lacks(self.share, self.splits)

    @property
    def work(self) -> float:
        """Multiply-adds of what is left to train, forward; what is only scored comes last."""
        return (self.share - max(self.course.scores, default=0.0)) * self.course.work


@dataclass(frozen=True)
class _Mail:
    """What a worker sent: a message, or its future when it is done."""

    run: str
    message: bytes = b""
    done: Any = None


class Conductor:
    """Trains what is missing of a study.

    Args:
        store: where its runs are kept.
        row: the study in the ledger.
        made: its variants and images.
        client: of Dask.
        stop: asked a few times a second; true pauses all trials and ends the study.
    """

    def __init__(
        self, store: Store, row: StudyRow, made: Prepared, client: Any, stop: Callable[[], bool]
    ) -> None:
        self._store, self._row, self._made = store, row, made
        self._client, self._stop = client, stop
        self._inbox: queue.SimpleQueue[_Mail] = queue.SimpleQueue()
        self._topic = f"cutaway-{row.id}"
        self._courses = Course.all(store, row, made)
        self._add: Callable[[int], None] = _untold

    def run(self) -> None:
        """Train until every trial has ended.

        Raises:
            InterruptedRunError: somebody asked to stop; what was done is kept.
            StoreError: the store can't be written; what was done is kept.
            LostProcessError: the connection to a worker broke off.
        """
        stopping = self._made.study.stopping
        rungs = stopping.rungs if stopping.rule is StoppingKind.HALVING else ()
        self._client.run(allow_to_run, self._row.id)
        self._client.subscribe_topic(self._topic, self._receive)
        left = sum(course.images_left for course in self._courses if not course.ended)
        try:
            with tracked("Training trials", left, "images") as self._add:
                ending: list[_Job] = []
                for share in rungs:
                    self._carry_out([*ending, *self._jobs(share, _CHOICE, without=ending)])
                    self._note(ending)
                    ending = self._select(share, stopping.keep)
                self._carry_out([*ending, *self._jobs(WHOLE, _REPORTED, without=ending)])
                self._note(ending)
        finally:
            self._client.unsubscribe_topic(self._topic)

    def _jobs(self, share: float, splits: tuple[str, ...], *, without: Sequence[_Job]) -> list[_Job]:
        """All that go on, up to a share of their budget. The base is scored on what is told everywhere."""
        out = {id(job.course) for job in without}
        return [
            _Job(course, share, _REPORTED if course.variant.name == BASE else splits)
            for course in self._courses
            if not course.ended and id(course) not in out
        ]

    def _carry_out(self, jobs: Sequence[_Job]) -> None:
        """Train and score what is due of them."""
        # Longest first, so that no worker is left with a long one at the end.
        waiting = iter(sorted((job for job in jobs if job.due), key=lambda job: -job.work))
        busy: dict[str, _Job] = {}
        most = 2 * thread_count(self._client)
        held: dict[str, ExitStack] = {}
        try:
            while True:
                while len(busy) < most and (job := next(waiting, None)) is not None:
                    run = job.course.run.id
                    held[run] = ExitStack()
                    held[run].enter_context(job.course.held())
                    self._submit(job)
                    busy[run] = job
                if not busy:
                    return
                self._follow(busy)
                for run in held.keys() - busy.keys():
                    held.pop(run).close()
        finally:
            for one in held.values():
                one.close()

    def _submit(self, job: _Job) -> None:
        """Hand a trial to the workers."""
        course, wanted = job.course, job.splits
        path, fingerprint = self._made.shelf.file(course.variant.experiment)
        assignment = Assignment(
            self._row.id,
            dump_experiment(course.task.experiment),
            course.run.id,
            str(course.run.folder.resolve()),
            course.token,
            str(path),
            fingerprint,
            program(),
            course.until(job.share),
            course.parcel,
            wanted,
            course.epoch_seconds,
            course.pretrain_seconds,
        )
        future = self._client.submit(
            _on_worker,
            assignment,
            self._topic,
            key=f"{self._row.id}-{course.run.id}-{job.share:g}-{'-'.join(wanted)}",
            pure=False,
            resources=gpu_resources(self._client, course.task.experiment.train.device),
        )
        run = course.run.id
        future.add_done_callback(lambda done: self._inbox.put(_Mail(run, done=done)))

    def _follow(self, busy: dict[str, _Job]) -> None:
        """Write down what comes in until a trial is done."""
        while True:
            if self._stop():
                self._interrupt(busy)
            try:
                mail = self._inbox.get(timeout=_LOOK)
            except queue.Empty:
                continue
            if mail.done is None:
                self._write(busy, mail)
                continue
            self._finish(busy.pop(mail.run), mail.done)
            return

    def _receive(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Called by Dask for each message, in another thread."""
        _, content = event
        self._inbox.put(_Mail(content["run"], content["message"]))

    def _write(self, busy: Mapping[str, _Job], mail: _Mail) -> None:
        if mail.run in busy:
            self._add(busy[mail.run].course.scribe.write(pickle.loads(mail.message)))  # noqa: S301  our own workers'

    def _finish(self, job: _Job, future: Any) -> None:
        """A worker is done with a trial, or has given it up."""
        course = job.course
        try:
            report: Report = future.result()
        except KilledWorker as error:
            course.fail(f"workers end while they train it; {error.last_worker.address} was the last")
        except CutawayError as error:
            course.fail(str(error))
        except Exception as error:  # noqa: BLE001  whatever a worker meets is told of the trial
            course.fail(f"{type(error).__name__}: {error}")
        else:
            self._await(job, report)
            course.take(report, job.share)

    def _await(self, job: _Job, report: Report) -> None:
        """Write the messages that were sent before a report; they come by another way."""
        course, later = job.course, list[_Mail]()
        while course.scribe.received < report.posted:
            try:
                mail = self._inbox.get(timeout=_PATIENCE)
            except queue.Empty:
                raise LostProcessError(
                    f"Messages of the run {course.run.id} were lost on their way from the worker. "
                    "Run the study again: it goes on with what is missing."
                ) from None
            if mail.done is None and mail.run == course.run.id:
                self._write({mail.run: job}, mail)
            else:
                later.append(mail)
        for mail in later:
            self._inbox.put(mail)

    def _select(self, share: float, keep: float) -> list[_Job]:
        """The variants that do not go on from a rung, to be scored there on the split that is told."""
        scores: dict[str, list[Score]] = {}
        for course in self._courses:
            # A study that goes on has noted some as ended: they are ranked as they were then.
            if course.variant.name != BASE and share in course.scores and not course.failed:
                scores.setdefault(course.variant.name, []).append(course.scores[share]["validation"])
        going = {BASE, *survivors(scores, keep)}
        running = [course for course in self._courses if not course.ended and not course.failed]
        return [_Job(course, share, _REPORTED) for course in running if course.variant.name not in going]

    def _note(self, ending: Sequence[_Job]) -> None:
        """Note that trials were ended at a rung, when they are scored there."""
        for job in ending:
            self._add(job.course.images_left)
            job.course.end_early(f"at {job.share:.0%} of the budget others had a lower validation error")

    def _interrupt(self, busy: dict[str, _Job]) -> None:
        """Let what is under way pause, write that down, and end."""
        self._client.run(ask_to_stop, self._row.id)
        while busy:
            try:
                mail = self._inbox.get(timeout=_PATIENCE)
            except queue.Empty:
                break  # what does not pause is done again
            if mail.done is None:
                self._write(busy, mail)
            else:
                self._finish(busy.pop(mail.run), mail.done)
        raise InterruptedRunError(
            f"The study {self._row.id} was stopped; what was trained is kept. Run it again to go on with it."
        )


def _untold(images: int) -> None:
    """Nobody listens yet to how far it is."""


def _on_worker(assignment: Assignment, topic: str) -> Report:
    """Carry an assignment out, on a Dask worker."""
    worker = get_worker()

    def send(message: bytes) -> None:
        worker.log_event(topic, {"run": assignment.run, "message": message})

    return carry_out(assignment, send)

"""A study's trials are the trainings that anybody would run by hand, wherever and however often they run."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed import Client, LocalCluster
from tests.study.inline import InlineClient, conducted, few_images

from cutaway.config import Study
from cutaway.errors import ConfigError, InterruptedRunError, NotFoundError, StoreError
from cutaway.store import Run, Store, train
from cutaway.study import Effect, StudyTable, TrialStatus, find_study, read_table
from cutaway.study.session import run_study
from cutaway.study.trials.conduct import Conductor
from cutaway.study.trials.course import Course
from cutaway.study.trials.halving import survivors
from cutaway.study.trials.worker import Assignment, ask_to_stop
from cutaway.training import Score

FIELDS: dict[str, Any] = {
    "net": "conv 3 5x5 stride 2 | relu | maxpool 2 | flatten | dense 10",
    "data": {"train_images": 300, "validation": 100, "test": 100},
    "train": {"epochs": 2, "batch": 50, "lr": 0.05},
}


def make_study(**changes: Any) -> Study:
    values: dict[str, Any] = {
        "name": "tiny",
        "base": "digits",
        "experiment": FIELDS,
        "variant": [{"edits": "-relu1"}],
        "seeds": 2,
    }
    return Study.model_validate(values | changes)


@pytest.fixture(autouse=True)
def _few_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutaway.study.images.load_images", few_images)


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {n: t for n, t in run.load("last")[0].tensors.items() if n.startswith(("model.", "optimiser."))}


def runs_of(store: Store, table: StudyTable) -> dict[tuple[str, int], Run]:
    rows = (table.base, *table.rows)
    return {(t.variant, t.seed): store.find(t.run) for row in rows for t in row.trials}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, StudyTable]:
    """The study, without Dask."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cutaway.study.images.load_images", few_images)
        store = Store(tmp_path_factory.mktemp("plain"))
        with conducted(patch, InlineClient()):
            table = run_study(make_study(), store=store)
    return store, table


def test_a_trial_is_the_training_that_anybody_would_run_by_hand(
    plain: tuple[Store, StudyTable], tmp_path: Path
) -> None:
    store, table = plain
    found = runs_of(store, table)
    assert set(found) == {(name, seed) for name in ("base", "-relu1") for seed in (0, 1)}
    net = str(FIELDS["net"]).replace("relu | ", "")
    by_hand = train(
        "digits",
        {**FIELDS, "net": net, "seed": 1, "train": {**FIELDS["train"], "threads": 1}},
        store=Store(tmp_path),
    )
    mine = found["-relu1", 1]
    assert mine.status == "finished"
    for name, value in weights(by_hand).items():
        assert torch.equal(value, weights(mine)[name]), name
    theirs = by_hand.epochs()
    assert [e.scores["validation"] for e in theirs] == [e.scores["validation"] for e in mine.epochs()]
    assert mine.measured().keys() == by_hand.measured().keys()
    # The best weights have their place too.
    assert mine.load("best")[1].position.epoch == by_hand.load("best")[1].position.epoch
    assert not list(mine.folder.glob("arriving*"))


def test_the_table_has_the_scores_of_the_last_epochs(plain: tuple[Store, StudyTable]) -> None:
    store, table = plain
    runs = runs_of(store, table)
    for row in (table.base, *table.rows):
        for trial in row.trials:
            assert trial.status is TrialStatus.FINISHED
            assert trial.scores["test"] == runs[trial.variant, trial.seed].epochs()[-1].scores["test"]
            assert trial.seconds > 0
    assert read_table(store, find_study(store, "tiny")) == table


def test_seconds_are_those_of_the_epochs(plain: tuple[Store, StudyTable]) -> None:
    store, table = plain
    for trial in table.base.trials:
        assert trial.seconds == pytest.approx(sum(row.seconds for row in store.find(trial.run).epochs()))


def test_a_net_in_a_file_is_what_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edited file is another study; a name of the zoo and a file with the same text are not."""
    store, file = Store(tmp_path / "store"), tmp_path / "my.net"

    def ids() -> list[str]:
        return [row.id for row in store.studies.rows()]

    def run(**changes: Any) -> StudyTable:
        with conducted(monkeypatch, InlineClient()):
            return run_study(make_study(seeds=1, **changes), store=store)

    file.write_text("conv 3 5x5 stride 2 | relu | maxpool 2 | flatten | dense 10")
    base = {"experiment": FIELDS | {"net": str(file)}}
    first = run(**base)
    assert run(**base).id == first.id
    file.write_text("conv 3 5x5 stride 2 | relu | maxpool 2 | flatten | dense 9 | relu | dense 10")
    second = run(**base)
    assert len(ids()) == 2
    assert "dense 9" in store.find(second.base.trials[0].run).experiment.net
    variant = {"variant": [{"name": "mine", "set": {"net": str(file)}}]}
    third = run(**variant)
    file.write_text("flatten | dense 10")
    fourth = run(**variant)
    assert third.id != fourth.id
    assert "conv" not in store.find(fourth.rows[0].trials[0].run).experiment.net
    grid = {"variant": [], "grid": {"net": [str(file)]}}
    fifth = run(**grid)
    file.write_text("conv 2 5x5 | flatten | dense 10")
    assert run(**grid).id != fifth.id


def test_a_trial_that_has_ended_is_let_go_while_others_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = most = 0
    whole = Course.held

    @contextmanager
    def counted(course: Course) -> Iterator[None]:
        nonlocal held, most
        with whole(course):
            held += 1
            most = max(most, held)
            yield
        held -= 1

    monkeypatch.setattr(Course, "held", counted)
    with conducted(monkeypatch, InlineClient()):
        run_study(make_study(seeds=3), store=Store(tmp_path))
    assert (held, most) == (0, 2)  # twice as many as there are workers


def test_what_has_ended_is_not_trained_again(
    plain: tuple[Store, StudyTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, table = plain
    before = len(store.runs())

    def no_cluster(scheduler: str, count: int) -> None:
        raise AssertionError("nothing is missing, and a cluster was started")

    monkeypatch.setattr("cutaway.study.session.dask_workers", no_cluster)
    assert run_study(make_study(), store=store) == table
    assert len(store.runs()) == before


def test_a_trial_whose_run_was_removed_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its numbers stay; but a study that goes on makes it anew."""
    store = Store(tmp_path)
    with conducted(monkeypatch, InlineClient()):
        table = run_study(make_study(seeds=1), store=store)
        store.remove(store.find(table.base.trials[0].run))
        again = read_table(store, find_study(store, "last"))
        assert again.base.trials[0].scores == table.base.trials[0].scores
        assert not again.base.trials[0].run


def test_stopped_in_the_middle_it_goes_on_to_the_same_numbers(
    plain: tuple[Store, StudyTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    count = 0

    def third_asks_to_stop(assignment: Assignment) -> Assignment:
        nonlocal count
        count += 1
        if count == 3:
            os.kill(os.getpid(), signal.SIGINT)
            ask_to_stop(assignment.study)
        return assignment

    with conducted(monkeypatch, InlineClient(third_asks_to_stop)):
        with pytest.raises(InterruptedRunError, match="Run it again to go on"):
            run_study(make_study(), store=store)
        part = read_table(store, find_study(store, "last"))
        states = sorted(t.status.value for row in (part.base, *part.rows) for t in row.trials)
        assert states[:2] == ["finished", "finished"]
        assert "waiting" in states
        whole = run_study(make_study(), store=store)
    _same(store, whole, *plain)
    assert [row.id for row in store.studies.rows()] == [part.id]


def _same(store: Store, table: StudyTable, other_store: Store, other: StudyTable) -> None:
    mine, theirs = runs_of(store, table), runs_of(other_store, other)
    assert mine.keys() == theirs.keys()
    for key, run in theirs.items():
        for name, value in weights(run).items():
            assert torch.equal(value, weights(mine[key])[name]), (key, name)
    for row, its in zip((table.base, *table.rows), (other.base, *other.rows), strict=True):
        assert [t.scores for t in row.trials] == [t.scores for t in its.trials]
        assert [[e.scores for e in t.epochs] for t in row.trials] == [
            [e.scores for e in t.epochs] for t in its.trials
        ]


def test_without_a_common_disk_checkpoints_travel(
    plain: tuple[Store, StudyTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker sees another machine's folders: none of the study's."""

    def elsewhere(assignment: Assignment) -> Assignment:
        return Assignment(**{**assignment.__dict__, "folder": "/nowhere/run"})

    store = Store(tmp_path)
    with conducted(monkeypatch, InlineClient(elsewhere)):
        table = run_study(make_study(), store=store)
    _same(store, table, *plain)
    best = [run.load("best")[1].position.epoch for run in runs_of(store, table).values()]
    assert best == [run.load("best")[1].position.epoch for run in runs_of(*plain).values()]


def test_a_trial_that_diverges_is_a_result_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(variant=[{"set": {"train.lr": 900.0}}, {"edits": "-relu1"}])
    store = Store(tmp_path)
    with conducted(monkeypatch, InlineClient()):
        table = run_study(study, store=store)
    wild = table.row("train.lr 900.0")
    assert {t.status for t in wild.trials} == {TrialStatus.DIVERGED}
    assert "step" in wild.trials[0].reason
    assert wild.verdict.effect is Effect.DIVERGES
    assert {t.status for t in table.row("-relu1").trials} == {TrialStatus.FINISHED}
    assert store.find(wild.trials[0].run).status == "diverged"


def test_what_breaks_off_is_told_and_tried_again_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(assignment: Assignment) -> Assignment:
        if "relu1" in assignment.token:
            raise StoreError("The disk is full.")
        return assignment

    store = Store(tmp_path)
    with conducted(monkeypatch, InlineClient(full)):
        table = run_study(make_study(seeds=1), store=store)
    (trial,) = table.row("-relu1").trials
    assert (trial.status, trial.reason) == (TrialStatus.FAILED, "The disk is full.")
    with conducted(monkeypatch, InlineClient()):
        (trial,) = run_study(make_study(seeds=1), store=store).row("-relu1").trials
    assert trial.status is TrialStatus.FINISHED


def test_a_budget_of_images_ends_within_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    with conducted(monkeypatch, InlineClient()):
        table = run_study(make_study(budget={"images": 400}, seeds=1), store=store)
    (trial,) = table.base.trials
    run = store.find(trial.run)
    assert run.experiment.train.epochs == 2
    position = run.load("last")[1].position
    assert (position.epoch, position.step) == (1, 2)  # 300 images, and two batches of 50
    assert trial.status is TrialStatus.FINISHED
    assert run.status == "finished"
    assert trial.scores["test"].images == 300


def test_the_time_of_pre_training_is_among_a_trials_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    changed = [{"set": {"pretrain.layers": ["conv1"], "pretrain.epochs": 2}}]
    with conducted(monkeypatch, InlineClient()):
        table = run_study(make_study(variant=changed, seeds=1), store=store)
    (plain,), (trained,) = table.base.trials, table.rows[0].trials
    rows = store.find(trained.run).pretraining()
    assert len(rows) == 2
    assert plain.pretraining == 0
    assert 0 < trained.pretraining == sum(row.seconds for row in rows) < trained.seconds


def test_halving_ends_the_worse_and_the_better_end_as_they_would_have_anyway(
    plain: tuple[Store, StudyTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(
        variant=[{"edits": "-relu1"}, {"set": {"train.lr": 1e-6}}, {"set": {"train.lr": 1e-7}}],
        stopping={"rule": "halving", "rungs": [0.25], "keep": 0.3},
    )
    store = Store(tmp_path)
    with conducted(monkeypatch, InlineClient()) as client:
        table = run_study(study, store=store)
    for name in ("train.lr 1e-06", "train.lr 1e-07"):
        for trial in table.row(name).trials:
            assert trial.status is TrialStatus.EARLY
            assert set(trial.rungs) == {0.25}
            assert set(trial.rungs[0.25]) == {"validation", "test"}
            assert trial.scores == trial.rungs[0.25]
            assert store.find(trial.run).load("last")[1].position.step == 3  # 150 of 600 images
    kept = StudyTable(table.id, table.study, table.base, (table.row("-relu1"),))
    mine, theirs = runs_of(store, kept), runs_of(*plain)
    for key, run in theirs.items():
        for name, value in weights(run).items():
            assert torch.equal(value, weights(mine[key])[name]), (key, name)
    # Only the base and those that end are scored on the test split at a rung.
    early = [a for a in client.assignments if a.until and "test" not in a.splits]
    assert len(early) == 6


def test_a_halved_study_that_was_stopped_chooses_the_same_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(
        seeds=1,
        variant=[{"edits": "-relu1"}, {"set": {"train.lr": 0.01}}, {"set": {"train.lr": 1e-7}}],
        stopping={"rule": "halving", "rungs": [0.25, 0.5], "keep": 0.5},
    )
    whole = _rungs(run_inline(study, tmp_path / "whole", monkeypatch))
    early, finished = TrialStatus.EARLY.value, TrialStatus.FINISHED.value
    assert sorted(whole.values()) == [(early, 0.25), (early, 0.5), (finished, 0.5), (finished, 0.5)]
    carry_out, calls = Conductor._carry_out, list[int]()

    def stopped(self: Conductor, jobs: Sequence[Any]) -> None:
        calls.append(len(jobs))
        if len(calls) == 3:
            raise InterruptedRunError("enough")
        carry_out(self, jobs)

    with monkeypatch.context() as patch:
        patch.setattr(Conductor, "_carry_out", stopped)
        with pytest.raises(InterruptedRunError, match="enough"):
            run_inline(study, tmp_path / "stopped", monkeypatch)
    assert calls == [4, 4, 3]  # all; those that go on and the scores of one that ended; and again
    assert _rungs(run_inline(study, tmp_path / "stopped", monkeypatch)) == whole


def test_a_variant_that_has_ended_is_ranked_with_the_others_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(
        seeds=1,
        variant=[{"edits": "-relu1"}, {"set": {"train.lr": 0.01}}, {"set": {"train.lr": 1e-7}}],
        stopping={"rule": "halving", "rungs": [0.25], "keep": 0.5},
    )
    ranked = list[list[str]]()

    def noted(scores: Mapping[str, Sequence[Score]], keep: float) -> list[str]:
        ranked.append(sorted(scores))
        return survivors(scores, keep)

    monkeypatch.setattr("cutaway.study.trials.conduct.survivors", noted)
    table = run_inline(study, tmp_path, monkeypatch)
    store = Store(tmp_path)
    base = next(trial for trial in store.studies.trials(table.id) if trial.variant == "base")
    store.studies.note(table.id, replace(base, status="waiting"))  # as if it had been stopped
    run_inline(study, tmp_path, monkeypatch)
    assert ranked == [["-relu1", "train.lr 0.01", "train.lr 1e-07"]] * 2


def run_inline(study: Study, folder: Path, monkeypatch: pytest.MonkeyPatch) -> StudyTable:
    with conducted(monkeypatch, InlineClient()):
        return run_study(study, store=Store(folder))


def _rungs(table: StudyTable) -> dict[str, tuple[str, float]]:
    """By variant, how its trial ended and the last rung that it was scored at."""
    return {
        row.variant.name: (row.trials[0].status.value, max(row.trials[0].rungs))
        for row in (table.base, *table.rows)
    }


def test_halving_needs_a_validation_split(tmp_path: Path) -> None:
    fields = {**FIELDS, "data": {"train_images": 300, "validation": 0}}
    study = make_study(experiment=fields, stopping={"rule": "halving"})
    with pytest.raises(ConfigError, match="no validation split"):
        run_study(study, store=Store(tmp_path))


def test_a_worker_of_another_cutaway_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def older(assignment: Assignment) -> Assignment:
        return Assignment(**{**assignment.__dict__, "program": {**assignment.program, "cutaway": "9.9"}})

    with conducted(monkeypatch, InlineClient(older)):
        table = run_study(make_study(seeds=1), store=Store(tmp_path))
    assert "has cutaway 0.1.0, the study 9.9" in table.base.trials[0].reason


def test_other_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(assignment: Assignment) -> Assignment:
        wrong = {"images": "/nowhere.safetensors", "fingerprint": "0123456789abcdef"}
        return Assignment(**{**assignment.__dict__, **wrong})

    with conducted(monkeypatch, InlineClient(blind)):
        table = run_study(make_study(seeds=1), store=Store(tmp_path))
    assert "finds other images" in table.base.trials[0].reason


def test_a_scheduler_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutaway.study.trials.workers._WAIT", 0.3)
    with pytest.raises(NotFoundError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:9"):
        run_study(make_study(), store=Store(tmp_path), scheduler="tcp://127.0.0.1:9")


def test_two_processes_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cutaway.disk import locked

    store = Store(tmp_path)
    with conducted(monkeypatch, InlineClient()):
        table = run_study(make_study(seeds=1), store=store)
        with locked(tmp_path / "studies" / table.id, "study"), pytest.raises(StoreError, match="The study"):
            run_study(make_study(seeds=1), store=store)


def test_on_a_cluster_with_two_workers_killed_the_numbers_are_the_same(
    plain: tuple[Store, StudyTable], tmp_path: Path
) -> None:
    """Bit for bit; the second kill comes when a checkpoint is there to go on from."""
    store = Store(tmp_path)
    quiet = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, memory_limit=0, **quiet) as cluster:
        killer = threading.Thread(target=_kill_two, args=(cluster.scheduler_address, store))
        killer.start()
        try:
            table = run_study(make_study(), store=store, scheduler=cluster.scheduler_address)
        finally:
            killer.join()
    _same(store, table, *plain)


def _kill_two(address: str, store: Store) -> None:
    """Kill a worker when the first run is under way, and another when an epoch is done."""
    client: Any = Client(address, set_as_default=False)
    with client:
        pids = list(client.run(os.getpid).values())
    for pid, epochs in zip(pids, (0, 1), strict=True):
        limit = time.monotonic() + 60
        while not _has_begun(store, epochs) and time.monotonic() < limit:
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)


def _has_begun(store: Store, epochs: int) -> bool:
    """Whether a run has so many epochs behind it."""
    return any(len(run.epochs()) >= epochs for run in store.runs())

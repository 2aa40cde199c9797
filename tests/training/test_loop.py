"""The loop against a plain one, against itself, and against itself stopped anywhere."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from cutaway.config import Experiment, derive, load_experiment
from cutaway.data import Varied
from cutaway.nets.builder import Net
from cutaway.training import (
    Checkpoint,
    CheckpointDue,
    Diverged,
    EpochDone,
    Event,
    Finished,
    Score,
    Started,
    StepDone,
    Stopped,
    Task,
    prepare,
    train,
)
from cutaway.training.batches import batch_bounds


def tiny(small: Experiment, **fields: Any) -> Task:
    """A task of eight steps."""
    values = {"data": {"train_images": 400, "validation": 200}, "train": {"batch": 100, "epochs": 2}}
    for section, given_fields in fields.items():
        values[section] = {**values.get(section, {}), **given_fields}
    return prepare(load_experiment(small, values))


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


class Recorder:
    """Keeps every event, and asks to stop after a number of steps."""

    def __init__(self, stop_after: int = -1) -> None:
        self.events: list[Event] = []
        self.stop_after = stop_after

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def stop(self) -> bool:
        return sum(isinstance(event, StepDone) for event in self.events) == self.stop_after

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def last_checkpoint(self) -> Checkpoint:
        found = self.of(CheckpointDue)[-1].checkpoint
        assert isinstance(found, Checkpoint)
        return found


@given(st.integers(1, 300), st.integers(1, 60))
def test_batches_take_every_image_once(images: int, batch: int) -> None:
    bounds = batch_bounds(images, batch)
    taken = [i for begin, end in bounds for i in range(begin, end)]
    assert taken == list(range(images))
    sizes = [end - begin for begin, end in bounds]
    assert all(size == batch for size in sizes[:-1])
    assert sizes[-1] <= batch + 1
    # Batch norm needs two values; one image alone can only be all there is.
    assert batch == 1 or images == 1 or sizes[-1] > 1


def test_it_trains_as_a_plain_loop_does(small: Experiment) -> None:
    """The same batches, rates and formulas without any of the loop's means of speed.

    The net is smooth: at a kink, or where two maxima nearly tie, rounding alone would part the two.
    """
    text = "conv 4 5x5\ntanh\navgpool 2\nbatchnorm\ngelu\nflatten\ndense 10"
    task = tiny(small, train={"weight_decay": 0.01, "label_smoothing": 0.1})
    task = prepare(task.experiment.model_copy(update={"net": text}))
    net = task.build()
    recipe, split = task.experiment.train, task.images.splits["train"]
    inputs = (split.pixels.double() - task.preprocess.shift[0]) / task.preprocess.scale[0]
    plain = nn.Sequential(*[module for _, module in net.named_children()])
    buffers = [torch.zeros_like(p) for p in plain.parameters()]
    for epoch in range(2):
        generator = torch.Generator().manual_seed(derive(task.experiment.seed, "order", epoch))
        order = torch.randperm(400, generator=generator)
        for number in range(4):
            t = (4 * epoch + number + 0.5) / 8
            lr = recipe.lr * (t / 0.2 if t < 0.2 else (1 - t) / 0.8)
            chosen = order[100 * number : 100 * number + 100]
            loss = nn.functional.cross_entropy(
                plain(inputs[chosen].float()), split.labels[chosen], label_smoothing=0.1
            )
            gradients = torch.autograd.grad(loss, list(plain.parameters()))
            with torch.no_grad():
                for p, g, v in zip(plain.parameters(), gradients, buffers, strict=True):
                    step = g + (0.01 * p if p.dim() > 1 else 0)
                    v.mul_(0.9).add_(step)
                    p.sub_(lr * (step + 0.9 * v))
    learnt = train(task)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(learnt.state_dict()[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_stopped_anywhere_and_continued_it_gives_the_same_weights(small: Experiment, optimiser: str) -> None:
    task = tiny(small, train={"optimiser": optimiser, "lr": 0.01})
    whole = Recorder()
    expected = weights(train(task, [whole]))
    for steps in (0, 1, 3, 4, 7):
        first, second = Recorder(steps), Recorder()
        train(task, [first], first.stop)
        assert first.of(Stopped) == [Stopped(steps // 4 + 1, steps % 4 if steps != 4 else 4)] or steps == 4
        assert_same(weights(train(task, [second], checkpoint=first.last_checkpoint)), expected)
        # What was measured is the same too, the epoch that was stopped included.
        assert scores(second)[-1] == scores(whole)[-1]


VARIED = {"shift": 2, "rotate": 10.0, "cutout": 6, "mixup": 0.4}


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_a_checkpoint_is_not_used_up(small: Experiment, optimiser: str) -> None:
    task = tiny(small, train={"optimiser": optimiser, "lr": 0.01, "average": 0.5})
    stopped = Recorder(stop_after=3)
    train(task, [stopped], stopped.stop)
    checkpoint = stopped.last_checkpoint
    before = {name: value.clone() for name, value in checkpoint.tensors.items()}
    first, second = (weights(train(task, checkpoint=checkpoint)) for _ in range(2))
    assert_same(dict(checkpoint.tensors), before)
    assert_same(first, second)


def test_images_that_stay_where_they_are_train_alike(small: Experiment) -> None:
    """As on a GPU that they are too many for; here both are the CPU."""
    task = tiny(small)
    assert task.room is not None
    apart = replace(task, room=replace(task.room, holds_images=False))
    assert_same(weights(train(task)), weights(train(apart)))


def test_stopped_anywhere_and_continued_it_varies_images_alike(small: Experiment) -> None:
    task = tiny(small, data={"augment": VARIED})
    whole = weights(train(task))
    recorder = Recorder(stop_after=3)
    train(task, [recorder], recorder.stop)
    assert_same(weights(train(task, checkpoint=recorder.last_checkpoint)), whole)
    plain = weights(train(tiny(small)))
    assert any(not torch.equal(value, whole[name]) for name, value in plain.items())


def test_every_step_varies_images_anew_and_scores_are_of_the_images_themselves(small: Experiment) -> None:
    task = tiny(small, data={"augment": VARIED}, train={"epochs": 1, "lr": 0.0})
    assert task.augment is not None
    seeds: list[int] = []

    class Watched:
        def __call__(self, pixels: Tensor, labels: Tensor, seed: int) -> Varied:
            seeds.append(seed)
            # Blank images: what is learnt from them is nothing, whatever is scored is not of them.
            return Varied(torch.zeros_like(pixels), labels)

    recorder = Recorder()
    train(replace(task, augment=Watched()), [recorder])  # type: ignore[arg-type]
    assert len(set(seeds)) == len(seeds) == 4
    plain = Recorder()
    train(replace(task, augment=None), [plain])
    for split in ("validation", "test"):
        assert scores(recorder)[-1][split] == scores(plain)[-1][split]
    assert scores(recorder)[-1]["train"] != scores(plain)[-1]["train"]


def scores(recorder: Recorder) -> list[dict[str, Score]]:
    return [dict(event.scores) for event in recorder.of(EpochDone)]


def test_stopped_while_scoring_it_scores_when_continued(small: Experiment) -> None:
    task = tiny(small)
    recorder, whole = Recorder(4), Recorder()
    expected = weights(train(task, [whole]))
    train(task, [recorder], recorder.stop)  # four steps are an epoch: the stop falls into its evaluation
    assert recorder.of(Stopped) == [Stopped(1, 4)]
    assert not recorder.of(EpochDone)
    second = Recorder()
    assert_same(weights(train(task, [second], checkpoint=recorder.last_checkpoint)), expected)
    rates = [(event.epoch, event.lr) for event in whole.of(EpochDone)]
    assert [(event.epoch, event.lr) for event in second.of(EpochDone)] == rates


def test_twice_the_same_and_another_seed_another(small: Experiment) -> None:
    task = tiny(small)
    first = weights(train(task))
    assert_same(weights(train(task)), first)
    other = prepare(task.experiment.model_copy(update={"seed": 5}))
    assert not torch.equal(weights(train(other))["conv1.weight"], first["conv1.weight"])


def test_it_leaves_no_trace(small: Experiment) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(42)
    before = torch.get_rng_state()
    try:
        train(tiny(small, train={"threads": 2}))
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(2)


def test_what_it_tells(small: Experiment) -> None:
    recorder = Recorder()
    task = tiny(small)
    train(task, [recorder])
    kinds = [type(event) for event in recorder.events]
    epoch = [StepDone] * 4 + [EpochDone, CheckpointDue]
    assert kinds == [Started, *epoch, *epoch, Finished]
    assert [set(event.scores) for event in recorder.of(EpochDone)] == [{"train", "validation", "test"}] * 2
    assert recorder.of(EpochDone)[0].scores["train"].images == 400


def test_no_epochs_score_the_random_weights(small: Experiment) -> None:
    recorder = Recorder()
    task = tiny(small, train={"epochs": 0})
    net = train(task, [recorder])
    assert_same(weights(net), weights(task.build()))
    (epoch,) = recorder.of(EpochDone)
    assert epoch.epoch == 0
    assert epoch.best
    assert epoch.scores["test"].top1_error > 0.5


def test_no_epochs_and_stopped_while_scoring_is_not_finished(small: Experiment) -> None:
    task = tiny(small, train={"epochs": 0})
    stopped = Recorder()
    train(task, [stopped], stop=lambda: True)
    assert stopped.events[-1] == Stopped(1, 0)
    resumed = Recorder()
    train(task, [resumed], checkpoint=stopped.last_checkpoint)
    assert len(resumed.of(EpochDone)) == 1
    assert resumed.events[-1] == Finished()


@pytest.mark.parametrize("schedule", ["one-cycle", "constant"])
def test_no_epochs_of_a_net_that_is_not_finite(
    small: Experiment, monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    task = tiny(small, train={"epochs": 0, "schedule": schedule})
    whole = Task.build

    def broken(self: Task) -> Net:
        net = whole(self)
        with torch.no_grad():
            net.get_parameter("conv1.weight").mul_(math.inf)
        return net

    monkeypatch.setattr(Task, "build", broken)
    recorder = Recorder()
    train(task, [recorder])
    (told,) = recorder.of(Diverged)
    assert isinstance(told, Diverged)
    assert recorder.events[-1] is told
    assert (
        "the weight of conv1, after the step before, is not finite, in a net that was not trained"
        in told.reason
    )


def test_the_best_epoch_is_chosen_on_validation(small: Experiment) -> None:
    recorder = Recorder()
    train(tiny(small, train={"epochs": 6, "lr": 0.3, "schedule": "constant"}), [recorder])
    best = (math.inf, math.inf)
    for event in recorder.of(EpochDone):
        judge = event.scores["validation"]
        now = (judge.top1_error, judge.objective)
        assert event.best == (now < best)
        best = min(best, now)
    position = recorder.last_checkpoint.position
    assert (position.best_error, position.best_objective) == best


def test_without_validation_the_last_epoch_is_the_best(small: Experiment) -> None:
    recorder = Recorder()
    train(tiny(small, data={"validation": 0}), [recorder])
    assert [event.best for event in recorder.of(EpochDone)] == [True, True]
    assert "validation" not in recorder.of(EpochDone)[0].scores


def test_a_batch_larger_than_the_data_is_one_step(small: Experiment) -> None:
    recorder = Recorder()
    train(tiny(small, train={"batch": 5000, "epochs": 1}), [recorder])
    assert [event.images for event in recorder.of(StepDone)] == [400]


def test_a_class_may_be_missing_from_the_validation_split(small: Experiment) -> None:
    task = tiny(small)
    whole = task.images.splits["validation"]
    kept = whole.take((whole.labels != 3).nonzero().flatten())
    assert 0 < len(kept) < len(whole)
    images = replace(task.images, splits={**task.images.splits, "validation": kept})
    task = prepare(task.experiment, images)
    recorder = Recorder()
    net = train(task, [recorder])
    score = recorder.of(EpochDone)[-1].scores["validation"]
    with torch.no_grad():
        logits = net(task.preprocess(kept.pixels))
    assert score.images == len(kept)
    assert score.top1_error == pytest.approx(float((logits.argmax(1) != kept.labels).double().mean()))
    expected = nn.functional.cross_entropy(logits, kept.labels)
    assert score.objective == pytest.approx(float(expected), rel=1e-4)


def test_the_net_is_the_described_one(small: Experiment) -> None:
    task = tiny(small)
    net = train(task)
    assert isinstance(net, Net)
    assert [name for name, _ in net.named_children()] == [row.name for row in task.plan.rows]
    assert not net.training

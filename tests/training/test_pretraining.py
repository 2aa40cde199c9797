"""Pre-training against a plain loop, against itself, and against itself stopped anywhere."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.config import DataConfig, Experiment, derive, load_experiment
from cutaway.data import Images, Preprocess, load_images
from cutaway.errors import ConfigError
from cutaway.nets.autoencoder import Autoencoder
from cutaway.nets.depths import find_depths
from cutaway.progress import Progress, listening
from cutaway.training import (
    Checkpoint,
    CheckpointDue,
    Diverged,
    EpochDone,
    Event,
    Finished,
    Position,
    Pretrained,
    Started,
    StepDone,
    Stopped,
    Task,
    prepare,
    train,
)

NET = """
conv 3 5x5
maxpool 3 stride 2
relu
conv 4 3x3
batchnorm
tanh
flatten
dropout 0.2
dense 8
relu
dense 10
"""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Maps here are so small that waking a second thread costs more than it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(small: Experiment, **fields: Any) -> Task:
    """A task of three depths, two epochs of four steps each, and one epoch of training."""
    values: dict[str, dict[str, Any]] = {
        "data": {"train_images": 120, "validation": 60},
        "train": {"batch": 40, "epochs": 1, "threads": 1},
        "pretrain": {"layers": "*", "epochs": 2, "batch": 32, "lr": 0.003, "images": 3},
    }
    net = fields.pop("net", NET)
    for section, given in fields.items():
        values[section] = {**values[section], **given}
    experiment = load_experiment(small, {"net": net, **values})
    return prepare(experiment, digits(experiment.data))


@functools.cache
def digits(data: DataConfig) -> Images:
    """Loaded once, and without the test images: scoring 10 000 takes longer than all the rest."""
    images = load_images(data)
    return replace(images, splits={name: split for name, split in images.splits.items() if name != "test"})


class Recorder:
    """Keeps every event, the tensors of checkpoints copied, and asks to stop at a question of its own."""

    def __init__(self, stop_at: int = -1) -> None:
        self.events: list[Event] = []
        self.asked = 0
        self.stop_at = stop_at

    def __call__(self, event: Event) -> None:
        if isinstance(event, CheckpointDue):
            tensors = {name: value.clone() for name, value in event.checkpoint.tensors.items()}
            event = replace(event, checkpoint=replace(event.checkpoint, tensors=tensors))
        self.events.append(event)

    def stop(self) -> bool:
        self.asked += 1
        return self.asked == self.stop_at

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def checkpoints(self) -> list[Checkpoint]:
        return [event.checkpoint for event in self.of(CheckpointDue)]


def weights(task: Task, observer: Callable[[Event], None] | None = None) -> dict[str, Tensor]:
    """What the net has after its training."""
    return dict(train(task, [observer] if observer else []).state_dict())


def of_model(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return {n.removeprefix("model."): t for n, t in checkpoint.tensors.items() if n.startswith("model.")}


def changed(first: dict[str, Tensor], second: dict[str, Tensor]) -> set[str]:
    """The layers of which anything differs, batch norm's statistics too."""
    assert first.keys() == second.keys()
    return {name.rsplit(".", 1)[0] for name, value in first.items() if not torch.equal(value, second[name])}


BOTH = pytest.mark.parametrize("mode", ["layer-wise", "stacked"])


def test_layer_by_layer_it_learns_as_a_plain_loop_does(small: Experiment) -> None:
    """Two depths with smooth layers, in double precision, with functions of PyTorch alone."""
    text = "conv 3 5x5 | tanh | avgpool 2 | flatten | dense 7 | sigmoid | dense 10"
    task = made(small, net=text, train={"epochs": 0})
    recorder = Recorder()
    found = weights(task, recorder)
    seed = task.experiment.seed
    net = task.build()
    mirrors = Autoencoder(net, find_depths(task.plan, ["*"]), seed).mirrors
    back = [[p.detach().double().requires_grad_() for p in mirror.parameters()] for mirror in mirrors]
    own = [
        [p.detach().double().requires_grad_() for p in net.get_submodule(name).parameters()]
        for name in ("conv1", "dense1")
    ]
    split = task.images.splits["train"]
    images = (split.pixels.double() - task.preprocess.shift[0]) / task.preprocess.scale[0]

    def first(x: Tensor) -> Tensor:
        return F.avg_pool2d(F.conv2d(x, own[0][0], own[0][1]).tanh(), 2).flatten(1)

    def first_back(code: Tensor) -> Tensor:
        maps = code.unflatten(1, (3, 12, 12)).repeat_interleave(2, 2).repeat_interleave(2, 3)
        return F.conv_transpose2d(maps, back[0][0], back[0][1])

    def second_back(code: Tensor) -> Tensor:
        return F.linear(code, *back[1]).tanh()

    losses: dict[tuple[int, int], list[float]] = {}
    for depth in range(2):
        parameters = [*own[depth], *back[depth]]
        means = [torch.zeros_like(p) for p in parameters]
        squares = [torch.zeros_like(p) for p in parameters]
        step = 0
        for epoch in range(2):
            generator = torch.Generator().manual_seed(derive(seed, "pretrain", depth, epoch))
            for chosen in torch.randperm(120, generator=generator).split(32):
                wanted = images[chosen]
                if depth == 0:
                    found_back = first_back(first(wanted))
                else:
                    wanted = first(wanted).detach()
                    found_back = second_back(F.linear(wanted, *own[1]).sigmoid())
                loss = ((found_back - wanted) ** 2).mean()
                losses.setdefault((depth, epoch), []).append(float(loss.detach()) * len(chosen) / 120)
                gradients = torch.autograd.grad(loss, parameters)
                step += 1
                with torch.no_grad():
                    for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):
                        m.mul_(0.9).add_(0.1 * g)
                        v.mul_(0.999).add_(0.001 * g * g)
                        deviation = (v / (1 - 0.999**step)).sqrt() + 1e-8
                        p.sub_(0.003 * (m / (1 - 0.9**step)) / deviation)
    for name, values in zip(("conv1", "dense1"), own, strict=True):
        for kind, value in zip(("weight", "bias"), values, strict=True):
            expected = value.detach().float()
            torch.testing.assert_close(found[f"{name}.{kind}"], expected, rtol=2e-3, atol=2e-5)
    told = {(event.depth - 1, event.epoch - 1): event for event in recorder.of(Pretrained)}
    assert told.keys() == losses.keys()
    for place, shares in losses.items():
        assert told[place].train == pytest.approx(sum(shares), rel=1e-3)
    # And the errors on validation, of the layer's own input and of the image.
    held = task.images.splits["validation"]
    x = (held.pixels.double() - task.preprocess.shift[0]) / task.preprocess.scale[0]
    with torch.no_grad():
        features = first(x)
        own_back = second_back(F.linear(features, *own[1]).sigmoid())
        image = first_back(own_back)
    own_error = float(((own_back - features) ** 2).mean())
    assert told[1, 1].validation == pytest.approx(own_error, rel=1e-3)
    assert told[1, 1].images.error == pytest.approx(float(((image - x) ** 2).mean()), rel=1e-3)
    pixels = image * task.preprocess.scale[0] + task.preprocess.shift[0]
    shown = told[1, 1].images
    assert torch.equal(shown.originals, held.pixels[[0, 29, 59]])
    assert (shown.images.float() - pixels[[0, 29, 59]].clamp(0, 255)).abs().max() < 1


def test_stacked_all_depths_give_back_the_image(small: Experiment) -> None:
    """The first step's errors, counted by hand, and the direction that all weights go in."""
    text = "conv 3 5x5 | maxpool 2 | tanh | flatten | dense 7 | tanh | dense 10"
    task = made(small, net=text, train={"epochs": 0}, pretrain={"mode": "stacked", "epochs": 1, "batch": 200})
    recorder = Recorder()
    found = weights(task, recorder)
    seed = task.experiment.seed
    net = task.build()
    mirrors = Autoencoder(net, find_depths(task.plan, ["*"]), seed).mirrors
    split = task.images.splits["train"]
    x = (split.pixels.float() - task.preprocess.shift[0]) / task.preprocess.scale[0]
    pooled, places = F.max_pool2d(net.get_submodule("conv1")(x), 2, return_indices=True)
    code = pooled.tanh().flatten(1)
    deeper = net.get_submodule("dense1")(code).tanh()
    own = list(mirrors[0].parameters())
    back = list(mirrors[1].parameters())

    def image(value: Tensor) -> Tensor:
        maps = F.max_unpool2d(value.unflatten(1, (3, 12, 12)), places, [2, 2])
        return F.conv_transpose2d(maps, own[0], own[1])

    errors = [((image(value) - x) ** 2).mean() for value in (code, F.linear(deeper, back[0], back[1]).tanh())]
    told = recorder.of(Pretrained)
    assert [event.train for event in told] == pytest.approx(
        [float(error.detach()) for error in errors], rel=1e-4
    )
    (sum(errors) / 2).backward()  # type: ignore[union-attr]
    for name, parameter in net.named_parameters():
        if name.startswith("dense2"):
            assert torch.equal(found[name], parameter.detach())
            continue
        # Adam's first step is as long as the rate, against the gradient's sign.
        assert parameter.grad is not None
        clear = parameter.grad.abs() > 1e-6
        moved = (found[name] - parameter.detach())[clear]
        torch.testing.assert_close(moved, -0.003 * parameter.grad[clear].sign(), rtol=0.02, atol=1e-6)


@BOTH
def test_errors_fall_and_everything_is_told(small: Experiment, mode: str) -> None:
    recorder = Recorder()
    train(made(small, pretrain={"mode": mode, "epochs": 4}), [recorder])
    told = recorder.of(Pretrained)
    if mode == "stacked":
        order = [(depth, epoch) for epoch in range(1, 5) for depth in (1, 2, 3)]
        kinds = [*([Pretrained] * 3 + [CheckpointDue]) * 4]
    else:
        order = [(depth, epoch) for depth in (1, 2, 3) for epoch in range(1, 5)]
        kinds = [Pretrained, CheckpointDue] * 12
    assert [(event.depth, event.epoch) for event in told] == order
    ends = [StepDone] * 3 + [EpochDone, CheckpointDue, Finished]
    assert [type(event) for event in recorder.events] == [Started, *kinds, *ends]
    for event in told:
        assert (event.depths, event.epochs) == (3, 4)
        assert event.layer == ("conv1", "conv2", "dense1")[event.depth - 1]
        assert event.seconds > 0
        assert (event.images is not None) == (event.epoch == 4)
    for depth in (1, 2, 3):
        errors = [event for event in told if event.depth == depth]
        assert errors[-1].train < errors[0].train
        assert errors[-1].validation < errors[0].validation
        last = errors[-1].images
        assert last.split == "validation"
        assert last.originals.shape == last.images.shape == (3, 1, 28, 28)
        assert last.originals.dtype == last.images.dtype == torch.uint8
        if depth == 1 or mode == "stacked":
            assert last.error == errors[-1].validation
        assert 0 < last.error < 1.2  # the image's own variance is about 1


def test_each_layer_learns_in_its_turn_and_no_other(small: Experiment) -> None:
    task = made(small)
    recorder = Recorder()
    train(task, [recorder])
    states = [dict(task.build().state_dict()), *map(of_model, recorder.checkpoints)]
    turns = [changed(*pair) for pair in itertools.pairwise(states)]
    assert turns[:6] == [{"conv1"}] * 2 + [{"conv2", "batchnorm1"}] * 2 + [{"dense1"}] * 2
    assert "dense2" in turns[6]  # the training itself


def test_a_layer_that_is_not_chosen_stays_and_is_decoded_all_the_same(small: Experiment) -> None:
    for mode, stages in (("layer-wise", 3), ("stacked", 1)):
        task = made(small, pretrain={"layers": ["conv1", "dense1"], "mode": mode}, train={"epochs": 0})
        recorder = Recorder()
        found = weights(task, recorder)
        assert changed(dict(task.build().state_dict()), found) == {"conv1", "dense1"}
        assert len(recorder.checkpoints) == 2 * stages + 1
        second = [event for event in recorder.of(Pretrained) if event.layer == "conv2"]
        assert second[-1].images.error < 1.2


@BOTH
def test_training_begins_with_exactly_the_pre_trained_weights(small: Experiment, mode: str) -> None:
    task = made(small, pretrain={"mode": mode}, train={"lr": 0})
    recorder = Recorder()
    found = weights(task, recorder)
    pretrained = next(
        of_model(one)
        for one in recorder.checkpoints
        if one.position.pretrained == (6 if mode == "layer-wise" else 2)
    )
    # A rate of zero moves nothing; batch norm takes its means all the same.
    assert changed(pretrained, found) == {"batchnorm1"}
    first = dict(task.build().state_dict())
    assert changed(first, pretrained) == {"conv1", "conv2", "batchnorm1", "dense1"}
    # Without epochs it is scored and kept as it is.
    assert changed(weights(made(small, pretrain={"mode": mode}, train={"epochs": 0})), pretrained) == set()


def test_without_layers_nothing_is_changed(small: Experiment) -> None:
    recorder = Recorder()
    found = weights(made(small, pretrain={"layers": ()}), recorder)
    assert not recorder.of(Pretrained)
    assert changed(found, weights(made(small, pretrain={"layers": (), "epochs": 5, "noise": 0.3}))) == set()
    assert not [name for name in recorder.checkpoints[0].tensors if name.startswith(("mirror.", "adam."))]


def test_frozen_layers_stay_as_they_were_pre_trained(small: Experiment) -> None:
    task = made(small, train={"freeze": ["conv*", "batchnorm1"]})
    recorder = Recorder()
    found = weights(task, recorder)
    pretrained = of_model(recorder.checkpoints[5])
    assert changed(pretrained, found) == {"dense1", "dense2"}
    assert {"conv1", "conv2", "batchnorm1"} <= changed(dict(task.build().state_dict()), found)


def test_frozen_in_all_layers_only_without_epochs(small: Experiment) -> None:
    with pytest.raises(ConfigError, match="leave no layer to learn"):
        made(small, train={"freeze": ["*"]})
    task = made(small, train={"freeze": ["*"], "epochs": 0})
    assert changed(dict(task.build().state_dict()), weights(task)) == {
        "conv1",
        "conv2",
        "batchnorm1",
        "dense1",
    }


def test_means_of_weights_begin_with_the_pre_trained_ones(small: Experiment) -> None:
    plain = weights(made(small, train={"epochs": 0}))
    assert changed(weights(made(small, train={"epochs": 0, "average": 2})), plain) == set()


@BOTH
@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_stopped_anywhere_and_continued_it_gives_the_same(small: Experiment, mode: str, noise: float) -> None:
    task = made(small, pretrain={"mode": mode, "noise": noise})
    whole = Recorder()
    expected = dict(train(task, [whole], whole.stop).state_dict())
    results = {(e.depth, e.epoch): (e.train, e.validation) for e in whole.of(Pretrained)}
    pictures = {e.depth: e.images for e in whole.of(Pretrained) if e.images}
    questions = whole.asked
    assert questions > 10
    for at in range(1, questions - 3, 5):
        first, second = Recorder(at), Recorder()
        train(task, [first], first.stop)
        (stopped,) = first.of(Stopped)
        place = "conv1" if at < 4 and mode == "layer-wise" else ""
        assert stopped.epoch == 1 or f"in the pre-training of {place}" in stopped.reason
        kept = first.checkpoints[-1] if first.checkpoints else None
        found = train(task, [second], checkpoint=kept)
        assert changed(dict(found.state_dict()), expected) == set()
        assert not found.training
        # Every epoch was told, and alike.
        both = [*first.of(Pretrained), *second.of(Pretrained)]
        assert {(e.depth, e.epoch): (e.train, e.validation) for e in both} == results
        for event in both:
            if event.images:
                assert torch.equal(event.images.images, pictures[event.depth].images)
                assert event.images.error == pictures[event.depth].error


def test_twice_the_same_and_another_seed_another(small: Experiment) -> None:
    first = weights(made(small, pretrain={"noise": 0.1}))
    assert changed(first, weights(made(small, pretrain={"noise": 0.1}))) == set()
    for fields in ({"seed": 5}, {"weights_seed": 5}, {"order_seed": 5}):
        task = made(load_experiment(small, fields), pretrain={"noise": 0.1})
        assert "conv1" in changed(first, weights(task))


def test_time_that_is_up_ends_it(small: Experiment) -> None:
    recorder = Recorder()
    train(made(small, train={"minutes": 1e-9}), [recorder])
    (stopped,) = recorder.of(Stopped)
    place = "in the pre-training of conv1, epoch 1 of 2"
    assert stopped == Stopped(0, 0, f"the time limit of 1e-09 minutes, {place}")
    assert not recorder.checkpoints


def test_it_leaves_no_trace(small: Experiment) -> None:
    torch.manual_seed(42)
    before = torch.get_rng_state()
    net = train(made(small, train={"epochs": 0}))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    recorder = Recorder(5)
    net = train(made(small), [recorder], recorder.stop)
    assert recorder.of(Stopped)
    assert all(p.requires_grad and p.grad is None for p in net.parameters())


def test_mirrors_are_kept_only_while_they_are_needed(small: Experiment) -> None:
    recorder = Recorder()
    train(made(small), [recorder])
    kept = [{n.split(".")[0] for n in one.tensors} for one in recorder.checkpoints]
    assert all("mirror" in names for names in kept[:5])
    assert ["adam" in names for names in kept[:6]] == [True, False, True, False, True, False]
    assert all("mirror" not in names for names in kept[5:])


@BOTH
def test_without_validation_a_sample_of_training_images_judges(small: Experiment, mode: str) -> None:
    recorder = Recorder()
    train(made(small, data={"validation": 0}, pretrain={"mode": mode}), [recorder])
    for event in recorder.of(Pretrained):
        assert event.validation is None
        if event.images:
            assert event.images.split == "train"
            assert 0 < event.images.error < 1.2


@BOTH
def test_a_batch_in_parts_learns_alike(small: Experiment, mode: str) -> None:
    """Masks are drawn for the whole batch. Sums of another order differ in their last bits."""
    text = NET.replace("batchnorm\n", "")
    fields = {"mode": mode, "noise": 0.25, "epochs": 1, "lr": 1e-3}
    whole = Recorder()
    expected = weights(made(small, net=text, train={"epochs": 0}, pretrain=fields), whole)
    parts = Recorder()
    found = weights(made(small, net=text, train={"epochs": 0}, pretrain={**fields, "microbatch": 9}), parts)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)
    for one, other in zip(whole.of(Pretrained), parts.of(Pretrained), strict=True):
        assert one.train == pytest.approx(other.train, rel=1e-4)


def test_noise_masks_the_input_and_asks_for_the_whole(
    small: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    encode = Autoencoder.encode

    def watched(self: Autoencoder, inputs: Tensor, first: int, last: int) -> Any:
        if torch.is_grad_enabled():
            seen.append(inputs.detach().clone())
        return encode(self, inputs, first, last)

    monkeypatch.setattr(Autoencoder, "encode", watched)
    runs = []
    for noise in (0.0, 0.4):
        seen.clear()
        task = made(small, train={"epochs": 0}, pretrain={"noise": noise, "layers": "conv1"})
        recorder = Recorder()
        train(task, [recorder])
        runs.append((torch.cat(seen), recorder.of(Pretrained)[0].train))
    (clean, plain_error), (masked, error) = runs
    hidden = masked != clean
    assert float(hidden.float().mean()) == pytest.approx(0.4, abs=0.01)
    assert (masked[hidden] == 0).all()
    assert error != plain_error
    # Every step has a mask of its own.
    assert not torch.equal(hidden[:32], hidden[32:64])


@BOTH
@pytest.mark.parametrize("scale", [1e-30, 1e-18])
def test_it_says_where_it_diverged(small: Experiment, mode: str, scale: float) -> None:
    """Inputs so large that their squares overflow."""
    task = replace(made(small, pretrain={"mode": mode}), preprocess=Preprocess((0.0,), (scale,)))
    recorder = Recorder()
    net = train(task, [recorder])
    (event,) = recorder.of(Diverged)
    assert (event.epoch, event.step) == (0, 1)
    layer = "conv1" if mode == "layer-wise" else "dense1"
    assert event.reason.startswith(
        f"in the pre-training of {layer}, epoch 1 of 2, what came back is not finite. "
    )
    assert "Try --pretrain.lr 0.0003" in event.reason
    assert not recorder.of(Pretrained)
    assert not recorder.checkpoints
    assert all(parameter.isfinite().all() for parameter in net.parameters())
    assert not net.training


def test_without_switches_the_code_alone_tells(small: Experiment) -> None:
    text = "conv 6 3x3 | relu | maxpool 4 | flatten | dense 10"
    errors = []
    for switches in (True, False):
        recorder = Recorder()
        fields = {"switches": switches, "epochs": 8, "lr": 0.01}
        train(made(small, net=text, train={"epochs": 0}, pretrain=fields), [recorder])
        errors.append(recorder.of(Pretrained)[-1].images.error)
    assert errors[0] < 0.8 * errors[1]


def test_a_batch_larger_than_the_data_is_one_step(small: Experiment) -> None:
    told: list[Progress] = []
    with listening(told.append):
        train(made(small, pretrain={"batch": 5000, "layers": "conv1", "epochs": 1}, train={"epochs": 0}))
    steps = [one for one in told if one.what.startswith("pre-training")]
    assert steps == [Progress("pre-training conv1, epoch 1", done, 1, "steps") for done in (0, 1)]


def test_a_position_of_before_has_none(small: Experiment) -> None:
    assert Position(epoch=3).pretrained == 0


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["conv9"], 'no conv or dense layer is called "conv9"'),
        (["dense2"], "dense2 is the classifier"),
        (["tanh1"], 'no conv or dense layer is called "tanh1"'),
    ],
)
def test_wrong_layers_are_told_before_training(small: Experiment, layers: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(small, pretrain={"layers": layers})
    assert message in str(caught.value)


def test_blocks_are_told_before_training(small: Experiment) -> None:
    net = "residual 4 | conv 4 3x3 | globalpool | flatten | dense 10"
    with pytest.raises(ConfigError, match=r"residual1 .* can't be mirrored"):
        made(small, net=net)

"""Micro-batches: a batch that goes through in parts is trained on as if it went through whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutaway.config import Experiment, derive, load_experiment
from cutaway.data import Framing, Images, Preprocess, Varied
from cutaway.data.images import make_split
from cutaway.errors import ConfigError, InterruptedRunError
from cutaway.nets import parse_net, plan, training_memory
from cutaway.store import Run, Store, record, resume
from cutaway.training import Diverged, Event, StepDone, Task, prepare, room, train
from cutaway.training.loop import _Training
from cutaway.training.room import PROGRAM, Room

NETS = {
    "relu": "conv 6 3x3 | relu | maxpool 2 | conv 8 3x3 | relu | flatten | dense 10",
    "tanh": "conv 6 3x3 | tanh | avgpool 2 | conv 10 3x3 | globalpool | flatten",
    "lrn": "conv 6 3x3 | relu | lrn 3 alpha 0.5 | maxpool 3 stride 2 ceil | flatten | dense 10",
    "inception": "conv 6 3x3 | inception 2 2-3 2-3 2 | maxpool 2 | flatten | dense 10",
    "dropout on maps": "conv 6 3x3 | relu | dropout 0.3 | maxpool 2 | flatten | dense 10",
    "dropout on vectors": "flatten | dense 20 | relu | dropout 0.5 | dense 9 | dropout 0.25 | dense 10",
    "dropout everywhere": "dropout 0.1 | conv 6 3x3 | maxpool 2 | dropout 0.5 | globalpool | dropout 0.3 | "
    "flatten | dropout 0.25 | dense 10",
}  # fmt: skip
BATCH, SHAPE = 33, (2, 12, 12)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Maps here are so small that waking a second thread costs more than it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Double(Preprocess):
    """float64 inputs: what remains between two orders of summing is far below any mistake."""

    def __call__(self, pixels: Tensor) -> Tensor:
        return super().__call__(pixels).double()


def training(
    text: str, microbatch: int, images: int = BATCH, observers: Any = (), **recipe: Any
) -> _Training:
    """A training in float64 on random images, with one batch and a micro-batch of some size."""
    planned = plan(parse_net(text), SHAPE)
    fields = {"batch": BATCH, "epochs": 1, "lr": 0.1, "device": "cpu", "threads": 1, **recipe}
    experiment = load_experiment(Experiment(), {"net": text, "train": fields})
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (images, *SHAPE), dtype=torch.uint8, generator=generator)
    split = make_split(pixels, torch.arange(images) % 10, 10, "train")
    preprocess = Double((128.0, 100.0), (64.0, 50.0))
    task = Task(
        experiment,
        Images(tuple("0123456789"), {"train": split}),
        preprocess,
        Framing.measured(split),
        planned,
    )
    room = Room(1 << 40, microbatch, 100, roomy=False)
    found = _Training(task, room, torch.device("cpu"), observers=observers)
    found.net.double()
    found.net.train()
    return found


def stepped(text: str, microbatch: int, **recipe: Any) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """One step: every gradient, the tally's sums, and the random stream behind it."""
    found = training(text, microbatch, **recipe)
    split = found.splits["train"]
    with torch.random.fork_rng(devices=[]):
        assert found.step(Varied(split.pixels, split.labels, None, None), 0)
        stream = torch.get_rng_state()
    gradients = {}
    for name, parameter in found.net.named_parameters():
        assert parameter.grad is not None
        gradients[name] = parameter.grad.clone()
    return gradients, found.tally.sums, stream


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("net", NETS)
def test_gradient_tally_and_random_stream_are_those_of_the_whole_batch(net: str, smoothing: float) -> None:
    whole, sums, stream = stepped(NETS[net], BATCH, label_smoothing=smoothing)
    for microbatch in (7, 17, 1):
        found, found_sums, found_stream = stepped(NETS[net], microbatch, label_smoothing=smoothing)
        for name, gradient in whole.items():
            assert gradient.abs().max() > 0
            # Logits are rounded to float32 before the objective.
            torch.testing.assert_close(
                found[name], gradient, rtol=1e-5, atol=1e-7 * float(gradient.abs().max())
            )
        torch.testing.assert_close(found_sums, sums, rtol=1e-6, atol=0)
        assert found_sums[3] == BATCH
        assert torch.equal(found_stream, stream)


@pytest.mark.parametrize("net", ["relu", "dropout everywhere"])
def test_the_gradient_is_that_of_a_plain_step(net: str) -> None:
    """Against the net's own layers in their own order, and PyTorch's own cross-entropy."""
    gradients, sums, _ = stepped(NETS[net], 7, label_smoothing=0.2)
    plain = training(NETS[net], BATCH)
    split = plain.splits["train"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(plain.task.experiment.seed, "step", 0))
        logits = plain.net(plain.task.preprocess(split.pixels))
    # Rounded as there: in double precision throughout it would be the worse reference.
    objective = nn.functional.cross_entropy(logits.float(), split.labels, label_smoothing=0.2)
    found = torch.autograd.grad(objective, list(plain.net.parameters()))
    for (name, gradient), wanted in zip(gradients.items(), found, strict=True):
        torch.testing.assert_close(
            gradient, wanted, rtol=1e-5, atol=1e-7 * float(wanted.abs().max()), msg=name
        )
    logits = logits.detach()
    total = nn.functional.cross_entropy(logits, split.labels, reduction="sum")
    errors = (logits.argmax(1) != split.labels).sum()
    assert float(sums[0]) == pytest.approx(float(total), rel=1e-6)
    assert float(sums[1]) == float(errors)


@pytest.mark.parametrize("microbatch", [1, 7, 17, 33])
def test_no_part_has_more_images_than_the_micro_batch(microbatch: int) -> None:
    found = training(NETS["tanh"], microbatch)
    sizes: list[int] = []

    class Counting(Double):
        def __call__(self, pixels: Tensor) -> Tensor:
            sizes.append(len(pixels))
            return super().__call__(pixels)

    counting = Counting((128.0, 100.0), (64.0, 50.0))
    found.gradient._task = replace(found.task, preprocess=counting)
    split = found.splits["train"]
    with torch.random.fork_rng(devices=[]):
        assert found.step(Varied(split.pixels, split.labels, None, None), 0)
    assert sum(sizes) == BATCH
    assert max(sizes) <= microbatch
    assert len(sizes) == -(-BATCH // microbatch)


# The last batch of an epoch takes an image that would be left alone, so that batch norm has two
# values. The micro-batch that is the whole batch must not cut it off again.
def test_a_left_over_image_is_not_cut_off_again() -> None:
    found = training("flatten | dense 8 | batchnorm | dense 10", BATCH, images=2 * BATCH + 1)
    assert found.batches == [(0, 33), (33, 67)]
    assert found.steps()


def test_no_part_is_a_single_image_where_batch_norm_is_split() -> None:
    found = training("flatten | dense 8 | batchnorm | dense 10", 7, images=36, batch=36, split_batchnorm=True)
    assert found.steps()


# Trainings. ---------------------------------------------------------------------------------------

NET = "conv 4 5x5\nmaxpool 2\ntanh\ndropout 0.1\nflatten\ndense 10"


def short(small: Experiment, **recipe: Any) -> Experiment:
    """Two epochs of five steps on digits."""
    data = {"train_images": 500, "validation": 200}
    return load_experiment(
        small, {"net": NET, "data": data, "train": {"batch": 100, "lr": 0.05, "threads": 1, **recipe}}
    )


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def test_a_training_in_parts_gives_nearly_the_same_weights(small: Experiment) -> None:
    plain = prepare(short(small))
    whole, first = weights(train(plain)), weights(plain.build())
    task = prepare(short(small, microbatch=30))
    assert task.room is not None
    assert task.room.microbatch == 25
    found = weights(train(task))
    for name, value in whole.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-4)
        assert (value - first[name]).abs().max() > 1e-2


def cut(small: Experiment, images: int, monkeypatch: pytest.MonkeyPatch, **recipe: Any) -> Task:
    """A task whose memory is enough for some images at once."""
    monkeypatch.setattr(room, "resident_memory", lambda: 0)
    experiment = short(small, **recipe)
    net = plan(parse_net(experiment.net), (1, 28, 28))
    memory = int(training_memory(net, images).total / 0.95) + 1 + PROGRAM
    return prepare(load_experiment(experiment, {"train": {"memory": f'"{memory}"'}}))


def test_what_memory_forced_is_written_down_and_kept(
    small: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = cut(small, 40, monkeypatch)
    assert task.experiment.train.microbatch == 34
    assert prepare(short(small)).experiment.train.microbatch == 0
    expected = record(task, Store(tmp_path / "whole"))

    def interrupt(event: Event) -> None:
        if isinstance(event, StepDone) and (event.epoch, event.step) == (2, 2):
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, InterruptedRunError)):
        record(task, Store(tmp_path / "stopped"), observers=[interrupt])
    # Continued where there is room for all: with the same sums nevertheless.
    monkeypatch.setattr(room, "resident_memory", lambda: -(1 << 40))
    stopped = Store(tmp_path / "stopped").find("last")
    assert stopped.experiment.train.microbatch == 34
    assert_same(resume(stopped), expected)


def assert_same(found: Run, expected: Run) -> None:
    first, second = found.load("last")[0].tensors, expected.load("last")[0].tensors
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_a_net_with_batch_norm_is_refused(small: Experiment) -> None:
    text = "conv 4 5x5 | maxpool 2 | batchnorm | tanh | flatten | dense 10"
    experiment = load_experiment(small, {"net": text})
    with pytest.raises(ConfigError, match="batchnorm1 takes its mean over the whole batch"):
        prepare(load_experiment(experiment, {"train": {"microbatch": 20}}))
    allowed = {"train": {"microbatch": 20, "split_batchnorm": True}}
    assert prepare(load_experiment(experiment, allowed)).experiment.train.microbatch == 17


def test_divergence_in_the_second_part_is_found_and_named() -> None:
    events: list[Event] = []
    found = training("flatten | dense 12 | relu | dense 10", 7, observers=[events.append])
    found.task = replace(found.task, preprocess=Double((0.0, 0.0), (1.0, 1.0)))
    with torch.no_grad():
        found.net.get_parameter("dense1.weight").fill_(1e308)
    # Only an image of the second part is bright enough to overflow.
    pixels = torch.zeros(BATCH, *SHAPE, dtype=torch.uint8)
    pixels[9] = 255
    with torch.random.fork_rng(devices=[]):
        assert not found.step(Varied(pixels, torch.zeros(BATCH, dtype=torch.int64), None, None), 0)
    diverged = [event for event in events if isinstance(event, Diverged)]
    assert [event.reason.split(" is not")[0] for event in diverged] == ["the output of dense1"]


# Memory. ------------------------------------------------------------------------------------------

FRESH = """
import sys
from pathlib import Path
import torch
from cutaway.config import Experiment, load_experiment
from cutaway.data import Framing, Images, Preprocess
from cutaway.data.images import make_split
from cutaway.nets import find_net, plan
from cutaway.training import StepDone, Task, train
from cutaway.training.room import PROGRAM, find_room, resident_memory

steps, recipe = [], {"epochs": 1, "batch": 165, "lr": 1e-3, "device": "cpu", "threads": 1}
pixels = torch.randint(0, 256, (330, 1, 64, 64), dtype=torch.uint8)
split = make_split(pixels, torch.arange(330) % 25, 25, "train")
net = plan(find_net("textures-14"), (1, 64, 64))
images = Images(tuple(map(str, range(25))), {"train": split})
# A limit on the whole process: what it has by now depends on how PyTorch was built.
limit = resident_memory() + PROGRAM + (int(sys.argv[1]) << 20)
experiment = load_experiment(
    Experiment(), {"net": "textures-14", "train": {**recipe, "memory": f"{limit}B"}}
)
task = Task(experiment, images, Preprocess((0.0,), (255.0,)), Framing.measured(split), net)
room = find_room(experiment.train, net, torch.device("cpu"))
train(task, [lambda event: steps.append(event.images) if isinstance(event, StepDone) else None])
status = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
print(*steps, room.microbatch, peak, limit)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no /proc to read the peak from")
def test_a_whole_process_stays_within_its_limit() -> None:
    """Two steps whose batch would take 256 MiB beyond the process, in 200 MiB."""
    command = [sys.executable, "-c", FRESH, "200"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    *steps, microbatch, peak, limit = map(int, result.stdout.split())
    assert steps == [165, 165]
    assert microbatch < 165
    assert peak < 1.1 * limit

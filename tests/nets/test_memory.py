"""Memory on paper against what PyTorch takes, counted by its own profiler."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from cutaway.config import Experiment, load_experiment
from cutaway.data import Framing, Images, Preprocess, Varied
from cutaway.data.images import make_split
from cutaway.nets import (
    WORDS,
    Memory,
    Plan,
    Shape,
    find_net,
    fitting_batch,
    inference_memory,
    parse_net,
    plan,
    training_memory,
)
from cutaway.nets.builder import build
from cutaway.training import Task
from cutaway.training.loop import _Training
from cutaway.training.room import Room

BATCH = 64
"""Maps are then so much larger than weights and single numbers that these do not matter."""

NETS: dict[str, tuple[str, Shape, float, float]] = {
    # Net, image, and how much the prediction of a training step may be too low and too high.
    "plain": ("conv 8 5x5 | relu | maxpool 2 | conv 16 3x3 | tanh | flatten | dense 50 | sigmoid | dense 10",
              (1, 28, 28), 0.01, 0.01),
    "batch norm": ("conv 16 3x3 nobias | batchnorm | relu | avgpool 2 | conv 16 3x3 | batchnorm | flatten | "
                   "dense 32 | batchnorm | relu | dense 10", (1, 24, 24), 0.01, 0.01),
    "dense": ("flatten | dense 2000 | relu | dense 2000 | relu | dense 10", (1, 28, 28), 0.01, 0.01),
    "inception": ("conv 16 3x3 same | inception 8 8-16 4-8 8 | maxpool 3 stride 2 pad 1 | "
                  "inception 8 8-16 4-8 8 batchnorm | globalpool | flatten | dense 10",
                  (3, 24, 24), 0.01, 0.01),
    "activations": ("conv 8 3x3 | gelu | conv 8 3x3 | leakyrelu | conv 8 3x3 | sigmoid | globalpool | "
                    "flatten | dense 10", (3, 24, 24), 0.04, 0.01),
    "dropout": ("conv 16 3x3 | relu | dropout 0.5 | conv 16 3x3 | dropout 0.3 | flatten | dense 10",
                (1, 24, 24), 0.04, 0.02),
    # oneDNN converts the layout of a gradient behind globalpool: half a map of this net.
    "residual": ("conv 16 3x3 same | residual 16 | residual 32 stride 2 | globalpool | flatten | dense 10",
                 (3, 24, 24), 0.07, 0.01),
    "lrn": ("conv 16 3x3 | relu | lrn | maxpool 3 stride 2 ceil | conv 8 3x3 | lrn 3 | flatten | dense 10",
            (3, 24, 24), 0.01, 0.10),
    "uneven padding": ("conv 8 4x4 same | relu | conv 8 2x2 same | maxpool 2 | flatten | dense 10",
                       (3, 24, 24), 0.01, 0.05),
    "ceil": ("conv 8 3x3 | avgpool 3 stride 2 ceil | tanh | maxpool 2 ceil | flatten | dense 10",
             (1, 26, 26), 0.01, 0.07),
    "bias behind pools": ("conv 16 3x3 | maxpool 2 | maxpool 2 | conv 10 1x1 | globalpool | flatten",
                          (1, 28, 28), 0.01, 0.05),
    "Winograd": ("conv 128 1x1 | relu | conv 128 3x3 same | relu | maxpool 2 | conv 128 3x3 pad 1 | relu | "
                 "globalpool | flatten | dense 10", (3, 14, 14), 0.01, 0.09),
    "Winograd, tiles hang over": ("conv 128 1x1 | relu | conv 160 3x3 | relu | conv 128 3x3 pad 2 | "
                                  "flatten | dense 10", (3, 15, 15), 0.04, 0.04),
    "unfolded": ("conv 128 1x1 | relu | conv 128 4x4 | relu | maxpool 2 | conv 128 3x3 pad 1 | relu | "
                 "flatten | dense 10", (3, 7, 7), 0.01, 0.02),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def planned(text: str, shape: Shape) -> Plan:
    return plan(parse_net(text), shape)


def stepping(text: str, shape: Shape) -> _Training:
    """A training whose first step is done: momentum and code are in memory."""
    net = planned(text, shape)
    (classes,) = net.output_shape
    recipe = {"batch": BATCH, "epochs": 1, "lr": 1e-4, "device": "cpu", "threads": 1}
    experiment = load_experiment(Experiment(), {"net": text, "train": recipe})
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (BATCH, *shape), dtype=torch.uint8, generator=generator)
    split = make_split(pixels, torch.arange(BATCH) % classes, classes, "train")
    images = Images(tuple(map(str, range(classes))), {"train": split})
    preprocess = Preprocess((0.0,) * shape[0], (255.0,) * shape[0])
    room = Room(1 << 40, BATCH, BATCH, roomy=False)
    task = Task(experiment, images, preprocess, Framing.measured(split), net, room)
    training = _Training(task, room, torch.device("cpu"))
    training.net.train()
    step(training)
    training.optimiser.zero_grad()
    return training


def step(training: _Training) -> None:
    split, order = training.splits["train"], torch.arange(BATCH)
    assert training.step(Varied(split.pixels[order], split.labels[order], None, None), 0)


def forward(training: _Training) -> None:
    training.net.eval()
    with torch.inference_mode():
        training.gradient.logits(
            training.task.preprocess(training.splits["train"].pixels[torch.arange(BATCH)])
        )


def peak(work: Callable[[], None], folder: Path) -> int:
    """The most bytes that PyTorch's allocator held at once in addition to those before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    profiler.export_chrome_trace(str(folder / "trace.json"))
    events = json.loads((folder / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    told = [event["args"] for event in events if event["name"] == "[memory]"]
    before: int = told[0]["Total Allocated"] - told[0]["Bytes"]
    return max(int(event["Total Allocated"]) for event in told) - before


def passing(memory: Memory) -> int:
    """What comes and goes with a step; weights and the optimiser's memory stay."""
    return memory.gradients + memory.saved + memory.workspace


@pytest.mark.parametrize("name", NETS)
def test_a_training_step_takes_what_was_predicted(name: str, tmp_path: Path) -> None:
    text, shape, low, high = NETS[name]
    training = stepping(text, shape)
    found = peak(lambda: step(training), tmp_path)
    assert (1 - low) * found <= passing(training_memory(training.task.plan, BATCH)) <= (1 + high) * found


@pytest.mark.parametrize("name", NETS)
def test_a_forward_pass_takes_what_was_predicted(name: str, tmp_path: Path) -> None:
    text, shape, _, _ = NETS[name]
    training = stepping(text, shape)
    found = peak(lambda: forward(training), tmp_path)
    assert 0.95 * found <= passing(inference_memory(training.task.plan, BATCH)) <= 1.06 * found


def test_the_nets_here_have_every_word() -> None:
    words = {
        layer.word.text().split()[0] for text, _, _, _ in NETS.values() for layer in parse_net(text).layers
    }
    assert words == set(WORDS)


@pytest.mark.parametrize("name", NETS)
def test_the_parts_add_up(name: str) -> None:
    text, shape, _, _ = NETS[name]
    net = planned(text, shape)
    with torch.device("meta"):
        weights = 4 * sum(parameter.numel() for parameter in build(net, 0).parameters())
    totals = []
    for states in (0, 1, 2):
        memory = training_memory(net, 3, states)
        parts = (memory.weights, memory.optimiser, memory.gradients, memory.saved, memory.workspace)
        assert memory.total == sum(parts)
        assert min(parts) >= 0
        assert memory.weights == weights
        assert memory.optimiser == states * weights
        assert memory.gradients <= weights
        totals.append(memory.total)
    assert totals[1] - totals[0] == totals[2] - totals[1] == weights
    assert training_memory(net, 3) == training_memory(net, 3, 1)
    forward = inference_memory(net, 3)
    assert (forward.weights, forward.optimiser, forward.gradients) == (weights, 0, 0)
    assert forward.total == weights + forward.saved + forward.workspace
    assert forward.total < totals[0]


@pytest.mark.parametrize("name", NETS)
def test_a_large_batch_takes_memory_in_proportion(name: str) -> None:
    text, shape, _, _ = NETS[name]
    net = planned(text, shape)
    for predict in (training_memory, inference_memory):
        takes = {images: passing(predict(net, images)) for images in (100_000, 200_000, 300_000)}
        assert takes[200_000] - takes[100_000] == takes[300_000] - takes[200_000] > 0
        # What does not grow is at most all weights' gradients.
        assert 0 <= 2 * takes[100_000] - takes[200_000] <= 4 * net.parameters


@given(st.sampled_from(list(NETS)), st.integers(1, 200), st.integers(0, 100))
@settings(max_examples=100, deadline=None)
def test_more_images_never_take_less(name: str, images: int, more: int) -> None:
    net = planned(NETS[name][0], NETS[name][1])
    for predict in (training_memory, inference_memory):
        assert predict(net, images).total <= predict(net, images + more).total
        # Twice as many take at most twice as much: a sum of fixed parts and parts for each image.
        assert predict(net, 2 * images).total <= 2 * predict(net, images).total


def test_a_net_counted_by_hand() -> None:
    """8×8 images, 2 maps of 6×6, 72 values in a vector, 3 logits, for 10 images."""
    pixels, image, maps, logits = 10 * 64, 10 * 64 * 4, 10 * 72 * 4, 10 * 3 * 4
    net = planned("conv 2 3x3 | relu | flatten | dense 3", (1, 8, 8))
    # Kept: pixels, image (for conv1), maps behind relu1, their copy by flatten1 (for dense1), logits.
    # The fullest moment is in undoing flatten1, when dense1's copy is freed and its weights have a
    # gradient: the vector's gradient and the maps'.
    gradients = 4 * (72 * 3 + 3)
    undoing_flatten = pixels + image + maps + logits + gradients + 2 * maps
    # Or in undoing dense1, whose input is still there.
    undoing_dense = pixels + image + 2 * maps + logits + logits + maps + gradients
    memory = training_memory(net, 10, 0)
    assert passing(memory) in range(max(undoing_flatten, undoing_dense), undoing_dense + 2 * logits + 1)
    assert memory.saved == image + 2 * maps
    assert memory.gradients == gradients
    # Without gradients at most two neighbours are there: conv1's output and relu1's.
    assert passing(inference_memory(net, 10)) == pixels + image + 2 * maps


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("states", [0, 2])
def test_the_largest_batch_that_fits(training: bool, states: int) -> None:
    net = planned(NETS["bias behind pools"][0], (1, 28, 28))

    def takes(images: int) -> int:
        return (training_memory(net, images, states) if training else inference_memory(net, images)).total

    steps = sorted({takes(images) + off for images in (1, 2, 7, 12, 20, 25) for off in (-1, 0, 1)})
    for limit in [-5, 0, *steps, takes(200)]:
        wanted = max((images for images in range(1, 21) if takes(images) <= limit), default=0)
        assert fitting_batch(net, 20, limit, states, training=training) == wanted


def test_the_figure_of_textures_14() -> None:
    """What a fresh process took beyond its own code: 256 MiB (benchmarks/memory.py, textures-14, 165)."""
    net = plan(find_net("textures-14"), (1, 64, 64))
    assert training_memory(net, 165).total == pytest.approx(256 << 20, rel=0.03)

"""Images per second: a recorded Cutaway run against the same training in other tools.

    python benchmarks/rivals.py [--keras-python PATH] [--rounds 5] [--json FILE]

Keras runs in an environment of its own; without ``--keras-python`` it is left out:

    python -m venv /tmp/keras
    /tmp/keras/bin/pip install 'keras==3.15.*' 'tensorflow-cpu==2.21.*' 'torch==2.13.0'
    python benchmarks/rivals.py --keras-python /tmp/keras/bin/python

The same net, batch, plain SGD and number of images for all, on as many threads as there are cores.
Every training is a fresh process; a round has one of each, in turns forwards and backwards, and
ratios are taken within it. In each the first epoch, which compiles, traces and takes memory, is not
counted, and two after it are. What else is done in the counted time differs, to the rivals' advantage:

- Cutaway begins at bytes, scores a validation and a test split after each epoch, measures its
  layers, keeps the ledger and writes checkpoints;
- Keras is given standardised float arrays and its ``fit`` counts loss and accuracy of what it trains
  on, channels last; on TensorFlow both with XLA, which ``jit_compile="auto"`` takes, and without;
- the PyTorch of the tutorials has a shuffled ``DataLoader`` over standardised floats, the default
  layout, and sums the loss;
- the bare loop is channels last over floats in memory and does nothing but train.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import nn


class Case(NamedTuple):
    """A net of the zoo, and how it is trained; ``sizes`` are images in train, validation and test."""

    net: str
    shape: tuple[int, int, int]
    batch: int
    lr: float
    sizes: tuple[int, int, int]


# The splits are in the proportions of the published experiments, and smaller.
CASES = [
    Case("lenet-theano", (1, 28, 28), 500, 0.1, (25_000, 5_000, 5_000)),
    Case("cifar-alves", (3, 32, 32), 32, 0.01, (4_500, 500, 1_000)),
]
EPOCHS = 2
"""Counted ones, after the first."""

Measured = tuple[str, list[float]]
"""What trained, with its version, and the times at which its epochs ended."""


def cutaway(case: Case, threads: int) -> Measured:
    """A recorded run, everything included."""
    import torch

    from cutaway import __version__
    from cutaway.config import Experiment, PreprocessKind, load_experiment
    from cutaway.data import Framing, Images, Preprocess
    from cutaway.data.images import make_split
    from cutaway.nets import find_net, plan
    from cutaway.store import Store, record
    from cutaway.training import CheckpointDue, Event, Task

    recipe: dict[str, Any] = {"epochs": 1 + EPOCHS, "batch": case.batch, "lr": case.lr, "momentum": 0.0}
    recipe |= {"schedule": "constant", "device": "cpu", "threads": threads, "checkpoint_minutes": 0}
    experiment = load_experiment(Experiment(), {"net": case.net, "train": recipe})
    splits = {
        name: make_split(
            torch.randint(0, 256, (size, *case.shape), dtype=torch.uint8),
            torch.randint(0, 10, (size,)),
            10,
            name,
        )
        for name, size in zip(("train", "validation", "test"), case.sizes, strict=True)
    }
    images = Images(tuple("0123456789"), splits)
    preprocess = Preprocess.fit(PreprocessKind.STANDARDISE, splits["train"])
    framing = Framing.measured(splits["train"])
    task = Task(experiment, images, preprocess, framing, plan(find_net(case.net), case.shape))
    ends: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, CheckpointDue):  # at an epoch's end; the recorder has written it already
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        record(task, Store(folder), observers=[watch])
        ends[-1] = time.perf_counter()  # with all that ends a run
    return f"Cutaway {__version__}, recorded run", ends


def bare(case: Case, threads: int) -> Measured:
    """The loop that a practitioner writes when speed is all."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    net = _torch_net(case)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    count = case.sizes[0]
    images = torch.randn(count, *case.shape).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (count,))
    optimiser = torch.optim.SGD(net.parameters(), lr=case.lr)
    loss = nn.CrossEntropyLoss()
    ends: list[float] = []
    for _ in range(1 + EPOCHS):
        for chosen in torch.randperm(count).split(case.batch):
            optimiser.zero_grad()
            loss(net(images[chosen]), labels[chosen]).backward()
            optimiser.step()
        ends.append(time.perf_counter())
    return f"bare loop, channels last, PyTorch {torch.__version__}", ends


def loader(case: Case, threads: int, workers: int = 0) -> Measured:
    """The script of PyTorch's tutorials."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.set_num_threads(threads)
    net = _torch_net(case)
    data = TensorDataset(torch.randn(case.sizes[0], *case.shape), torch.randint(0, 10, case.sizes[:1]))
    batches = DataLoader(data, batch_size=case.batch, shuffle=True, num_workers=workers)
    optimiser = torch.optim.SGD(net.parameters(), lr=case.lr)
    criterion = nn.CrossEntropyLoss()
    ends: list[float] = []
    for _ in range(1 + EPOCHS):
        running = 0.0
        net.train()
        for images, labels in batches:
            optimiser.zero_grad()
            loss = criterion(net(images), labels)
            loss.backward()
            optimiser.step()
            running += loss.item()
        ends.append(time.perf_counter())
    helped = f" with {workers} workers" if workers else ""
    return f"tutorial's loop, `DataLoader`{helped}, PyTorch {torch.__version__}", ends


def loader_workers(case: Case, threads: int) -> Measured:
    """The same with two processes that gather batches."""
    return loader(case, threads, workers=2)


def keras_torch(case: Case, threads: int) -> Measured:
    """Keras on PyTorch, which it runs eagerly."""
    os.environ["KERAS_BACKEND"] = "torch"
    import torch

    torch.set_num_threads(threads)
    return _keras(case, f"PyTorch {torch.__version__}")


def keras_tensorflow(case: Case, threads: int, jit: str | bool = "auto") -> Measured:
    """Keras on TensorFlow with what it chooses by itself: XLA."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}
    tf: Any = import_module("tensorflow")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    how = "XLA" if jit else "without XLA"
    return _keras(case, f"TensorFlow {tf.__version__}, {how}", jit)


def keras_graph(case: Case, threads: int) -> Measured:
    """Keras on TensorFlow's graphs with oneDNN, without XLA."""
    return keras_tensorflow(case, threads, jit=False)


def _keras(case: Case, backend: str, jit: str | bool = "auto") -> Measured:
    import numpy as np

    keras: Any = import_module("keras")
    keras.config.set_image_data_format("channels_last")
    model = keras.Sequential([keras.Input((*case.shape[1:], case.shape[0])), *_keras_layers(case)])
    model.compile(
        optimizer=keras.optimizers.SGD(case.lr),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=jit,
    )
    random = np.random.default_rng(0)
    images = random.standard_normal((case.sizes[0], *case.shape[1:], case.shape[0]), dtype=np.float32)
    labels = random.integers(0, 10, case.sizes[0])
    ends: list[float] = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))
    model.fit(images, labels, case.batch, 1 + EPOCHS, verbose=0, callbacks=[watch])
    return f"Keras {keras.__version__}, {backend}", ends


def _torch_net(case: Case) -> nn.Module:
    from torch import nn

    if case.net == "lenet-theano":
        return nn.Sequential(
            nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Tanh(),
            nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Tanh(),
            nn.Flatten(), nn.Linear(800, 500), nn.Tanh(), nn.Linear(500, 10),
        )  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(3, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(128, 128, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(128, 64, 2), nn.ReLU(), nn.MaxPool2d(1),
        nn.Conv2d(64, 32, 2), nn.ReLU(), nn.MaxPool2d(1),
        nn.Conv2d(32, 32, 2), nn.ReLU(), nn.MaxPool2d(1), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def _keras_layers(case: Case) -> list[Any]:
    layers: Any = import_module("keras.layers")
    if case.net == "lenet-theano":
        return [
            layers.Conv2D(20, 5), layers.MaxPooling2D(2), layers.Activation("tanh"),
            layers.Conv2D(50, 5), layers.MaxPooling2D(2), layers.Activation("tanh"),
            layers.Flatten(), layers.Dense(500, activation="tanh"), layers.Dense(10),
        ]  # fmt: skip
    return [
        layers.Conv2D(128, 3, padding="same", activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(128, 3, activation="relu"), layers.MaxPooling2D(2), layers.Dropout(0.25),
        layers.Conv2D(64, 2, activation="relu"), layers.MaxPooling2D(1),
        layers.Conv2D(32, 2, activation="relu"), layers.MaxPooling2D(1),
        layers.Conv2D(32, 2, activation="relu"), layers.MaxPooling2D(1), layers.Dropout(0.25),
        layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10),
    ]  # fmt: skip


KERAS: dict[str, Callable[[Case, int], Measured]] = {
    "keras-torch": keras_torch,
    "keras-tensorflow": keras_tensorflow,
    "keras-tensorflow-graph": keras_graph,
}
OWN: dict[str, Callable[[Case, int], Measured]] = {
    "cutaway": cutaway,
    "bare": bare,
    "loader": loader,
    "loader-workers": loader_workers,
}
ORDER = [
    "keras-tensorflow",
    "keras-torch",
    "loader",
    "cutaway",
    "bare",
    "loader-workers",
    "keras-tensorflow-graph",
]
"""Within a round: Cutaway in the middle, so that none runs long before or after it."""
RIVALS = [kind for kind in ORDER if kind != "cutaway"]


def main() -> None:
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keras-python", type=Path, metavar="PATH", help="Python of Keras's environment")
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=RIVALS, help="all when not given")
    parser.add_argument("--nets", nargs="+", choices=[c.net for c in CASES], default=[c.net for c in CASES])
    parser.add_argument("--threads", type=int, default=cores)
    parser.add_argument("--smoke", action="store_true", help="a few images: shows that all of it runs")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", nargs=2, metavar=("KIND", "NET"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    cases = [_few(case) if given.smoke else case for case in CASES]
    if given.worker:
        kind, net = given.worker
        case = next(case for case in cases if case.net == net)
        name, ends = (KERAS | OWN)[kind](case, given.threads)
        print(json.dumps({"name": name, "rate": EPOCHS * case.sizes[0] / (ends[-1] - ends[0])}))
        return
    kinds = [kind for kind in ORDER if kind in {*given.rivals, "cutaway"}]
    if not given.keras_python and not KERAS.keys().isdisjoint(kinds):
        print("Keras is left out: --keras-python was not given.", file=sys.stderr)
        kinds = [kind for kind in kinds if kind not in KERAS]
    facts: dict[str, Any] = {
        "machine": {"system": platform.platform(), "threads": given.threads},
        "epochs": EPOCHS,
        "smoke": given.smoke,
    }
    print("| net, batch | trained by | images/s | Cutaway to it |\n| --- | --- | --- | --- |")
    for case in cases:
        if case.net not in given.nets:
            continue
        found = measure(case, kinds, given)
        facts[case.net] = {kind: summary(found[kind], found["cutaway"]) for kind in kinds}
        for kind, row in facts[case.net].items():
            ratio = f"{row['ratio']:.2f} ({row['least']:.2f} to {row['most']:.2f})"
            median = f"{row['median']:,.0f}".replace(",", " ")
            print(f"| `{case.net}`, {case.batch} | {row['name']} | {median} ", end="")
            print(f"| {'' if kind == 'cutaway' else ratio} |", flush=True)
    if given.json:
        given.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def measure(case: Case, kinds: list[str], given: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """What the workers of all rounds said, by kind."""
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for number in range(given.rounds):
        for kind in kinds if number % 2 == 0 else reversed(kinds):
            found[kind].append(_worker(kind, case, given))
            told = found[kind][-1]
            print(
                f"round {number + 1} {case.net:13} {kind:22} {told['rate']:8,.0f} images/s", file=sys.stderr
            )
    return found


def summary(rounds: list[dict[str, Any]], own: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians, and how many times as fast Cutaway was in the same round."""
    rates = [told["rate"] for told in rounds]
    ratios = [mine["rate"] / rate for mine, rate in zip(own, rates, strict=True)]
    return {
        "name": rounds[0]["name"],
        "median": statistics.median(rates),
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "rates": rates,
    }


def _worker(kind: str, case: Case, given: argparse.Namespace) -> dict[str, Any]:
    """What a fresh process says, on the CPU."""
    python = given.keras_python if kind in KERAS else sys.executable
    command = [str(python), __file__, "--worker", kind, case.net, "--threads", str(given.threads)]
    done = subprocess.run(
        [*command, "--smoke"] if given.smoke else command,
        env=os.environ | {"OMP_NUM_THREADS": str(given.threads), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{kind} failed on {case.net}:\n{done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _few(case: Case) -> Case:
    return case._replace(sizes=(3 * case.batch, case.batch, case.batch))


if __name__ == "__main__":
    main()

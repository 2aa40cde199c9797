"""Images per second: a recorded Cutaway run against a bare PyTorch loop over tensors in memory.

    python benchmarks/throughput.py [--rounds 5] [--json FILE]

Each round times both, one after the other, in fresh processes; the ratio is taken within a round,
because a shared machine's speed drifts. The bare loop is channels-last and does nothing but train:
no metrics, no evaluation, no files. The run does everything that a run does: it scores the
validation and test splits after each epoch, keeps the ledger, and writes two checkpoints.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Name: net of the zoo, batch, optimiser's learning rate, images in train, validation and test.
# The splits are in the proportions of the published experiments.
CASES = {
    "lenet-theano": (500, 0.1, (25_000, 5_000, 5_000)),
    "cifar-alves": (32, 0.01, (4_500, 500, 1_000)),
}
EPOCHS = 2


def bare(name: str) -> float:
    """The loop that a practitioner writes when speed is all: images per second."""
    import torch
    from torch import nn

    batch, lr, (count, _, _) = CASES[name]
    if name == "lenet-theano":
        shape = (1, 28, 28)
        net = nn.Sequential(
            nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Tanh(),
            nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Tanh(),
            nn.Flatten(), nn.Linear(800, 500), nn.Tanh(), nn.Linear(500, 10),
        )  # fmt: skip
    else:
        shape = (3, 32, 32)
        net = nn.Sequential(
            nn.Conv2d(3, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(128, 128, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Conv2d(128, 64, 2), nn.ReLU(), nn.MaxPool2d(1),
            nn.Conv2d(64, 32, 2), nn.ReLU(), nn.MaxPool2d(1),
            nn.Conv2d(32, 32, 2), nn.ReLU(), nn.MaxPool2d(1), nn.Dropout(0.25),
            nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
        )  # fmt: skip
    torch.manual_seed(0)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand(count, *shape).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (count,))
    optimiser = torch.optim.SGD(net.parameters(), lr=lr)
    loss = nn.CrossEntropyLoss()

    def epoch() -> None:
        order = torch.randperm(count)
        for chosen in order.split(batch):
            optimiser.zero_grad()
            loss(net(images[chosen]), labels[chosen]).backward()
            optimiser.step()

    start = time.perf_counter()
    for _ in range(EPOCHS):
        epoch()
    return EPOCHS * count / (time.perf_counter() - start)


def run(name: str) -> float:
    """The same training as a recorded run, everything included: images per second."""
    import torch

    from cutaway.config import Experiment, PreprocessKind, load_experiment
    from cutaway.data import Framing, Images, Preprocess
    from cutaway.data.images import make_split
    from cutaway.nets import ZOO, find_net, plan
    from cutaway.store import Store, record
    from cutaway.training import Event, Finished, Started, Task

    batch, lr, sizes = CASES[name]
    shape = ZOO[name].input_shape
    recipe = {"epochs": EPOCHS, "batch": batch, "lr": lr, "momentum": 0.0, "schedule": "constant"}
    experiment = load_experiment(Experiment(), {"net": name, "train": recipe})
    splits = {
        split: make_split(
            torch.randint(0, 256, (size, *shape), dtype=torch.uint8), torch.randint(0, 10, (size,)), 10, split
        )
        for split, size in zip(("train", "validation", "test"), sizes, strict=True)
    }
    images = Images(tuple("0123456789"), splits)
    preprocess = Preprocess.fit(PreprocessKind.STANDARDISE, splits["train"])
    framing = Framing.measured(splits["train"])
    task = Task(experiment, images, preprocess, framing, plan(find_net(name), shape))
    times: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, Started | Finished):
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        record(task, Store(folder), observers=[watch])
    return EPOCHS * sizes[0] / (times[1] - times[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", nargs=2, metavar=("KIND", "NET"))
    options = parser.parse_args()
    if options.worker:
        kind, name = options.worker
        print((bare if kind == "bare" else run)(name))
        return
    table = {}
    for name in CASES:
        rounds = []
        for number in range(options.rounds):
            order = ("bare", "run") if number % 2 == 0 else ("run", "bare")
            found = {kind: _worker(kind, name) for kind in order}
            rounds.append(found)
            print(f"{name:13} bare {found['bare']:7,.0f}  run {found['run']:7,.0f} images/s", flush=True)
        ratios = [found["run"] / found["bare"] for found in rounds]
        medians = {kind: statistics.median(found[kind] for found in rounds) for kind in ("bare", "run")}
        table[name] = medians | {
            "ratio": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
            "rounds": len(rounds),
        }
        row = table[name]
        print(
            f"{name:13} median: bare {row['bare']:,.0f}, run {row['run']:,.0f} images/s; "
            f"ratio {row['ratio']:.2f} ({row['least']:.2f} to {row['most']:.2f})\n"
        )
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def _worker(kind: str, name: str) -> float:
    command = [sys.executable, __file__, "--worker", kind, name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()

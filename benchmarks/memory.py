"""Peak memory: what the planner predicts against what fresh processes take, training step by step.

    python benchmarks/memory.py [--json FILE]

Each worker first trains a net of a few weights, so that all code is loaded, then notes its
resident memory, trains three steps, and tells how far the highest mark rose (``VmHWM``). Weights are
part of it: they are built after the note.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cutaway.training import Task

# Net, batch, optimiser.
CASES = [
    ("lenet-theano", 2000, "sgd"),
    ("lenet-theano", 8000, "adam"),
    ("small", 4000, "sgd"),
    ("filters-32-64-64", 1000, "sgd"),
    ("cifar-alves", 256, "sgd"),
    ("cifar-alves", 1024, "adam"),
    ("cifarnet", 1000, "sgd"),
    ("textures-14", 165, "sgd"),
    ("textures-14", 660, "sgd"),
    ("alexnet", 32, "sgd"),
    ("alexnet", 256, "sgd"),
    ("vgg11", 8, "sgd"),
    ("vgg16", 8, "sgd"),
    ("vgg16", 32, "adam"),
    ("googlenet", 32, "sgd"),
    ("googlenet-batchnorm", 64, "sgd"),
    ("resnet18", 16, "sgd"),
    ("resnet18", 96, "adam"),
    ("resnet20", 256, "sgd"),
    ("resnet20", 1024, "sgd"),
]


def measured(name: str, batch: int, optimiser: str) -> int:
    """Bytes that three training steps add to a process that has imported everything."""
    import torch

    from cutaway.config import Experiment, load_experiment
    from cutaway.data import Framing, Images, Preprocess
    from cutaway.data.images import make_split
    from cutaway.nets import ZOO, find_net, plan
    from cutaway.nets.memory import training_memory
    from cutaway.training import Task, train
    from cutaway.training.room import PROGRAM

    shape = ZOO[name].input_shape
    planned = plan(find_net(name), shape)
    classes = planned.output_shape[0]
    predicted = training_memory(planned, batch, {"sgd": 1, "adam": 2}[optimiser]).total
    recipe = {"epochs": 1, "batch": batch, "optimiser": optimiser, "lr": 1e-4, "device": "cpu"}
    experiment = load_experiment(Experiment(), {"net": name, "train": recipe})
    pixels = torch.randint(0, 256, (3 * batch, *shape), dtype=torch.uint8)
    split = make_split(pixels, torch.randint(0, classes, (3 * batch,)), classes, "train")
    images = Images(tuple(map(str, range(classes))), {"train": split})
    preprocess = Preprocess((0.0,) * shape[0], (255.0,) * shape[0])
    task = Task(experiment, images, preprocess, Framing.fit(split), planned)
    train(_tiny())
    # Enough for the step, too little to keep what is freed.
    memory = f"{int(1.2 * predicted) + _status('VmRSS') + PROGRAM}"
    recipe = experiment.train.model_copy(update={"memory": memory})
    task = replace(task, experiment=experiment.model_copy(update={"train": recipe}))
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high mark starts here
    train(task)
    return _status("VmHWM") - before


def _tiny() -> Task:
    """A task of one step, for loading all code."""
    from cutaway.config import load_experiment
    from cutaway.training import prepare

    data = {"train_images": 100, "validation": 0}
    net = "conv 2 3x3 | relu | maxpool 2 | flatten | dropout 0.5 | dense 10"
    return prepare(load_experiment("digits", {"data": data, "net": net, "train": {"epochs": 1}}))


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", nargs=3, metavar=("NET", "BATCH", "OPTIMISER"))
    options = parser.parse_args()
    if options.worker:
        name, batch, optimiser = options.worker
        print(measured(name, int(batch), optimiser))
        return
    from cutaway.nets import ZOO, find_net, plan
    from cutaway.nets.memory import training_memory

    table = []
    for name, batch, optimiser in CASES:
        command = [sys.executable, __file__, "--worker", name, str(batch), optimiser]
        found = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        planned = plan(find_net(name), ZOO[name].input_shape)
        predicted = training_memory(planned, batch, {"sgd": 1, "adam": 2}[optimiser]).total
        table.append(
            {"net": name, "batch": batch, "optimiser": optimiser, "predicted": predicted, "measured": found}
        )
        print(
            f"{name:20} {batch:5} {optimiser:5} predicted {predicted / 1e6:7,.0f} MB  "
            f"measured {found / 1e6:7,.0f} MB  {predicted / found - 1:+6.1%}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

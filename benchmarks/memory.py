"""Peak memory: what the planner predicts against what fresh processes take, training step by step.

    python benchmarks/memory.py [--json FILE]

Each worker first trains a net of a few weights, so that all code is loaded, then notes its
resident memory, trains three steps, and tells how far the highest mark rose (``VmHWM``). Weights are
part of it: they are built after the note.

Then nets train under limits that their batches do not fit in, and the whole process is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cutaway.config import parse_bytes
from cutaway.nets import ZOO, find_net, plan
from cutaway.nets.memory import training_memory

if TYPE_CHECKING:
    from cutaway.training import Task

STATES = {"sgd": 1, "adam": 2}

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

# Net, batch, what the whole process may take.
LIMITS = [("textures-14", 165, "1GiB"), ("textures-14", 165, "500MiB"), ("vgg16", 32, "4GiB")]


def within(name: str, batch: int, memory: str) -> tuple[int, int]:
    """The micro-batch, and the most bytes that the whole process ever took, with two steps under a limit."""
    from cutaway.training import train

    task = _task(name, batch, 2, {"memory": memory})
    train(task)
    return task.room.microbatch if task.room else batch, _status("VmHWM")


def measured(name: str, batch: int, optimiser: str) -> int:
    """Bytes that three training steps add to a process that has imported everything."""
    from cutaway.training import train
    from cutaway.training.room import PROGRAM

    task = _task(name, batch, 3, {"optimiser": optimiser})
    train(_tiny())
    # Enough for the step, too little to keep what is freed.
    predicted = training_memory(task.plan, batch, STATES[optimiser]).total
    memory = f"{int(1.2 * predicted) + _status('VmRSS') + PROGRAM}"
    recipe = task.experiment.train.model_copy(update={"memory": memory})
    task = replace(task, experiment=task.experiment.model_copy(update={"train": recipe}), room=None)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high mark starts here
    train(task)
    return _status("VmHWM") - before


def _task(name: str, batch: int, steps: int, recipe: dict[str, Any]) -> Task:
    """Random images for so many steps of a net of the zoo."""
    import torch

    from cutaway.config import Experiment, load_experiment
    from cutaway.data import Framing, Images, Preprocess
    from cutaway.data.images import make_split
    from cutaway.nets import ZOO, find_net, plan
    from cutaway.training import Task
    from cutaway.training.room import find_room

    shape = ZOO[name].input_shape
    planned = plan(find_net(name), shape)
    classes = planned.output_shape[0]
    values = {"epochs": 1, "batch": batch, "lr": 1e-4, "device": "cpu"} | recipe
    experiment = load_experiment(Experiment(), {"net": name, "train": values})
    pixels = torch.randint(0, 256, (steps * batch, *shape), dtype=torch.uint8)
    split = make_split(pixels, torch.randint(0, classes, (steps * batch,)), classes, "train")
    images = Images(tuple(map(str, range(classes))), {"train": split})
    preprocess = Preprocess((0.0,) * shape[0], (255.0,) * shape[0])
    room = find_room(experiment.train, planned, torch.device("cpu"))
    return Task(experiment, images, preprocess, Framing.measured(split), planned, room)


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
    parser.add_argument("--limits", action="store_true", help="only the limits")
    parser.add_argument("--worker", nargs=3, metavar=("NET", "BATCH", "OPTIMISER or LIMIT"))
    options = parser.parse_args()
    if options.worker:
        name, batch, last = options.worker
        print(*within(name, int(batch), last) if last not in STATES else [measured(name, int(batch), last)])
        return
    table = [] if options.limits else predictions()
    for name, batch, memory in LIMITS:
        microbatch, most = map(int, _worker(name, batch, memory).split())
        table.append({"net": name, "batch": batch, "limit": memory, "microbatch": microbatch, "most": most})
        told = f"{microbatch} at once, {most / 2**20:,.0f} MiB, {most / parse_bytes(memory):.0%}"
        print(f"{name:20} {batch:5} in {memory:6}: {told}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def predictions() -> list[dict[str, Any]]:
    """Predicted and measured, case by case."""
    table: list[dict[str, Any]] = []
    for name, batch, optimiser in CASES:
        found = int(_worker(name, batch, optimiser))
        planned = plan(find_net(name), ZOO[name].input_shape)
        predicted = training_memory(planned, batch, STATES[optimiser]).total
        table.append(
            {"net": name, "batch": batch, "optimiser": optimiser, "predicted": predicted, "measured": found}
        )
        print(
            f"{name:20} {batch:5} {optimiser:5} predicted {predicted / 1e6:7,.0f} MB  "
            f"measured {found / 1e6:7,.0f} MB  {predicted / found - 1:+6.1%}",
            flush=True,
        )
    return table


def _worker(name: str, batch: int, last: str) -> str:
    command = [sys.executable, __file__, "--worker", name, str(batch), last]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()

"""What a recorded run costs over its own bare loop: dynamics, ledger, checkpoints, progress bar.

    python benchmarks/overhead.py [--processes 2] [--rounds 5] [--images N] [--store DIR] [--json FILE]

Three trainings of the same images are compared: the loop that measures nothing and is heard by
nobody but the clock; the same with its layers measured, as often as by default; and a recorded run,
with dynamics, ledger, checkpoints, and a bar that is drawn as on a terminal, into nothing. There is
only a training split, so nobody scores anything; and since without validation every epoch counts as
the best, each one writes its weights twice, as often as a run ever does.

For each net, fresh processes train them in turns, a round forwards and a round backwards, after one
training that is not counted; nor is the first epoch of each. Ratios are taken within a round.

A shared machine's speed drifts by more than all of this costs, so a second table has the clock's
word: milliseconds of an epoch spent inside of each part, in the recorded runs. What a part costs the
others, by what it leaves in the caches and by the bar's own thread, is only in the ratios. All but
the bar costs the same in an epoch of any length: try ``--images 50000``, as the published experiments
have it. The store should lie on a disk, where syncing a file takes its time: see ``--store``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from cutaway.training import Event, Task

# Net of the zoo, batch, learning rate, training images.
CASES = {"lenet-theano": (500, 0.1, 25_000), "cifar-alves": (32, 0.01, 4_500)}
EPOCHS = 2
"""Counted ones, after the first."""
VARIANTS = ("bare", "dynamics", "everything")
GOALS = {"dynamics": 1.03, "everything": 1.08}
PARTS = {
    "dynamics: steps": ["cutaway.training.loop.Dynamics.before", "cutaway.training.loop.Dynamics.after"],
    "dynamics: units": ["cutaway.training.loop.Dynamics.epoch"],
    "ledger": ["cutaway.store.ledger.Ledger.add_epoch"],
    "checkpoints": ["cutaway.store.recorder.save_weights", "cutaway.training.loop.collect"],
    "bar": ["cutaway.cli.progress.TrainingProgress.__call__"],
}

Seconds = dict[str, float]


def make_task(name: str, dynamics: int | None, given: argparse.Namespace) -> Task:
    """Random images for a net of the zoo."""
    import torch

    from cutaway.config import Experiment, load_experiment
    from cutaway.data import Framing, Images, Preprocess
    from cutaway.data.images import make_split
    from cutaway.nets import ZOO, find_net, plan
    from cutaway.training import Task

    batch, lr, count = CASES[name]
    shape = ZOO[name].input_shape
    recipe = {
        "epochs": 1 + EPOCHS,
        "batch": batch,
        "lr": lr,
        "momentum": 0.0,
        "schedule": "constant",
        "checkpoint_minutes": 0,
    }
    recipe |= {"device": "cpu", "threads": given.threads} | (
        {} if dynamics is None else {"dynamics": dynamics}
    )
    experiment = load_experiment(Experiment(), {"net": name, "train": recipe})
    images = given.images or count
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, *shape), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (images,), generator=generator)
    split = make_split(pixels, labels, 10, "train")
    planned = plan(find_net(name), shape)
    preprocess = Preprocess((128.0,) * shape[0], (64.0,) * shape[0])
    return Task(
        experiment,
        Images(tuple("0123456789"), {"train": split}),
        preprocess,
        Framing.measured(split),
        planned,
    )


def trained(variant: str, task: Task, store: Path | None) -> tuple[float, Seconds]:
    """Seconds of an epoch, and of those the ones spent inside of each part."""
    from cutaway.cli.progress import TrainingProgress
    from cutaway.store import Store, record
    from cutaway.training import CheckpointDue, train

    ends: list[float] = []
    inside: Seconds = defaultdict(float)

    def watch(event: Event) -> None:
        if isinstance(event, CheckpointDue):  # at an epoch's end; the recorder has written it already
            ends.append(time.perf_counter())
            if len(ends) == 1:
                inside.clear()

    if variant != "everything":
        train(task, [watch])
    else:
        with (
            tempfile.TemporaryDirectory(dir=store) as folder,
            _clocked(inside),
            _terminal(),
            TrainingProgress() as progress,
        ):
            record(task, Store(folder), observers=[progress, watch])
    return (ends[-1] - ends[0]) / EPOCHS, {part: spent / EPOCHS for part, spent in inside.items()}


@contextmanager
def _terminal() -> Iterator[None]:
    """Inside, what goes to stderr is drawn as on a terminal and goes nowhere."""
    drawn = {"TTY_COMPATIBLE": "1", "TERM": "xterm-256color"}
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere), patch.dict(os.environ, drawn):
        yield


@contextmanager
def _clocked(inside: Seconds) -> Iterator[None]:
    """Inside, the seconds of each part are added up; a call costs under a microsecond more."""

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                inside[part] += time.perf_counter() - start

        return call

    with ExitStack() as stack:
        for part, places in PARTS.items():
            for place in places:
                stack.enter_context(patch(place, timed(part, resolve_name(place))))
        yield


def rounds(name: str, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """In this process: each round's seconds by variant, and the recorded run's by part."""
    tasks = {variant: make_task(name, 0 if variant == "bare" else None, given) for variant in VARIANTS}
    trained("everything", tasks["everything"], given.store)
    for number in range(given.rounds):
        order = VARIANTS if number % 2 == 0 else VARIANTS[::-1]
        found = {variant: trained(variant, tasks[variant], given.store) for variant in order}
        seconds = {variant: found[variant][0] for variant in VARIANTS}
        yield {"seconds": seconds, "inside": found["everything"][1]}


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over rounds: seconds, ratios to the bare loop, milliseconds inside of each part."""
    row: dict[str, Any] = {"rounds": found}
    for variant in VARIANTS:
        seconds = [told["seconds"][variant] for told in found]
        ratios = [told["seconds"][variant] / told["seconds"]["bare"] for told in found]
        row[variant] = {
            "seconds": statistics.median(seconds),
            "ratio": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
        }
    row["inside_ms"] = {
        part: 1000 * statistics.median(told["inside"].get(part, 0.0) for told in found) for part in PARTS
    }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2, help="fresh ones for each net")
    parser.add_argument("--rounds", type=int, default=5, help="in each process")
    parser.add_argument("--nets", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument(
        "--images", type=int, default=0, help="in an epoch, in place of the nets' own numbers"
    )
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--store", type=Path, help="a folder on the disk that runs are written to")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", metavar="NET", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        for told in rounds(given.worker, given):
            print(json.dumps(told), flush=True)
        return
    table = {}
    for name in given.nets:
        found = [told for _ in range(given.processes) for told in _worker(name)]
        table[name] = summary(found)
    print_tables(table, given)
    if given.json:
        given.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def print_tables(table: dict[str, Any], given: argparse.Namespace) -> None:
    """Both tables, in Markdown."""
    goals = [f"{variant} (goal: at most {GOALS[variant]:.2f})" for variant in VARIANTS[1:]]
    print(f"\n| net, batch, images | bare, s an epoch | {' | '.join(goals)} |\n| --- | --- | --- | --- |")
    for name, row in table.items():
        batch, _, images = CASES[name]
        ratios = [
            f"{row[v]['ratio']:.3f} ({row[v]['least']:.3f} to {row[v]['most']:.3f})" for v in VARIANTS[1:]
        ]
        print(f"| `{name}`, {batch}, {given.images or images} | {row['bare']['seconds']:.2f} | ", end="")
        print(f"{' | '.join(ratios)} |")
    print(f"\n| ms inside, an epoch | {' | '.join(PARTS)} | all, of the bare epoch |")
    print("| --- " * (len(PARTS) + 2) + "|")
    for name, row in table.items():
        inside = row["inside_ms"]
        share = sum(inside.values()) / row["bare"]["seconds"] / 1000
        print(f"| `{name}` | {' | '.join(f'{inside[part]:.1f}' for part in PARTS)} | {share:.1%} |")


def _worker(name: str) -> Iterator[dict[str, Any]]:
    """The rounds of a fresh process, with this one's options."""
    command = [sys.executable, __file__, *sys.argv[1:], "--worker", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            told: dict[str, Any] = json.loads(line)
            shown = "  ".join(f"{variant} {told['seconds'][variant]:.3f}" for variant in VARIANTS)
            print(f"{name:13} {shown} s an epoch", file=sys.stderr)
            yield told
    if process.returncode:
        raise SystemExit(f"The worker for {name} failed.")


if __name__ == "__main__":
    main()

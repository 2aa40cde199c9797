"""A study against its own trials one after another: time, the same verdicts, and what Dask takes.

    python benchmarks/study.py [--seeds 3] [--epochs 2] [--images 20000] [--rounds 1] [--skip-alone]

All that is measured are the trials of ``auto = "ablate"`` on lenet-theano and MNIST:

- side by side: as ``cutaway study run`` trains them, one thread a worker, as many workers as cores;
- halving: likewise, and worse variants end early, by the rule's defaults;
- one after another: the same experiments in this process, each on all cores.

Dask's part is the time in which a worker could have trained and did not, as far as it is not the wait for
the last trials: the wall time times the workers, less the seconds of all trials, less the idle end.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from cutaway.config import Study, load_experiment
from cutaway.machine import available_cores
from cutaway.progress import Progress, listening
from cutaway.store import Store
from cutaway.study import StudyTable, prepare_study
from cutaway.study.session import run_study
from cutaway.training import prepare, train

HALVING = {"rule": "halving"}


def make(arguments: argparse.Namespace, *, halving: bool) -> Study:
    """The study that is measured."""
    return Study.model_validate(
        {
            "name": "ablation",
            "base": "digits",
            "experiment": {
                "net": "lenet-theano",
                "data": {"train_images": arguments.images, "augment": {"shift": 0}},
                "train": {"batch": 100, "lr": 0.05},
            },
            "auto": "ablate",
            "seeds": arguments.seeds,
            "budget": {"epochs": arguments.epochs},
            "stopping": HALVING if halving else {},
        }
    )


def side_by_side(study: Study) -> tuple[float, StudyTable, float]:
    """Seconds, results, and the share of the workers' time in which nothing was trained."""
    folder = Path(tempfile.mkdtemp())
    begun: list[float] = []

    def listen(progress: Progress) -> None:
        if progress.what == "Training trials" and not begun:
            begun.append(time.perf_counter())

    try:
        start = time.perf_counter()
        with listening(listen):
            table = run_study(study, store=Store(folder))
        seconds = time.perf_counter() - start
    finally:
        shutil.rmtree(folder)
    trained = sum(trial.seconds for row in (table.base, *table.rows) for trial in row.trials)
    whole = available_cores() * seconds
    return seconds, table, 1 - trained / whole


def one_after_another(study: Study) -> float:
    """Seconds for the same trainings in this process, on all cores."""
    folder = Path(tempfile.mkdtemp())
    try:
        made = prepare_study(study, folder)
        start = time.perf_counter()
        for seed in study.every_seed:
            for variant in made.variants:
                changes = {"seed": seed, "train": {"threads": 0}}
                experiment = load_experiment(variant.experiment, changes)
                train(prepare(experiment, made.shelf.images(experiment)))
        return time.perf_counter() - start
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--skip-alone", action="store_true", help="do not train one after another")
    arguments = parser.parse_args()
    whole, halved = make(arguments, halving=False), make(arguments, halving=True)
    for _ in range(arguments.rounds):
        early, few, _ = side_by_side(halved)
        print(f"halving            {early:7.1f} s", flush=True)
        together, table, idle = side_by_side(whole)
        print(f"side by side       {together:7.1f} s, workers idle {idle:.1%} of it", flush=True)
        if not arguments.skip_alone:
            alone = one_after_another(whole)
            print(f"one after another  {alone:7.1f} s", flush=True)
            print(f"side by side is {alone / together:.2f} times as fast", flush=True)
        print(f"halving against the whole study: {together / early:.2f} times as fast")
        _compare(table, few)


def _compare(table: StudyTable, few: StudyTable) -> None:
    """The verdicts of both, side by side."""
    same = 0
    for row in table.rows:
        other = few.row(row.variant.name)
        same += row.verdict.effect is other.verdict.effect
        print(f"{row.variant.name:36} {row.verdict.effect.value:16} {other.verdict.effect.value:16}")
        print(f"    {row.verdict.sentence}\n    {other.verdict.sentence}")
    print(f"{same} of {len(table.rows)} verdicts are the same")


if __name__ == "__main__":
    main()

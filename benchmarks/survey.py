"""Exemplars and activity of all layers in one pass: time against a bare forward pass, and memory.

    python benchmarks/survey.py [--rounds 5] [--images 60000] [--net NET] [--threads N] [--json FILE]

MNIST's training images, the net with random weights. A worker is a fresh process. It loads the images,
builds the net and does its work over 300 images, so that all code is loaded; then it notes its resident
memory, does its work over all images, and tells the seconds and how far the highest mark rose (``VmHWM``).
Images and net are not part of that rise.

The work is a bare forward pass (pixels to logits, nothing kept, in the batches that it is fastest in of
those tried), or the survey. Rounds go forwards and backwards in turns; ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cutaway.data import Split
    from cutaway.nets.subject import Subject

GOAL, ROOM = 1.5, 600 << 20
"""At most so many times a bare pass, and so many bytes above images and net."""

BATCHES = (32, 128, 512)
"""Images at once in a bare pass."""

VARIANTS = (*(f"bare {batch}" for batch in BATCHES), "exemplars", "activity", "both")


def load(net: str, images: int) -> tuple[Subject, Split]:
    """The net as a run gives it, and training images of MNIST."""
    import torch

    from cutaway.config import DataConfig
    from cutaway.data import Preprocess, load_images
    from cutaway.nets import find_net, plan
    from cutaway.nets.builder import build
    from cutaway.nets.layout import channels_last
    from cutaway.nets.subject import Subject

    data = load_images(DataConfig(source="mnist", validation=0))
    split = data.splits["train"].take(torch.arange(images))
    planned = plan(find_net(net), data.shape)
    model = channels_last(build(planned, seed=0).eval())
    preprocess = Preprocess((33.3,), (78.6,))
    return Subject(model, data.shape, data.classes, preprocess, plan=planned, name=net), split


def work(variant: str, subject: Subject, split: Split) -> None:
    """One pass."""
    import torch

    from cutaway.look.activity import MeasureActivity
    from cutaway.look.exemplars import FindExemplars
    from cutaway.look.survey import StreamingLook, survey

    if variant.startswith("bare"):
        with torch.inference_mode():
            for pixels, _ in split.chunks(int(variant.split()[1])):
                subject.model(subject.inputs(pixels))
        return
    looks: dict[str, StreamingLook[Any]] = {"exemplars": FindExemplars(), "activity": MeasureActivity()}
    survey(subject, split, [looks[variant]] if variant in looks else list(looks.values()))


def measured(variant: str, net: str, images: int) -> dict[str, float]:
    """Seconds, and bytes that memory rose by."""
    import torch

    subject, split = load(net, images)
    work(variant, subject, split.take(torch.arange(min(300, images))))
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high mark starts here
    start = time.perf_counter()
    work(variant, subject, split)
    return {"seconds": time.perf_counter() - start, "rise": _status("VmHWM") - before}


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--net", default="filters-32-64-64")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", metavar="VARIANT", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(measured(given.worker, given.net, given.images)))
        return
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(given.rounds):
        order = given.variants if number % 2 == 0 else given.variants[::-1]
        rounds.append({variant: _worker(variant, given) for variant in order})
        told = "  ".join(f"{name} {found['seconds']:.2f} s" for name, found in rounds[-1].items())
        print(told, file=sys.stderr, flush=True)
    table = {variant: summary(rounds, variant) for variant in given.variants}
    print_table(table, given)
    if given.json:
        given.json.write_text(json.dumps({"rounds": rounds, **table}, indent=2) + "\n", encoding="utf-8")


def summary(rounds: list[dict[str, dict[str, float]]], variant: str) -> dict[str, float]:
    """Medians over the rounds; ratios to the fastest bare pass of the same round."""
    ratios = []
    for found in rounds:
        bare = [row["seconds"] for name, row in found.items() if name.startswith("bare")]
        ratios.append(found[variant]["seconds"] / min(bare, default=float("nan")))
    return {
        "seconds": statistics.median(found[variant]["seconds"] for found in rounds),
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "rise": max(found[variant]["rise"] for found in rounds),
    }


def print_table(table: dict[str, dict[str, float]], given: argparse.Namespace) -> None:
    """In Markdown."""
    print(f"\n`{given.net}`, {given.images:,} images, {given.threads} threads, {given.rounds} rounds\n")
    print(f"| | seconds | × bare (goal: at most {GOAL}) | MiB above images and net (at most {ROOM >> 20}) |")
    print("| --- | --- | --- | --- |")
    for name, row in table.items():
        ratio = f"{row['ratio']:.2f} ({row['least']:.2f} to {row['most']:.2f})"
        print(f"| {name} | {row['seconds']:.2f} | {ratio} | {row['rise'] / 2**20:,.0f} |")


def _worker(variant: str, given: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", variant, "--net", given.net]
    command += ["--images", str(given.images)]
    environment = os.environ | {"OMP_NUM_THREADS": str(given.threads)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()

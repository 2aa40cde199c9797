"""A large folder of images: decoding on all cores, the second start, memory, an epoch from the cache.

    python benchmarks/data.py [--images 200000] [--json FILE]

A folder of JPEGs of 64×64 in colour is made in a temporary place, with a cache of its own. What is
compared runs in turns, in fresh processes: decoding on one core and on all of them, an epoch from
mapped memory and one from an array. Memory is what the process has for itself (``RssAnon``), looked
at twenty times a second.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

CLASSES = 10
SIDE = 64
NET = """conv 8 5x5 stride 4
batchnorm
relu
maxpool 2
conv 16 3x3
relu
globalpool
flatten
dense 10"""
"""Small, so that reading images is as much of an epoch as it can ever be."""


def make_folder(folder: Path, images: int) -> None:
    """``images`` JPEGs in ten classes, each another crop of a few photograph-like pictures."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    grounds = [
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((256, 256), 3)
        for _ in range(CLASSES)
    ]
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
    corners = random.integers(0, 256 - SIDE, (images, 2))
    for number, (left, top) in enumerate(corners.tolist()):
        label = number % CLASSES
        buffer = io.BytesIO()
        grounds[label].crop((left, top, left + SIDE, top + SIDE)).save(buffer, "JPEG", quality=85)
        (folder / f"class{label}" / f"{number:06}.jpg").write_bytes(buffer.getvalue())


def decode(folder: str) -> dict[str, float]:
    """Seconds and images of a first start."""
    images, seconds = _load(folder)
    return {"seconds": seconds, "images": sum(len(split) for split in images.splits.values())}


def start(folder: str) -> dict[str, float]:
    """Seconds of a second start, from nothing imported to a task that is ready."""
    begin = time.perf_counter()
    import torch  # noqa: F401

    imported = time.perf_counter()
    _, seconds = _load(folder)
    return {"import": imported - begin, "load": seconds}


def epoch(folder: str, memory: str) -> dict[str, float]:
    """Seconds of an epoch, the second of two, from the map or from an array; and the memory."""
    from cutaway.config import Experiment, load_experiment
    from cutaway.data import Images, Split
    from cutaway.training import EpochDone, Event, prepare, train

    with _watched() as peak:
        images, _ = _load(folder)
        if memory == "array":
            store = images.split("train").store.clone()
            images = replace(
                images, splits={n: Split(store, s.labels, s.index) for n, s in images.splits.items()}
            )
        seconds: list[float] = []

        def note(event: Event) -> None:
            if isinstance(event, EpochDone):
                seconds.append(event.seconds)

        values: dict[str, Any] = {"net": NET, "train": {"epochs": 2, "batch": 128}}
        task = prepare(load_experiment(Experiment(), values), Images(images.classes, images.splits))
        train(task, [note])
    return {"seconds": seconds[-1], "memory": peak[0]}


def _load(folder: str) -> tuple[Any, float]:
    from cutaway.config import DataConfig
    from cutaway.data import load_images

    begin = time.perf_counter()
    images = load_images(DataConfig(source="folder", path=folder))
    return images, time.perf_counter() - begin


@contextmanager
def _watched() -> Iterator[list[int]]:
    """The most bytes that this process has had for itself."""
    peak, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            for line in Path("/proc/self/status").read_text("ascii").splitlines():
                if line.startswith("RssAnon"):
                    peak[0] = max(peak[0], int(line.split()[1]) * 1024)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


WORK: dict[str, Callable[..., dict[str, float]]] = {"decode": decode, "start": start, "epoch": epoch}


def _run(cache: Path, cores: set[int], *arguments: str) -> dict[str, float]:
    """What a fresh process says."""
    found = subprocess.run(
        [sys.executable, __file__, "--worker", *arguments],
        env=os.environ | {"CUTAWAY_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    values: dict[str, float] = json.loads(found.stdout)
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(WORK[given.worker[0]](*given.worker[1:])))
        return
    cores = os.sched_getaffinity(0)
    facts: dict[str, Any] = {"images": given.images, "cores": len(cores)}
    with tempfile.TemporaryDirectory() as place:
        few, many = Path(place) / "few", Path(place) / "many"
        make_folder(few, given.images // 10)
        ratios = []
        for number in range(given.rounds):
            one = _run(Path(place) / f"one{number}", {min(cores)}, "decode", str(few))
            every = _run(Path(place) / f"all{number}", cores, "decode", str(few))
            rates = one["images"] / one["seconds"], every["images"] / every["seconds"]
            ratios.append(rates[1] / rates[0])
            print(f"decoding: {rates[0]:,.0f} images/s on one core, {rates[1]:,.0f} on {len(cores)}")
        facts["decoding"] = ratios
        print(f"decoding, all cores against one: {_spread(ratios)}")
        make_folder(many, given.images)
        cache = Path(place) / "cache"
        first = _run(cache, cores, "decode", str(many))
        second = _run(cache, cores, "start", str(many))
        facts |= {"first start": first["seconds"], "second start": second["load"], "import": second["import"]}
        print(f"first start {first['seconds']:.1f} s, second {second['load']:.2f} s", end="")
        print(f" (and {second['import']:.1f} s to import PyTorch)")
        ratios, peaks = [], []
        for _ in range(given.rounds):
            array = _run(cache, cores, "epoch", str(many), "array")
            mapped = _run(cache, cores, "epoch", str(many), "map")
            ratios.append(mapped["seconds"] / array["seconds"])
            peaks.append(mapped["memory"])
            print(
                f"epoch: {array['seconds']:.1f} s from an array, {mapped['seconds']:.1f} s from the map; ",
                end="",
            )
            print(f"{array['memory'] / 2**20:,.0f} and {mapped['memory'] / 2**20:,.0f} MiB")
        facts |= {"epoch": ratios, "memory": max(peaks)}
        print(f"epoch, map against array: {_spread(ratios)}; at most {max(peaks) / 2**20:,.0f} MiB")
    if given.json:
        given.json.write_text(json.dumps(facts, indent=1))


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()

"""What recording costs: ``capture`` of all layers beside the bare pass, of the first beside that layer.

    python benchmarks/capture.py [--rounds 15] [--threads N] [--nets NAME …] [--json FILE]

"All layers" are those that ``visible_layers`` lists, which are all but dropout and flattening. The bare
pass runs in evaluation mode and without gradients, and drops what each layer gives as soon as the next
one has read it. A round has all four in turns, forwards and backwards by turns; each is repeated for a
tenth of a second, a capture opened once for that: its hooks are put in and taken out, modes and the
random state are kept in that time. Ratios are taken within a round. Tables have medians, with the
quartiles of the ratios.

``vgg-like`` is the start of a VGG net for images of 32×32, eight layers of 3×3 kernels deep.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

VGG_LIKE = """
conv 64 3x3 same | relu | conv 64 3x3 same | relu | maxpool 2
conv 128 3x3 same | relu | conv 128 3x3 same | relu | maxpool 2
conv 256 3x3 same | relu | conv 256 3x3 same | relu | maxpool 2
conv 256 3x3 same | relu | conv 256 3x3 same | relu | maxpool 2
flatten | dense 256 | relu | dense 10
"""

CASES = {"lenet-theano": 500, "filters-32-64-64": 500, "vgg-like": 32}
"""Images in a pass."""

LEAST_SECONDS = 0.1
GOAL = 1.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--nets", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    table = [measured(name, CASES[name], options.rounds) for name in options.nets]
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def measured(name: str, batch: int, rounds: int) -> dict[str, Any]:
    """All ways of applying one net, in turns."""
    from cutaway import Subject
    from cutaway.look import capture, visible_layers
    from cutaway.nets import ZOO, find_net, parse_net, plan
    from cutaway.nets.builder import build

    channels, height, width = (3, 32, 32) if name == "vgg-like" else ZOO[name].input_shape
    shape = (channels, height, width)
    planned = plan(parse_net(VGG_LIKE) if name == "vgg-like" else find_net(name), shape)
    model = build(planned, seed=1).eval()
    inputs = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(2))
    names = visible_layers(Subject(model, shape, plan=planned))
    first = model.get_submodule(names[0])

    def captured(layers: list[str]) -> Callable[[int], None]:
        def run(often: int) -> None:
            with capture(model, layers) as outputs:
                for _ in range(often):
                    outputs(inputs)

        return run

    def plain(module: torch.nn.Module) -> Callable[[int], None]:
        def run(often: int) -> None:
            with torch.no_grad():
                for _ in range(often):
                    module(inputs)

        return run

    ways = {
        "pass": plain(model),
        "all layers": captured(names),
        "first layer": plain(first),
        "first captured": captured(names[:1]),
    }
    often = {}
    for way, run in ways.items():
        run(1)
        often[way] = max(1, round(LEAST_SECONDS / _timed(run, 1)))
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in list(ways)[:: 1 if number % 2 == 0 else -1]:
            seconds[way].append(_timed(ways[way], often[way]))
    found: dict[str, Any] = {"net": name, "batch": batch, "layers": len(names), "seconds": seconds}
    for way, bare in (("all layers", "pass"), ("first captured", "first layer")):
        ratios = [own / other for own, other in zip(seconds[way], seconds[bare], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        found[way] = {"ratio": middle, "quartiles": [low, high]}
        print(
            f"{name:17} batch {batch}: {bare:11} {1000 * statistics.median(seconds[bare]):8.2f} ms   "
            f"{way:14} {1000 * statistics.median(seconds[way]):8.2f} ms   "
            f"ratio {middle:.3f} ({low:.3f} to {high:.3f}), wanted {GOAL}",
            flush=True,
        )
    return found


def _timed(run: Callable[[int], None], often: int) -> float:
    """Seconds of one pass, the mean of some in a row."""
    start = time.perf_counter()
    run(often)
    return (time.perf_counter() - start) / often


if __name__ == "__main__":
    main()

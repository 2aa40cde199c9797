"""Knockout of every unit of a layer: Cutaway against Captum's ``LayerFeatureAblation``, the same values.

    python benchmarks/knockout.py [--rounds 5] [--batch 16] [--threads N] [--layers conv6 …] [--json FILE]

Captum is needed beside Cutaway:

    pip install 'captum==0.9.0' tqdm

The net has six convolutions with batch normalisation for images of 32×32. Captum knocks one unit out
after the other by a mask that gives each unit a number; where its option to do four at once is faster,
that is what counts. Both give the change of one logit for each image and unit, which must be equal. A
round has both, in turns, and the ratio is taken within it; the table has medians.

The first two convolutions have no aim: nearly all multiplications lie behind them, and none of those
can be left out (1.4 and 1.6 times fewer than a whole pass).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

NET = """
conv 32 3x3 same | batchnorm | relu
conv 32 3x3 same | batchnorm | relu | maxpool 2
conv 64 3x3 same | batchnorm | relu
conv 64 3x3 same | batchnorm | relu | maxpool 2
conv 128 3x3 same | batchnorm | relu
conv 128 3x3 same | batchnorm | relu | maxpool 2
flatten | dense 10
"""

TARGET = 3
"""The class whose logit is asked for; Captum takes one for each image only with one unit at once."""

AT_LEAST = {"conv1": 1, "conv2": 1, "conv3": 3, "conv4": 3, "conv5": 3, "conv6": 30}
"""How many times faster Cutaway should be."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--layers", nargs="+", default=list(AT_LEAST))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    from cutaway.training.allocator import freed_memory

    if options.threads:
        torch.set_num_threads(options.threads)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    # As "cutaway look knockout" runs; Captum gains by it too.
    with freed_memory(kept=True):
        table = [measured(layer, options.batch, options.rounds) for layer in options.layers]
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def measured(layer: str, batch: int, rounds: int) -> dict[str, Any]:
    """Both ways for one layer, in turns."""
    from cutaway import Subject
    from cutaway.look.knockout import knocked_logits
    from cutaway.nets import parse_net, plan
    from cutaway.nets.builder import build

    planned = plan(parse_net(NET), (3, 32, 32))
    model = build(planned, seed=1).eval()
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and module.running_mean is not None:
            # Statistics of a net that was trained, or all units would be nearly alike.
            module.running_mean.normal_(0, 0.1, generator=generator)
    inputs = torch.randn(batch, 3, 32, 32, generator=generator)
    count = _units(model, layer)
    units, values = torch.arange(count), torch.zeros(count)
    subject = Subject(model, (3, 32, 32))

    def ours() -> Tensor:
        found = knocked_logits(subject, inputs, layer, units, values)
        if found.reason:
            raise SystemExit(f"{layer}: {found.reason}")
        return (found.unmodified - found.units)[:, :, TARGET].T  # (N, U)

    def theirs(at_once: int) -> Callable[[], Tensor]:
        return lambda: _captum(model, layer, inputs, at_once)

    ways = {"cutaway": ours, "captum, one at once": theirs(1), "captum, 4 at once": theirs(4)}
    wanted = ours()
    for name, way in ways.items():
        torch.testing.assert_close(way(), wanted, atol=1e-5, rtol=1e-4, msg=partial(_differs, layer, name))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            start = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - start)
    rivals = [name for name in ways if name != "cutaway"]
    best = min(rivals, key=lambda name: statistics.median(seconds[name]))
    ratios = [b / a for a, b in zip(seconds["cutaway"], seconds[best], strict=True)]
    times = statistics.median(ratios)
    told = "  ".join(f"{name} {statistics.median(taken) * 1000:8.1f} ms" for name, taken in seconds.items())
    print(
        f"{layer} {count:4} units, batch {batch}: {told}  {times:5.1f}× "
        f"({min(ratios):.1f} to {max(ratios):.1f}), wanted {AT_LEAST[layer]}×",
        flush=True,
    )
    return {"layer": layer, "units": count, "batch": batch, "seconds": seconds, "rival": best, "times": times}


def _differs(layer: str, way: str, told: str) -> str:
    return f"{layer}, {way}: {told}"


def _units(model: torch.nn.Module, layer: str) -> int:
    return len(model.get_parameter(f"{layer}.weight"))


def _captum(model: torch.nn.Module, layer: str, inputs: Tensor, at_once: int) -> Tensor:
    """Captum's answer: what the target's logit loses without each unit, ``(N, U)``."""
    from captum.attr import LayerFeatureAblation

    count = _units(model, layer)
    mask = torch.arange(count).view(1, -1, 1, 1)
    found = LayerFeatureAblation(model, model.get_submodule(layer)).attribute(
        inputs, target=TARGET, layer_mask=mask, perturbations_per_eval=at_once
    )
    return found[:, :, 0, 0].detach()  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()

"""Looks that optimise: how fast, how well they are held by priors, how near inversion and decoders come.

    python benchmarks/optimise.py [--rounds 5] [--threads N] [--parts NAME …] [--store DIR --run RUN]
                                  [--json FILE]

The net is ``lenet-theano``, trained here for two epochs of 10 000 digits in a folder that is removed, or a
run that there is. Times are the fastest of the rounds, and ways of the same work take turns.

``batch``    16 channels of conv2 of the net for 3×32×32 pixels maximised together; one at a time through the
             whole net, as a hook and PyTorch's Adam do it; and one at a time with the look itself
``channels`` the channels of the second convolution, 256 steps
``prior``    what the total variation prior costs: activation kept, variation, distance to a training image
``beyond``   living units whose image exceeds every image of the dataset
``invert``   relative error of the features by layer, in at most 500 steps
``decode``   decoders of all layers: time, and the error by depth
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import cutaway
from cutaway import Subject
from cutaway.config import Experiment, load_experiment
from cutaway.data import Images
from cutaway.look import Target
from cutaway.look.capture import capture
from cutaway.look.optimising import Recipe, TotalVariation, decode, invert, maximize, train_decoders
from cutaway.look.optimising.canvas import started
from cutaway.look.optimising.priors import total_variation
from cutaway.nets import find_net, plan
from cutaway.nets.builder import build
from cutaway.nets.layout import channels_last
from cutaway.store import Store
from cutaway.training.allocator import freed_memory

NET = "lenet-theano"

ERROR = 1e-2
"""Of inversion, relative: the goal."""


def trained(folder: Path, threads: int) -> tuple[Subject, Images]:
    """The net, and the digits that it learnt from."""
    experiment = load_experiment(
        Experiment(),
        {
            "name": "optimise",
            "net": NET,
            "data": {"train_images": 10_000},
            "train": {"epochs": 2, "threads": threads},
        },
    )
    run = cutaway.train(experiment, store=Store(folder))
    return run.subject(), run.images()


def fastest(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Seconds of each way, which take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            start = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: min(taken) for name, taken in seconds.items()}


def channels(layer: str, count: int) -> list[Target]:
    """The sum of each channel."""
    return [Target({unit: 1.0}, layer, "sum") for unit in range(count)]


def batch(options: argparse.Namespace) -> dict[str, float]:
    """16 channels together and alone."""
    planned = plan(find_net(NET), (3, 32, 32))
    subject = Subject(channels_last(build(planned, seed=1).eval()), (3, 32, 32), plan=planned)
    targets = channels("conv2", 16)

    def alone(steps: int = 64) -> Tensor:
        return torch.cat([maximize(subject, target, Recipe(steps)).images for target in targets])

    def together(steps: int = 64) -> Tensor:
        return maximize(subject, targets, Recipe(steps)).images

    def whole(steps: int = 64) -> Tensor:
        begin = started("noise", subject.input_shape, 1, 0)
        return torch.cat([plainly(subject.model, begin, unit, steps) for unit in range(len(targets))])

    # Over many steps adam makes much of the last digits of small gradients.
    torch.testing.assert_close(together(3), alone(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(together(3), whole(3), atol=1e-3, rtol=0)
    reached = [_sums(subject, images) for images in (together(), whole())]
    worst = float((reached[0] / reached[1] - 1).abs().max())
    found = fastest({"together": together, "whole": whole, "alone": alone}, options.rounds)
    ratio = found["whole"] / found["together"]
    print(
        f"batch     16 channels at 32×32, 64 steps: together {found['together']:.2f} s, one at a time",
        end=" ",
    )
    print(f"through the whole net {found['whole']:.2f} s: {ratio:.1f} × as fast, wanted 5;", end=" ")
    print(f"values differ by at most {worst:.2%}. One at a time with the look: {found['alone']:.2f} s")
    return {**found, "ratio": ratio, "worst": worst}


def plainly(model: nn.Module, begin: Tensor, unit: int, steps: int) -> Tensor:
    """The image of one channel of conv2, as a hook and PyTorch's own Adam make it."""
    image = begin.clone().requires_grad_()
    seen: list[Tensor] = []
    handle = model.get_submodule("conv2").register_forward_hook(lambda *call: seen.append(call[2]))
    optimiser = torch.optim.Adam([image], lr=0.05, betas=(0.9, 0.99), maximize=True)
    try:
        for _ in range(steps):
            seen.clear()
            model(image)
            (gradient,) = torch.autograd.grad(seen[0][:, unit].sum(), image)
            image.grad = gradient / gradient.square().mean().sqrt()
            optimiser.step()
            with torch.no_grad():
                image.clamp_(0, 1)
    finally:
        handle.remove()
    return image.detach()


def _sums(subject: Subject, images: Tensor) -> Tensor:
    """Of each image the sum of its own channel of conv2, ``(N,)``."""
    own = torch.arange(len(images))
    with capture(subject.model, ["conv2"]) as run:
        maps: Tensor = run(images)["conv2"]
    return maps[own, own].sum((1, 2))


def all_channels(subject: Subject, options: argparse.Namespace) -> dict[str, float]:
    """All channels of the second convolution."""
    targets = channels("conv2", 50)
    found = fastest({"seconds": lambda: maximize(subject, targets, Recipe(steps=256))}, options.rounds)
    print(f"channels  50 of conv2, 256 steps: {found['seconds']:.2f} s, wanted at most 10")
    return found


def prior(subject: Subject, images: Images) -> list[dict[str, float]]:
    """No prior and total variation of three weights, for every channel of conv2 that answers."""
    learnt = images.splits["train"].batch(torch.arange(len(images.splits["train"]))).float().flatten(1) / 255
    targets = channels("conv2", 50)
    rows: list[dict[str, float]] = []
    print("prior     TV weight  activation kept, mean (least)     TV   distance to the nearest digit")
    for weight in (0.0, 0.01, 0.03, 0.1, 0.3):
        made = maximize(
            subject,
            targets,
            Recipe(256, priors=[TotalVariation(weight)] if weight else (), schedule="cosine"),
        )
        if not weight:
            free = made.reached
        kept = made.reached / free
        rows.append(
            {
                "weight": weight,
                "kept": float(kept.mean()),
                "least": float(kept.min()),
                "variation": float(total_variation(made.images).mean()),
                "distance": float(torch.cdist(made.images.flatten(1), learnt).min(1).values.mean()),
            }
        )
        row = rows[-1]
        print(
            f"          {weight:9g}  {row['kept']:20.1%} ({row['least']:.1%})  {row['variation']:7.3f}"
            f"  {row['distance']:8.2f}",
            flush=True,
        )
    return rows


def beyond(subject: Subject, images: Images) -> dict[str, float]:
    """Units of all convolutions and dense layers: what is reached, and the most of any training image."""
    found: dict[str, float] = {}
    for layer in ("conv1", "conv2", "dense1"):
        assert subject.plan is not None
        units = next(row.output_shape[0] for row in subject.plan.rows if row.name == layer)
        made = maximize(
            subject,
            channels(layer, min(50, units)),
            Recipe(128),
            dataset=images.splits["train"].take(torch.arange(5000)),
        )
        assert made.best_value is not None
        dead = len(made.notes)
        more = int((made.reached > made.best_value).sum())
        found[layer] = more / (len(made.reached) - dead)
        print(
            f"beyond    {layer}: {more} of {len(made.reached) - dead} living units above all digits, "
            f"wanted 95 %; {dead} dead",
            flush=True,
        )
    return found


def inversion(subject: Subject, images: Images, count: int) -> dict[str, Any]:
    """Every layer by itself, so that each has a time."""
    pixels = images.splits["test"].batch(torch.arange(count))
    found: dict[str, Any] = {}
    print(f"invert    layer       error, mean (largest of {count}), wanted {ERROR:g}      pixels  seconds")
    for layer in names(subject):
        start = time.perf_counter()
        made = invert(subject, pixels, [layer])
        error, off = made.feature_error[layer], float(made.pixel_error[layer].mean())
        taken = time.perf_counter() - start
        found[layer] = {"mean": float(error.mean()), "most": float(error.max()), "pixels": off}
        print(
            f"          {layer:10}  {float(error.mean()):.1e} ({float(error.max()):.1e})"
            f"{off:26.3f}  {taken:7.1f}",
            flush=True,
        )
    return found


def names(subject: Subject) -> list[str]:
    """Layers that change a value."""
    from cutaway.look.stream import chosen_layers

    return list(chosen_layers(subject, None))


def decoders(subject: Subject, images: Images) -> dict[str, Any]:
    """All layers at once, as the look has it."""
    start = time.perf_counter()
    made = train_decoders(subject, images.splits["train"])
    seconds = time.perf_counter() - start
    decoded = decode(subject, made, images.splits["test"].batch(torch.arange(500)))
    errors = {name: float(error.square().mean().sqrt()) for name, error in decoded.pixel_error.items()}
    steps = len(next(iter(made.losses.values())))
    print(
        f"decode    {len(errors)} layers, {steps} steps: {seconds:.0f} s; error in pixels, 0 to 1, by depth:"
    )
    for name, error in errors.items():
        print(f"          {name:10}  {error:.3f}")
    return {"seconds": seconds, "steps": steps, "errors": errors}


def main() -> None:
    """Measure all parts and print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ("batch", "channels", "prior", "beyond", "invert", "decode")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--images", type=int, default=8, help="that are inverted")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--run", default="last")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    machine = platform.processor() or platform.machine()
    with tempfile.TemporaryDirectory() as folder, freed_memory(kept=True):
        if options.store:
            run = Store(options.store).find(options.run)
            subject, images = run.subject(), run.images()
        else:
            subject, images = trained(Path(folder), options.threads)
        torch.set_num_threads(options.threads)
        print(f"{machine}, {torch.get_num_threads()} threads, torch {torch.__version__}, {subject.name}")
        work: dict[str, Callable[[], Any]] = {
            "batch": lambda: batch(options),
            "channels": lambda: all_channels(subject, options),
            "prior": lambda: prior(subject, images),
            "beyond": lambda: beyond(subject, images),
            "invert": lambda: inversion(subject, images, options.images),
            "decode": lambda: decoders(subject, images),
        }
        found = {part: work[part]() for part in options.parts}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

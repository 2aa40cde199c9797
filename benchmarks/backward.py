"""Looks that go backwards: Cutaway against Captum and against one plain input gradient, the same work.

    python benchmarks/backward.py [--rounds 5] [--threads N] [--nets NAME …] [--tasks NAME …] [--json FILE]

Captum is a development dependency of Cutaway's. The nets are one of six convolutions with batch
normalisation for images of 32×32, and vgg16 for 224×224, both with random weights. Where both give the
same map by definition the maps are compared first. A round has all ways of a task, in turns, and the
ratio is taken within it; of Captum's options for how much it does at once the fastest counts. Relevance
and the two methods that change rectifiers are measured against one plain gradient of the input too, by
PyTorch alone.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.look import (
    Target,
    deconvnet,
    deeplift,
    gradcam,
    guided,
    integrated_gradients,
    lrp,
    occlusion,
    saliency,
    smoothgrad,
)
from cutaway.nets import find_net, parse_net, plan
from cutaway.nets.builder import build
from cutaway.training.allocator import freed_memory

NET6 = """
conv 32 3x3 same | batchnorm | relu
conv 32 3x3 same | batchnorm | relu | maxpool 2
conv 64 3x3 same | batchnorm | relu
conv 64 3x3 same | batchnorm | relu | maxpool 2
conv 128 3x3 same | batchnorm | relu
conv 128 3x3 same | batchnorm | relu | maxpool 2
flatten | dense 10
"""

CLASS = 3
UNITS = 64

Way = Callable[[], Tensor]


@dataclass(frozen=True)
class Scene:
    """A net and images for it.

    Args:
        model: in evaluation mode.
        images: inputs of many, ``(N, C, H, W)``; the first is taken where one is asked for.
        layer: a convolution in the middle, whose units are asked about.
    """

    model: nn.Module
    subject: Subject
    images: Tensor
    layer: str
    convs: tuple[str, ...]

    @property
    def image(self) -> Tensor:
        """One input."""
        return self.images[:1]


@dataclass(frozen=True)
class Task:
    """One piece of work done in several ways.

    Args:
        ours: Cutaway's way.
        rivals: Captum's, by how much it does at once.
        at_least: how many times faster Cutaway should be than the fastest of them.
        plain: one gradient of the input by PyTorch alone, on the same images.
        at_most: how many times a plain gradient it should take.
        same: whether both give the same numbers by definition.
    """

    ours: Way
    rivals: Mapping[str, Way] = field(default_factory=dict)
    at_least: float = 0.95
    plain: Way | None = None
    at_most: float | None = None
    same: bool = True


def scene(name: str) -> Scene:
    """One of the two nets, with images."""
    text, side, count, layer = (NET6, 32, 16, "conv4") if name == "net6" else (name, 224, 2, "conv8")
    net = parse_net(text) if name == "net6" else find_net(name)
    planned = plan(net, (3, side, side))
    model = build(planned, seed=1).eval()
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.1, generator=generator)
    convs = tuple(part for part, module in model.named_modules() if isinstance(module, nn.Conv2d))
    images = torch.rand(count, 3, side, side, generator=generator)
    return Scene(model, Subject(model, (3, side, side), plan=planned), images, layer, convs)


def plain_gradient(on: Scene, images: Tensor) -> Way:
    """The gradient of one logit by the input, by PyTorch alone, as one would write it."""

    def gradient() -> Tensor:
        leaf = images.clone().requires_grad_()
        return torch.autograd.grad(on.model(leaf)[:, CLASS].sum(), leaf)[0]

    return gradient


def tasks(on: Scene) -> dict[str, Task]:
    """Everything that is measured on a net."""
    import captum.attr as theirs

    model, subject, images, image = on.model, on.subject, on.images, on.image
    steps = 50 if len(images) > 2 else 10
    window = math.ceil(images.shape[2] / 7)
    module = model.get_submodule(on.layer)
    units = [Target({unit: 1.0}, on.layer, (2, 2)) for unit in range(UNITS)]
    neuron = theirs.NeuronGradient(model, module)

    def cams() -> Tensor:
        found = gradcam(subject, images, CLASS, on.convs)
        return torch.cat([found.layers[name][0].flatten() for name in on.convs])

    def their_cams() -> Tensor:
        found = [
            theirs.LayerGradCam(model, model.get_submodule(name)).attribute(
                images, CLASS, relu_attributions=True
            )
            for name in on.convs
        ]
        return torch.cat([one.detach().flatten() for one in found])

    def occluded(at_once: int) -> Way:
        return lambda: theirs.Occlusion(model).attribute(
            image, (3, window, window), (3, window, window), 0, CLASS, perturbations_per_eval=at_once
        )[:, :1]

    def integrated(at_once: int | None) -> Way:
        return lambda: theirs.IntegratedGradients(model).attribute(
            images, 0.0, CLASS, n_steps=steps, internal_batch_size=at_once
        )

    black = torch.zeros_like(image)
    return {
        "saliency": Task(
            lambda: saliency(subject, images, CLASS).maps[0],
            {"captum": lambda: theirs.Saliency(model).attribute(images.clone(), CLASS, abs=False)},
            plain=plain_gradient(on, images),
        ),
        "gradients of 64 units": Task(
            lambda: saliency(subject, image, units).maps[:, 0],
            {"captum": lambda: torch.cat([neuron.attribute(image.clone(), (u, 2, 2)) for u in range(UNITS)])},
            at_least=4,
        ),
        "grad-cam, all convs": Task(cams, {"captum": their_cams}, at_least=4),
        "guided": Task(
            lambda: guided(subject, images, CLASS).maps[0],
            {"captum": lambda: theirs.GuidedBackprop(model).attribute(images.clone(), CLASS)},
            plain=plain_gradient(on, images),
            at_most=1.3,
        ),
        "deconvnet": Task(
            lambda: deconvnet(subject, images, CLASS).maps[0],
            {"captum": lambda: theirs.Deconvolution(model).attribute(images.clone(), CLASS)},
            plain=plain_gradient(on, images),
            at_most=1.3,
        ),
        "LRP epsilon-plus": Task(
            lambda: lrp(subject, images, CLASS, rules="epsilon-plus").maps[0],
            plain=plain_gradient(on, images),
            at_most=2.0,
        ),
        "DeepLift": Task(
            lambda: deeplift(subject, images, CLASS, baseline=black).maps[0],
            {"captum": lambda: theirs.DeepLift(model).attribute(images.clone(), black, CLASS).detach()},
            # Through a max-pool behind other layers Captum's map does not add up to the difference.
            same=False,
        ),
        "occlusion, 49 windows": Task(
            lambda: occlusion(subject, image, CLASS, size=window, stride=window, baseline=black).maps[0],
            {f"captum, {many} at once": occluded(many) for many in (1, 7, 49)},
            at_least=2,
        ),
        f"integrated gradients, {len(images)} × {steps}": Task(
            lambda: integrated_gradients(subject, images, CLASS, baseline=black, steps=steps).maps[0],
            {"captum, all at once": integrated(None)}
            | {f"captum, {many} at once": integrated(many) for many in (16, 64)},
            at_least=1.5,
        ),
        "SmoothGrad, 16 copies": Task(
            lambda: smoothgrad(subject, images, CLASS, samples=16).maps[0],
            {
                "captum": lambda: theirs.NoiseTunnel(theirs.Saliency(model)).attribute(
                    images.clone(), "smoothgrad", nt_samples=16, stdevs=0.15, target=CLASS, abs=False
                )
            },
            same=False,
        ),
    }


def measured(net: str, name: str, task: Task, rounds: int) -> dict[str, Any]:
    """All ways of one task, in turns."""
    ways: dict[str, Way] = {"cutaway": task.ours, **task.rivals}
    if task.plain:
        ways["plain gradient"] = task.plain
    results = {way: run() for way, run in ways.items()}
    if task.same:
        for rival in task.rivals:
            torch.testing.assert_close(results[rival], results["cutaway"], atol=1e-5, rtol=1e-3)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in list(ways)[:: 1 if number % 2 == 0 else -1]:
            start = time.perf_counter()
            ways[way]()
            seconds[way].append(time.perf_counter() - start)
    told = "  ".join(f"{way} {statistics.median(taken) * 1000:.1f} ms" for way, taken in seconds.items())
    print(f"{net:6} {name:32} {told}")
    row: dict[str, Any] = {"net": net, "task": name, "seconds": seconds}
    if task.rivals:
        best = min(task.rivals, key=lambda way: statistics.median(seconds[way]))
        row["faster"] = _ratio(seconds[best], seconds["cutaway"])
        print(f"       {'':32} {_told(row['faster'])} × as fast as {best}, wanted {task.at_least:g}")
    if task.plain:
        row["of_plain"] = _ratio(seconds["cutaway"], seconds["plain gradient"])
        goal = f", wanted at most {task.at_most:g}" if task.at_most else ""
        print(f"       {'':32} {_told(row['of_plain'])} × a plain gradient{goal}", flush=True)
    return row


def _ratio(over: list[float], under: list[float]) -> list[float]:
    """Median, least and largest of the ratios within rounds."""
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    return [statistics.median(ratios), min(ratios), max(ratios)]


def _told(ratio: list[float]) -> str:
    return f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"


def main() -> None:
    """Measure all tasks on both nets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--nets", nargs="+", default=["net6", "vgg16"])
    parser.add_argument("--tasks", nargs="+", default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    table = []
    # As "cutaway look" runs; Captum gains by it too.
    with freed_memory(kept=True):
        for net in options.nets:
            for name, task in tasks(scene(net)).items():
                if not options.tasks or any(part in name for part in options.tasks):
                    table.append(measured(net, name, task, options.rounds))
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

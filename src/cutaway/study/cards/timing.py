"""What every layer takes of a forward pass."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor, nn

from cutaway.nets.builder import Net
from cutaway.nets.subject import Subject, evaluating
from cutaway.nets.walk import walk


def forward_times(subject: Subject, images: Tensor, passes: int = 5) -> dict[str, float]:
    """Seconds that each layer takes for one image, those inside blocks too; empty for a model of others.

    The median of some passes over all the images, behind one that is not counted. Layers are applied one
    after another as they are described; a training step orders and joins some of them
    (:mod:`cutaway.nets.order`), and takes its backward pass beside.

    Args:
        subject: is applied in evaluation mode.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs; all go through at once.
        passes: that are counted, from 1.

    Raises:
        ConfigError: the images have another shape than the subject takes.
    """
    net = subject.model
    if not isinstance(net, Net):
        return {}
    spent: dict[str, list[float]] = {}
    with evaluating(net), torch.inference_mode():
        inputs = subject.inputs(images)
        for _ in range(passes + 1):
            _pass(net, inputs, spent)
    medians = {name: statistics.median(seconds[1:]) / len(images) for name, seconds in spent.items()}
    # Of a block the walk tells what it takes beside the layers inside.
    return {
        name: sum(seconds for inner, seconds in medians.items() if f"{inner}.".startswith(f"{name}."))
        for name in medians
    }


def _pass(net: Net, inputs: Tensor, spent: dict[str, list[float]]) -> None:
    last = _now(inputs)

    def see(name: str, module: nn.Module, value: Tensor) -> None:
        nonlocal last
        del module
        now = _now(value)
        spent.setdefault(name, []).append(now - last)
        last = now

    walk(net, inputs, see)


def _now(value: Tensor) -> float:
    """The time, once what was asked of the device is done."""
    if value.device.type == "cuda":
        torch.cuda.synchronize(value.device)
    return time.perf_counter()

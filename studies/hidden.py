"""Whether a hidden dense layer shows anything: pictures in its weights, classes in what excites its units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from page import Results
from torch import Tensor

from cutaway.look import Exemplars
from cutaway.study import Estimate
from cutaway.study.findings.statistics import estimate

EXEMPLARS = {"trained": "hidden-exemplars", "random": "hidden-exemplars-random"}
"""Looks at what excites units."""


@dataclass(frozen=True)
class Hidden:
    """What is seen of the hidden layer's units.

    Args:
        smooth: correlation of neighbouring weights, a mean over units: trained, random, and what
            training added.
        pure: the share of a unit's nine strongest test digits that are of its commonest class, a mean
            over units: trained and random.
        purer: trained less random, unit by unit.
        read: the error of a linear probe on the layer: trained and random.
    """

    smooth: Mapping[str, Estimate]
    pure: Mapping[str, Estimate]
    purer: Estimate
    read: Mapping[str, tuple[float, float, float]]


def read_hidden(results: Results) -> Hidden:
    """From the looks."""
    trained, random = (one.layers["dense1"] for one in results.look("hidden-kernels").results)
    weights = {"trained": trained, "random": random, "what training added": trained - random}
    strongest = {side: purity(results.look(name), "tanh3") for side, name in EXEMPLARS.items()}
    probe = results.look("hidden-probe")
    read = {"trained": probe.layers["tanh3"], "random": probe.random["tanh3"]}
    return Hidden(
        {name: estimate(neighbours(one)) for name, one in weights.items()},
        {name: estimate(one) for name, one in strongest.items()},
        estimate(a - b for a, b in zip(strongest["trained"], strongest["random"], strict=True)),
        {name: (one.error, *one.interval) for name, one in read.items()},
    )


def neighbours(weights: Tensor) -> list[float]:
    """For each unit, Pearson's r of weights side by side or one above the other: ``(U, C, h, w)``."""
    found = []
    for unit in weights.double():
        one = torch.cat((unit[:, :, :-1].flatten(), unit[:, :-1].flatten()))
        other = torch.cat((unit[:, :, 1:].flatten(), unit[:, 1:].flatten()))
        found.append(float(torch.corrcoef(torch.stack((one, other)))[0, 1]))
    return found


def purity(found: Exemplars, layer: str) -> list[float]:
    """For each unit, the share of its strongest images that are of its commonest class."""
    classes = [found.class_names(layer, unit, "top") for unit in found.numbers(layer)]
    return [Counter(names).most_common(1)[0][1] / len(names) for names in classes]

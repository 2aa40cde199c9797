"""Knockout: what a unit or a layer is worth, by taking it away without training anew.

A unit's output is set to zero, or to its mean over the images, and the images are classified once
more. R. Meyes et al., "Ablation studies in artificial neural networks", 2019; A. Morcos et al., "On
the importance of single directions for generalization", ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from cutaway.data import Split
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look.finite import refuse_nan
from cutaway.look.layers import visible_layers
from cutaway.look.modules import named_modules
from cutaway.look.rerun import Rerun, rerun
from cutaway.look.stream import stream
from cutaway.nets.subject import Subject, evaluating
from cutaway.progress import tracked
from cutaway.training.allocator import freed_memory
from cutaway.training.score import cross_entropies, ranks


class Value(StrEnum):
    """What a knocked out unit gives instead."""

    ZERO = "zero"
    MEAN = "mean"


@dataclass(frozen=True)
class LayerKnockout:
    """What a layer and each of its units are worth.

    Args:
        units: their numbers, ``(U,)`` int64.
        accuracy: of all images with one unit knocked out, ``(U,)`` float64, 0 to 1.
        class_accuracy: likewise of each class's images, ``(U, K)``; NaN for a class without images.
        objective: the mean of −log p(label), ``(U,)`` float64, in nats.
        whole_accuracy: with all units of the layer knocked out at once.
        whole_class_accuracy: likewise by class, ``(K,)``.
        whole_objective: likewise, in nats.
        values: what each unit of the layer was set to, ``(C,)``.
        method: "suffix" where only what lies behind the layer was computed for each unit, "whole pass"
            where the model does not allow it.
        reason: why it does not; empty otherwise.
    """

    units: Tensor
    accuracy: Tensor
    class_accuracy: Tensor
    objective: Tensor
    whole_accuracy: float
    whole_class_accuracy: Tensor
    whole_objective: float
    values: Tensor
    method: str
    reason: str = ""


@dataclass(frozen=True)
class Knockout:
    """What layers and their units are worth for labelled images.

    Args:
        layers: by name.
        accuracy: of the unmodified subject, 0 to 1.
        class_accuracy: of each class's images, ``(K,)`` float64; NaN for a class without images.
        objective: the mean of −log p(label), in nats.
        classes: K names.
        images: how many there were.
        value: what knocked out units were set to.
        subject: the subject's name.
    """

    layers: Mapping[str, LayerKnockout]
    accuracy: float
    class_accuracy: Tensor
    objective: float
    classes: Sequence[str]
    images: int
    value: Value
    subject: str = ""

    def lost(self, layer: str) -> Tensor:
        """The accuracy lost without each unit, ``(U,)`` from −1 to 1; below 0 it is better without."""
        return self.accuracy - self.layers[layer].accuracy

    def class_lost(self, layer: str) -> Tensor:
        """The accuracy of each class lost without each unit, ``(U, K)``."""
        return self.class_accuracy - self.layers[layer].class_accuracy

    def whole_lost(self, layer: str) -> float:
        """The accuracy lost without the layer's information."""
        return self.accuracy - self.layers[layer].whole_accuracy


def knockout(
    subject: Subject,
    split: Split,
    layers: Sequence[str] | None = None,
    *,
    units: Sequence[int] | None = None,
    value: Value | str = Value.ZERO,
    batch: int = 16,
) -> Knockout:
    """Classify images without one unit after the other, and without whole layers.

    The prefix, from the image to the layer, is computed once for each ``batch`` images; for a unit,
    only what lies behind its layer is (:mod:`cutaway.look.suffix`). Where the model's operations can't
    be applied again, each unit takes a whole pass, and ``method`` says so. The values are the same.

    Args:
        subject: trained or not.
        split: labelled images.
        layers: addresses, as :class:`cutaway.look.Address` explains; all convolutions and dense layers
            but the last one when not given.
        units: channels, or numbers of a dense layer, from 0; all when not given.
        value: "zero", or "mean" over all images and places.
        batch: images in a pass.

    Raises:
        NotFoundError: there is no such layer or unit.
        ConfigError: there are no layers, or one gives no units.
        DataError: there are no images, they have more classes than the subject, or a weight, an input or
            what they come to is not finite.
    """
    value = _value(value)
    if batch < 1:
        raise ConfigError(f"batch should be 1 or more, not {batch}.")
    if not len(split):
        raise DataError("There are no images to knock units out for; give one or more.")
    batch = subject.batch or batch
    names = list(dict.fromkeys(layers)) if layers is not None else main_layers(subject)
    if not names:
        raise ConfigError("There are no layers to knock out; name one or more.")
    values = unit_values(subject, split, names, value)
    for name in names:
        _check_units(name, units, len(values[name]))
    wanted = {
        name: torch.tensor(list(units if units is not None else range(len(values[name]))), dtype=torch.int64)
        for name in names
    }
    tallies = {name: _Tally() for name in names}
    base = _Tally()
    work = sum(len(wanted[name]) + 1 for name in names) * len(split)
    # Every part of the batches takes memory of the same sizes; fresh pages would cost a third of the time.
    keeping: AbstractContextManager[object] = (
        freed_memory(kept=True) if subject.device.type == "cpu" else nullcontext()
    )
    with keeping, tracked("Knocking out", work, "images") as add:
        for pixels, labels in split.chunks(batch):
            inputs = subject.inputs(pixels)
            refuse_nan(subject, inputs, {"inputs": inputs})
            for number, name in enumerate(names):
                found = knocked_logits(subject, inputs, name, wanted[name], values[name])
                _check(subject, inputs, found, labels, name)
                if number == 0:
                    base.add(found.unmodified[None], labels)
                tallies[name].add(torch.cat([found.units, found.whole[None]]), labels)
                tallies[name].reason = tallies[name].reason or found.reason
                add((len(wanted[name]) + 1) * len(labels))
    rows = {name: tallies[name].layer(wanted[name], values[name]) for name in names}
    accuracy, by_class, objective = base.means()
    classes = tuple(subject.classes or map(str, range(by_class.shape[1])))
    return Knockout(
        rows, float(accuracy), by_class[0], float(objective), classes, len(split), value, subject.name
    )


def knocked_logits(subject: Subject, inputs: Tensor, layer: str, units: Tensor, values: Tensor) -> Rerun:
    """The logits for some images with one unit of a layer knocked out, for each of some units.

    Args:
        subject: trained or not.
        inputs: ``(N, C, H, W)``, as :meth:`Subject.inputs` gives them.
        layer: an address.
        units: ``(U,)`` int64.
        values: what each unit of the layer is set to, ``(C,)``.

    Returns:
        logits ``(U, N, K)``, those of the unmodified model, and those without the whole layer.
    """
    with evaluating(subject.model), torch.random.fork_rng(), torch.inference_mode(False), torch.no_grad():
        return rerun(subject, inputs, layer, units, values)


def main_layers(subject: Subject) -> list[str]:
    """The names of all convolutions and dense layers but the last one, which gives the logits.

    Raises:
        ConfigError: there are none.
    """
    modules = named_modules(subject.model)
    found = []
    for name in visible_layers(subject):
        # What is applied again, and calls of functions, are told by their number: conv@2, conv2d@1.
        plain = name.partition("@")[0]
        if isinstance(modules.get(plain), _WEIGHTED) or (plain not in modules and plain in _FUNCTIONS):
            found.append(name)
    if len(found) < 2:
        raise ConfigError(
            f"{subject.name} has no convolutions or dense layers before its last one; name a layer."
        )
    return found[:-1]


def unit_values(subject: Subject, split: Split, layers: Sequence[str], value: Value) -> dict[str, Tensor]:
    """What each unit of some layers is set to, ``(C,)`` by name: zeros, or means over images and places.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: a layer gives no units.
        DataError: what a layer gives is not finite.
    """
    sums: dict[str, Tensor] = {}
    seen = 0

    def add(inputs: Tensor, found: Mapping[str, Tensor]) -> None:
        nonlocal seen
        seen += len(inputs)
        for name, output in found.items():
            means = output.double().reshape(*output.shape[:2], -1).mean(2)  # (n, C)
            sums[name] = sums[name] + means.sum(0) if name in sums else means.sum(0)

    # For zeros, one image tells how many units there are.
    count = len(split) if value is Value.MEAN else 1
    chunk = split.take(torch.arange(count))
    for pixels, _ in chunk.chunks(_CHUNK):
        stream(subject, pixels, layers, add)
    if value is Value.ZERO:
        return {name: torch.zeros_like(total, dtype=torch.float32) for name, total in sums.items()}
    return {name: (total / seen).float() for name, total in sums.items()}


class _Tally:
    """Right answers by class and objectives, for each variant of a layer."""

    def __init__(self) -> None:
        # Sums, not batches: with many units and classes these would be more than all maps.
        self.right: Tensor | float = 0.0
        self.nats: Tensor | float = 0.0
        self.members: Tensor | float = 0.0
        self.reason = ""

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count the logits ``(V, N, K)`` of images with some labels ``(N,)``."""
        logits, labels = logits.float().cpu(), labels.cpu()
        variants, images, classes = logits.shape
        flat, own = logits.flatten(0, 1), labels.repeat(variants)
        right = (ranks(flat, own) == 0).double().view(variants, images)
        members = one_hot(labels, classes).double()  # (N, K)
        self.right = self.right + right @ members
        self.nats = self.nats + cross_entropies(flat, own).double().view(variants, images).sum(1)
        self.members = self.members + members.sum(0)

    def means(self) -> tuple[Tensor, Tensor, Tensor]:
        """Accuracy ``(V,)``, accuracy by class ``(V, K)``, objective ``(V,)``."""
        right, nats, count = (torch.as_tensor(total) for total in (self.right, self.nats, self.members))
        return right.sum(1) / count.sum(), right / count, nats / count.sum()

    def layer(self, units: Tensor, values: Tensor) -> LayerKnockout:
        """The result for a layer; its last variant is the one without the whole layer."""
        accuracy, by_class, objective = self.means()
        return LayerKnockout(
            units,
            accuracy[:-1],
            by_class[:-1],
            objective[:-1],
            float(accuracy[-1]),
            by_class[-1],
            float(objective[-1]),
            values.cpu(),
            "whole pass" if self.reason else "suffix",
            self.reason,
        )


def _value(value: Value | str) -> Value:
    try:
        return Value(value)
    except ValueError:
        raise ConfigError(f'value should be "zero" or "mean", not "{value}".') from None


def _check_units(layer: str, units: Sequence[int] | None, count: int) -> None:
    for unit in units or ():
        if not 0 <= unit < count:
            raise NotFoundError(f"{layer} has no unit {unit}; its units are numbered from 0 to {count - 1}.")


def _check(subject: Subject, inputs: Tensor, found: Rerun, labels: Tensor, layer: str) -> None:
    classes = found.unmodified.shape[1]
    if int(labels.max()) >= classes:
        raise DataError(f"The images have more classes than {subject.name} knows ({classes}).")
    refuse_nan(subject, inputs, {"its logits": found.unmodified})
    subject.refuse_probabilities(found.unmodified)
    for logits, what in ((found.units, "a unit"), (found.whole, "all units")):
        if not logits.isfinite().all():
            raise DataError(
                f"Without {what} of {layer} {subject.name} gives logits that are not finite; "
                'try the value "mean".'
            )


_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
_FUNCTIONS = frozenset({"conv1d", "conv2d", "conv3d", "conv_transpose2d", "linear"})

_CHUNK = 1000
"""Images taken from the split at once."""

"""Features: what layers give for many images, reduced to a width that linear models can be fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.config import derive
from cutaway.data import Split
from cutaway.data.split import stratified
from cutaway.errors import ConfigError
from cutaway.look.stream import stream
from cutaway.nets.subject import Subject

Reduce = Callable[[Tensor], Tensor]
"""From what a layer gives, ``(n, …)``, to ``(n, D)``."""

AT_ONCE = 32
"""Layers whose features are kept at once, about 1.8 GB with 7 000 images and 2 048 features; a deeper
net takes a pass for every 32 layers.
"""


@dataclass(frozen=True)
class Features:
    """The reduced outputs of some layers for the images that are learnt from and those that are tested on.

    Args:
        pixels: the subject's inputs, reduced likewise: training ``(N, D)`` and test ``(M, D)``.
        layers: for each layer the same two; float32 on the CPU.
    """

    pixels: tuple[Tensor, Tensor]
    layers: Mapping[str, tuple[Tensor, Tensor]]


def gather(
    subject: Subject,
    train: Tensor,
    test: Tensor,
    layers: Sequence[str],
    reduce: Reduce,
) -> Iterator[Features]:
    """The features of all layers: one pass over the images for every 32 layers.

    Args:
        subject: trained or not.
        train: images, ``(N, C, H, W)``.
        test: images, ``(M, C, H, W)``.
        layers: dotted names.
        reduce: the same for all images, such as :func:`pooled` or :func:`sketched` with a width and a seed.

    Raises:
        CutawayError: as :func:`cutaway.look.stream.stream` does.
    """
    for start in range(0, len(layers), AT_ONCE):
        names = layers[start : start + AT_ONCE]
        (first, ours), (second, theirs) = (_read(subject, images, names, reduce) for images in (train, test))
        yield Features((first, second), {name: (ours[name], theirs[name]) for name in names})


def _read(
    subject: Subject, images: Tensor, layers: Sequence[str], reduce: Reduce
) -> tuple[Tensor, dict[str, Tensor]]:
    """The reduced inputs, and each layer's reduced output."""
    pixels: list[Tensor] = []
    parts: dict[str, list[Tensor]] = {name: [] for name in layers}

    def see(inputs: Tensor, outputs: Mapping[str, Tensor]) -> None:
        # A copy, or a view would keep the whole output alive.
        pixels.append(reduce(inputs).cpu().clone())
        for name, value in outputs.items():
            parts[name].append(reduce(value).cpu().clone())

    stream(subject, images, layers, see)
    return torch.cat(pixels), {name: torch.cat(part) for name, part in parts.items()}


def pooled(values: Tensor, width: int, seed: int) -> Tensor:
    """Maps averaged over the cells of a grid, the finest with at most ``width`` features: ``(N, D)``.

    What has no maps, or more units than ``width``, gives a choice of its units, drawn from the seed.
    """
    if values.dim() == 4:
        channels, height = values.shape[1:3]
        rows = next((r for r in range(height, 1, -1) if channels * r * _beside(r, values) <= width), 1)
        values = F.adaptive_avg_pool2d(values, (rows, _beside(rows, values)))
    flat = values.flatten(1)
    count = flat.shape[1]
    if count <= width:
        return flat
    generator = torch.Generator().manual_seed(derive(seed, "pooled", count))
    chosen = torch.randperm(count, generator=generator)[:width].sort().values
    return flat[:, chosen.to(flat.device)]


def _beside(rows: int, values: Tensor) -> int:
    """Columns of a grid with so many rows, as wide for its height as the maps are."""
    height, width = values.shape[2:]
    return max(1, min(width, round(width * rows / height)))


def sketched(values: Tensor, width: int, seed: int) -> Tensor:
    """All values with random signs, summed in ``width`` random groups: ``(N, D)``.

    A random projection that keeps inner products in the mean and needs no matrix (the CountSketch of
    Charikar et al., 2002; Weinberger et al., "Feature hashing for large scale multitask learning",
    2009). Other than an average over neighbours, it forgets no position. What is no wider than
    ``width`` stays as it is.
    """
    flat = values.flatten(1)
    count = flat.shape[1]
    if count <= width:
        return flat
    generator = torch.Generator().manual_seed(derive(seed, "sketched", count))
    group = torch.randint(width, (count,), generator=generator)
    sign = torch.randint(2, (count,), generator=generator) * 2.0 - 1.0
    found = flat.new_zeros(len(flat), width)
    return found.index_add_(1, group.to(flat.device), flat * sign.to(flat.device))


@dataclass(frozen=True)
class Scale:
    """(x − shift) · factor, feature by feature.

    Args:
        shift: ``(D,)``.
        factor: ``(D,)``; 0 for a feature that never varies.
    """

    shift: Tensor
    factor: Tensor

    @classmethod
    def each(cls, features: Tensor) -> Scale:
        """To mean 0 and deviation 1, feature by feature.

        A feature that hardly moves counts as one that moves a tenth as much as the others do: blown
        up, the few images that move it would outweigh all else.
        """
        mean, deviation = _moments(features)
        least = _LEAST * deviation.square().mean().sqrt()
        return cls(mean.float(), _inverse(deviation.clamp_min(least), deviation))

    @classmethod
    def common(cls, features: Tensor) -> Scale:
        """To mean 0, and to a mean variance of 1 over all features: a rotation of them changes nothing."""
        mean, deviation = _moments(features)
        return cls(mean.float(), _inverse(deviation.square().mean().sqrt().expand_as(mean), deviation))

    def __call__(self, features: Tensor) -> Tensor:
        """Scaled features, ``(N, D)``."""
        return (features - self.shift) * self.factor


_LEAST = 0.1
"""Of the features' root mean square deviation: what moves less is scaled as if it moved so much."""

_ROUNDING = 1e-6
"""Of a feature's largest magnitude: smaller deviations are no signal in float32."""


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each feature in float64; a deviation that is rounding only is 0."""
    wide = features.double()
    mean = wide.mean(0)
    deviation = (wide - mean).square().mean(0).sqrt()
    return mean, torch.where(deviation > _ROUNDING * wide.abs().amax(0), deviation, 0.0)


def _inverse(divisor: Tensor, deviation: Tensor) -> Tensor:
    return torch.where(deviation > 0, 1 / divisor, 0.0).float()


def sample(split: Split, most: int, seed: int) -> Split:
    """At most so many images of a split, each class in proportion, drawn from the seed.

    Raises:
        ConfigError: ``most`` is not 1 or more.
    """
    refuse_below_1("the number of images", most)
    if len(split) <= most:
        return split
    return split.take(stratified(split.labels, most, derive(seed, "sample")).nonzero().flatten())


def refuse_below_1(what: str, count: int) -> None:
    """Raise where a count is not 1 or more.

    Raises:
        ConfigError: the message has what is counted.
    """
    if count < 1:
        raise ConfigError(f"{what} should be 1 or more, not {count}.")


def held_back(labels: Tensor, seed: int) -> Tensor:
    """A mask ``(N,)``: a fifth of the images, by which a strength is chosen, each class in proportion."""
    return stratified(labels, max(1, len(labels) // 5), derive(seed, "held back"))

"""Similarity: which layers say the same of images, by linear CKA."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.errors import DataError
from cutaway.look.stream import MOST_AT_ONCE, chosen_layers, images_at_once, stream
from cutaway.nets.subject import Subject


@dataclass(frozen=True)
class Similarity:
    """Linear CKA between layers.

    Args:
        rows: names of the first subject's layers.
        columns: names of the second's, or of the same one's.
        values: ``(R, C)`` float64: 1 for layers that differ by a rotation and a scale only, about 0 for
            unrelated ones; a little below 0 by chance. NaN where a layer gives the same for all images.
        images: how many were looked at.
        batch: how many at a time.
        subjects: the names of the two; the same one twice for layers of one subject.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Tensor
    images: int
    batch: int
    subjects: tuple[str, str] = ("", "")


def similarity(
    subject: Subject,
    images: Tensor,
    layers: Sequence[str] | None = None,
    *,
    other: Subject | None = None,
    other_layers: Sequence[str] | None = None,
    batch: int = MOST_AT_ONCE,
) -> Similarity:
    """How alike layers order images: HSIC(K, L) / √(HSIC(K, K) · HSIC(L, L)) of their Gram matrices.

    K holds the inner products of all pairs of images in one layer, L those in another. HSIC is estimated
    without bias in each batch, and the estimates are averaged before they are divided, so the
    size of a batch does not shift the result and nothing is larger than a batch.

    Kornblith, Norouzi, Lee and Hinton, "Similarity of neural network representations revisited", 2019;
    Nguyen, Raghu and Kornblith, "Do wide and deep networks learn the same things?", 2021. The
    unbiased HSIC is Song et al.'s, 2012, as an inner product of U-centred matrices, Székely and Rizzo, 2014.

    Args:
        subject: trained or not.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs that suit both subjects; 4 or more.
        layers: dotted names of the rows; all that change a value when not given.
        other: another subject, such as the same net with other weights; without one, the layers of
            ``subject`` are compared with each other.
        other_layers: dotted names of the columns; ``layers`` for the same subject when not given, all for
            another one.
        batch: images at a time, from 4; fewer where a net is so large that memory asks for it. A last
            batch of fewer than 4 is left out.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: the images have another shape than a subject takes; a layer gives no row an image.
        DataError: there are fewer than 4 images, or values that are not finite.
    """
    if min(len(images), batch) < 4:
        raise DataError(
            f"{min(len(images), batch)} images at a time are too few to compare layers; give 4 or more."
        )
    rows = chosen_layers(subject, layers)
    if other is None:
        columns = chosen_layers(subject, other_layers) if other_layers is not None else rows
        sides = [(subject, list(dict.fromkeys([*rows, *columns])))]
    else:
        columns = chosen_layers(other, other_layers)
        sides = [(subject, rows), (other, columns)]
    for side, names in sides:
        if not side.batch:
            batch = max(4, min(batch, images_at_once(side, images, names)))
    rest = len(images) % batch
    used = images[: len(images) - rest] if rest < 4 else images
    first = [sides[0][1].index(name) for name in rows]
    second = [sides[-1][1].index(name) for name in columns]
    own, others, cross = (torch.zeros(()) for _ in range(3))
    for some in used.split(_BATCHES * batch):
        grams = [_grams(side, some, names, batch) for side, names in sides]
        for a, b in zip(grams[0], grams[-1], strict=True):
            own, others, cross = own + a.square().sum(1), others + b.square().sum(1), cross + a @ b.T
    # A layer that gives the same for all images has no inner product with itself: 0 / 0 is NaN.
    values = cross[first][:, second] / (own[first, None] * others[second]).sqrt()
    names_of_both = (subject.name, (other or subject).name)
    return Similarity(tuple(rows), tuple(columns), values, len(used), batch, names_of_both)


_BATCHES = 32
"""Batches whose Gram matrices are held at once, of both sides; sums are kept of the others."""


def _grams(subject: Subject, images: Tensor, layers: Sequence[str], batch: int) -> list[Tensor]:
    """For each batch the U-centred Gram matrices of all layers, ``(L, n²)`` float64 on the CPU."""
    found: list[Tensor] = []
    waiting: dict[str, Tensor] = {}
    left = len(images)

    def see(inputs: Tensor, outputs: Mapping[str, Tensor]) -> None:
        nonlocal left
        left -= len(inputs)
        for name in layers:
            value = outputs[name]
            waiting[name] = torch.cat([waiting[name], value]) if name in waiting else value
        # A model of a fixed batch gives its own number of rows at a time; others give a batch.
        while waiting and (len(waiting[layers[0]]) >= batch or not left):
            found.append(torch.stack([_gram(waiting[name][:batch]).cpu() for name in layers]))
            rest = {name: value[batch:] for name, value in waiting.items()}
            waiting.clear()
            # A copy, or a few rows would keep the whole output alive.
            waiting.update({name: value.clone() for name, value in rest.items() if len(value)})

    stream(subject, images, layers, see, batch)
    return found


def _gram(values: Tensor) -> Tensor:
    """The inner products of n images, U-centred and scaled, ``(n²,)``: the dot product of two is HSIC.

    K̃ᵢⱼ = Kᵢⱼ − Σₖ Kᵢₖ/(n − 2) − Σₖ Kₖⱼ/(n − 2) + Σₖₗ Kₖₗ/((n − 1)(n − 2)) off the diagonal, sums without the
    diagonal too; HSIC = Σ K̃ L̃ / (n (n − 3)).
    """
    count = len(values)
    flat = values.flatten(1).double()
    largest = flat.abs().max()
    # U-centring takes no notice of a shift of all images; taken off before, it costs no digits.
    flat = flat - flat.mean(0)
    if flat.abs().max() <= _ROUNDING * largest:
        return flat.new_zeros(count * count)
    gram = (flat @ flat.T).fill_diagonal_(0)
    sums = gram.sum(1) / (count - 2)
    gram = gram - sums - sums[:, None] + sums.sum() / (count - 1)
    return gram.fill_diagonal_(0).div_(math.sqrt(count * (count - 3))).flatten()


_ROUNDING = 2e-7
"""Of the largest value: a layer that varies less is constant but for float32's rounding."""

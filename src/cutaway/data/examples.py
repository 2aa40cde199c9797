"""Some images of every class, to be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.config import derive
from cutaway.data.augment import Augment
from cutaway.data.images import Images, Split

EXAMPLES = 10
"""Examples of a class in each split."""

MOST_CLASSES = 40
"""Rows of a sheet; more classes than these make a picture that no viewer opens gladly."""

LONGEST_SIDE = 96
"""Pixels of an example's longer side at most; a larger image is shrunk."""

VARIED = "train, varied"
"""The block of training images as a training step sees them."""


@dataclass(frozen=True)
class Block:
    """The examples of one split.

    Args:
        pixels: ``(N, C, H, W)`` uint8.
        labels: ``(N,)`` int64, each the place of its class in ``Examples.classes``.
        count: images that the split has; 0 where that is no question.
    """

    pixels: Tensor
    labels: Tensor
    count: int = 0


@dataclass(frozen=True)
class Examples:
    """Some images of every class.

    Args:
        classes: those that are shown.
        total: classes that there are.
        most: examples of a class in a split; it may have fewer.
        blocks: by split, in their order.
    """

    classes: tuple[str, ...]
    total: int
    most: int
    blocks: Mapping[str, Block]


def choose_examples(
    images: Images, most: int = EXAMPLES, splits: Sequence[str] = (), augment: Augment | None = None
) -> Examples:
    """Examples taken evenly over the images of each class, and of many classes some, evenly over all.

    Args:
        images: a dataset.
        most: examples of a class in each split, from 1.
        splits: which; all when not given.
        augment: variations of the training images: they are then shown beside the images themselves.

    Raises:
        NotFoundError: there is no such split.
    """
    total = len(images.classes)
    kept = evenly(total, MOST_CLASSES)
    blocks = {}
    for name in splits or images.splits:
        split = images.split(name)
        pixels, labels = _chosen(split, kept, most)
        blocks[name] = Block(_shrunk(pixels), labels, len(split))
        if name == "train" and augment is not None and not augment.config.idle and len(pixels):
            varied = augment(pixels, labels, derive(0, "examples")).pixels
            blocks[VARIED] = Block(_shrunk(varied), labels)
    return Examples(tuple(images.classes[label] for label in kept), total, most, blocks)


def evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` places, the first and the last among them, evenly apart."""
    if count <= most:
        return list(range(count))
    if most == 1:
        return [0]
    return [round(at * (count - 1) / (most - 1)) for at in range(most)]


def _chosen(split: Split, kept: Sequence[int], most: int) -> tuple[Tensor, Tensor]:
    """Pixels and new labels of a split's examples, class by class."""
    places, labels = [], []
    for label, old in enumerate(kept):
        members = (split.labels == old).nonzero().flatten()
        found = members[evenly(len(members), most)]
        places.append(found)
        labels += [label] * len(found)
    return split.batch(torch.cat(places)), torch.tensor(labels, dtype=torch.int64)


def _shrunk(pixels: Tensor) -> Tensor:
    """Images ``(N, C, H, W)`` with sides of at most ``LONGEST_SIDE``."""
    height, width = pixels.shape[2:]
    longer = max(height, width)
    if longer <= LONGEST_SIDE or not len(pixels):
        return pixels
    size = max(1, round(height * LONGEST_SIDE / longer)), max(1, round(width * LONGEST_SIDE / longer))
    small = F.interpolate(pixels.float(), size, mode="bilinear", antialias=True, align_corners=False)
    return small.round().clamp(0, 255).to(torch.uint8)

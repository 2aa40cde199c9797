"""Labelled images in memory, a value for each split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.errors import DataError, NotFoundError, nearest


@dataclass(frozen=True)
class Split:
    """Some labelled images.

    Args:
        pixels: ``(N, C, H, W)``, uint8.
        labels: ``(N,)``, int64, each from 0 to the number of classes − 1.
        index: ``(N,)``, int64: where each image stands in the file it came from.
    """

    pixels: Tensor
    labels: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Tensor) -> Split:
        """The images at ``chosen`` positions, ``(M,)`` int64."""
        return Split(self.pixels[chosen], self.labels[chosen], self.index[chosen])


@dataclass(frozen=True)
class Images:
    """A dataset: its class names, and its splits by name ("train", "validation", "test")."""

    classes: tuple[str, ...]
    splits: Mapping[str, Split]

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of one image."""
        _, channels, height, width = self.splits["train"].pixels.shape
        return channels, height, width

    def split(self, name: str) -> Split:
        """The split called ``name``.

        Raises:
            NotFoundError: there is none of that name.
        """
        if name not in self.splits:
            raise NotFoundError(f'There is no split "{name}".{nearest(name, self.splits)}')
        return self.splits[name]


def make_split(pixels: Tensor, labels: Tensor, classes: int, origin: str) -> Split:
    """A split of images and labels that fit together.

    Args:
        pixels: ``(N, C, H, W)``, uint8.
        labels: ``(N,)``, whole numbers.
        classes: how many classes there are.
        origin: what the images are called in messages.

    Raises:
        DataError: the numbers differ, there are none, or a label is no class.
    """
    if len(pixels) != len(labels):
        raise DataError(
            f"{origin}: {len(pixels)} images but {len(labels)} labels. Take both files from one dataset."
        )
    if not len(pixels):
        raise DataError(f"{origin}: there are no images in it.")
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise DataError(f"{origin}: label {int(wrong[0])} is out of range; there are {classes} classes.")
    return Split(pixels, labels.to(torch.int64), torch.arange(len(labels)))

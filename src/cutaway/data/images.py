"""Labelled images, a value for each split."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from cutaway.errors import DataError, NotFoundError, nearest


@dataclass(frozen=True)
class Split:
    """Some labelled images.

    Several splits may share one store: dividing a dataset copies no pixels, and the store may be a
    file that is mapped into memory and larger than it.

    Args:
        store: ``(M, C, H, W)``, uint8; it may hold other splits' images too.
        labels: ``(N,)``, int64, each from 0 to the number of classes − 1.
        index: ``(N,)``, int64: where each image stands in the store.
        names: a file for each image of the store; empty where they come from no files.
    """

    store: Tensor
    labels: Tensor
    index: Tensor
    names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of one image."""
        _, channels, height, width = self.store.shape
        return channels, height, width

    @property
    def pixels(self) -> Tensor:
        """All images, ``(N, C, H, W)`` uint8: the store itself, or a copy where it holds others too.

        What may be large is better taken by :meth:`batch` or :meth:`chunks`.
        """
        return self.store if self._whole else self.store[self.index]

    def batch(self, chosen: Tensor) -> Tensor:
        """The images at ``chosen`` positions ``(M,)``: ``(M, C, H, W)`` uint8, on the labels' device."""
        chosen = chosen.to(self.index.device)
        return self.store[chosen if self._whole else self.index[chosen]].to(self.labels.device)

    def chunks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels in order, ``size`` at a time."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            pixels = self.store[part] if self._whole else self.store[self.index[part]]
            yield pixels.to(self.labels.device), self.labels[part]

    def take(self, chosen: Tensor) -> Split:
        """The images at ``chosen`` positions, ``(M,)`` int64; their pixels are not copied."""
        labels, index = (of[chosen.to(of.device)] for of in (self.labels, self.index))
        return Split(self.store, labels, index, self.names)

    def to(self, device: torch.device) -> Split:
        """The split on a device, with a store of its own there; itself where it lies there already."""
        if self.store.device == device:
            return self
        whole = torch.arange(len(self), device=device)
        names = [self.name(at) for at in range(len(self))] if self.names else ()
        return Split(self.pixels.to(device), self.labels.to(device), whole, names)

    def beside(self, device: torch.device) -> Split:
        """The split for a device that its images are too many for: they stay, and follow batch by batch."""
        return Split(self.store, self.labels.to(device), self.index, self.names)

    def name(self, position: int) -> str:
        """The file of the image at a position; its number where it comes from no file."""
        number = int(self.index[position])
        return self.names[number] if self.names else str(number)

    @cached_property
    def _whole(self) -> bool:
        """Whether the split is its store, in order: then nothing needs to be gathered."""
        count = len(self.store)
        return len(self.index) == count and bool(
            (self.index == torch.arange(count, device=self.index.device)).all()
        )


@dataclass(frozen=True)
class Images:
    """A dataset: its class names, and its splits by name ("train", "validation", "test").

    Args:
        classes: their names, in the order of the labels.
        splits: by name.
        skipped: the files that could not be read and were left out, with the reasons.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of one image."""
        return self.splits["train"].shape

    @property
    def pixel_bytes(self) -> int:
        """What the pixels of all splits take."""
        return sum(len(split) for split in self.splits.values()) * math.prod(self.shape)

    def split(self, name: str) -> Split:
        """The split called ``name``.

        Raises:
            NotFoundError: there is none of that name.
        """
        if name not in self.splits:
            raise NotFoundError(f'There is no split "{name}".{nearest(name, self.splits)}')
        return self.splits[name]


def told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Names of classes, of which repeated ones get a number: one name for two could mean neither."""
    found: dict[str, None] = {}
    for name in names:
        told, number = name, 2
        while told in found:
            told, number = f"{name} ({number})", number + 1
        found[told] = None
    return tuple(found)


def make_split(pixels: Tensor, labels: Tensor, classes: int, origin: str, names: Sequence[str] = ()) -> Split:
    """A split of images and labels that fit together.

    Args:
        pixels: ``(N, C, H, W)``, uint8.
        labels: ``(N,)``, whole numbers.
        classes: how many classes there are.
        origin: what the images are called in messages.
        names: a file for each image, if they come from files.

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
    return Split(pixels, labels.to(torch.int64), torch.arange(len(labels)), names)

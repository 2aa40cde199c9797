"""Images that are made, not read: how many of each class, and from which seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from cutaway.config import DataConfig, derive
from cutaway.data.images import Images, make_split

Make = Callable[[str, int, int], Tensor]
"""Makes images of one class: its name, how many, a seed; ``(N, C, H, W)`` uint8."""


def deal(wanted: int | float, per_class: int, classes: int) -> list[int]:
    """How many images each class gives to a split.

    Args:
        wanted: a share of ``per_class`` when below 1 (of which at least one image comes), otherwise a
            count over all classes, dealt evenly.
        per_class: training images of each class.
        classes: how many classes there are.
    """
    if wanted < 1:
        return [max(1, round(wanted * per_class)) if wanted else 0] * classes
    each, over = divmod(int(wanted), classes)
    return [each + (at < over) for at in range(classes)]


def make_images(config: DataConfig, classes: Sequence[str], per_class: int, make: Make) -> Images:
    """The splits "train" and, unless ``test`` is 0, "test", class after class.

    Every class of every split has a seed of its own, from ``split_seed``, the source and both names:
    so a class looks the same whatever other classes there are, and no test image is a training image.

    Args:
        config: ``per_class``, ``test`` and ``split_seed`` count.
        classes: their names, in the order of the labels.
        per_class: training images of each class where ``config`` gives no number.
        make: makes the images of one class.
    """
    each = config.per_class or per_class
    counts = {"train": [each] * len(classes), "test": deal(config.test, each, len(classes))}
    splits = {}
    for split, numbers in counts.items():
        if not sum(numbers):
            continue
        with _one_thread():
            parts = [
                make(name, count, derive(config.split_seed, config.source, split, name))
                for name, count in zip(classes, numbers, strict=True)
            ]
        labels = torch.arange(len(classes)).repeat_interleave(torch.tensor(numbers))
        splits[split] = make_split(torch.cat(parts), labels, len(classes), f"{config.source} ({split})")
    return Images(tuple(classes), splits)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one core, so that the bytes do not depend on how many there are.

    Threads divide an array, and at the end of a piece PyTorch computes element by element what it
    computes by vectors elsewhere: sines and powers then differ in their last bits.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

"""The validation split: some of the training images, chosen once, stratified and seeded."""

from __future__ import annotations

import torch
from torch import Tensor

from cutaway.config import DataConfig, derive
from cutaway.data.images import Images
from cutaway.errors import ConfigError


def divide(images: Images, config: DataConfig) -> Images:
    """The dataset with a validation split taken from its training split.

    Every class gives its share, rounded so that the total is met; no image is in two splits. The
    choice depends on the labels and ``split_seed`` alone, so that runs with different seeds are
    compared on the same images. ``train_images`` then thins the training split the same way.

    Raises:
        ConfigError: nothing would be left to train on, or there are fewer images than asked for.
    """
    train = images.splits["train"]
    total = len(train)
    wanted = int(config.validation if config.validation >= 1 else round(config.validation * total))
    if wanted >= total:
        raise ConfigError(
            f"data.validation takes {wanted:,} of {total:,} training images; leave some to train on."
        )
    chosen = _stratified(train.labels, wanted, derive(config.split_seed, "validation"))
    splits = dict(images.splits)
    rest = train.take((~chosen).nonzero().flatten())
    if config.train_images:
        if config.train_images > len(rest):
            raise ConfigError(f"data.train_images is {config.train_images:,}, but {len(rest):,} are left.")
        kept = _stratified(rest.labels, config.train_images, derive(config.split_seed, "share"))
        rest = rest.take(kept.nonzero().flatten())
    splits["train"] = rest
    if wanted:
        splits["validation"] = train.take(chosen.nonzero().flatten())
    return Images(images.classes, {n: splits[n] for n in ("train", "validation", "test") if n in splits})


def _stratified(labels: Tensor, wanted: int, seed: int) -> Tensor:
    """A mask ``(N,)`` with ``wanted`` images chosen, each class in proportion."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    # Each image's place within its class, as a share: taking the lowest shares takes from all
    # classes alike, and exactly as many as wanted.
    place = torch.empty(len(labels), dtype=torch.float64)
    shuffled = labels[order]
    for label in shuffled.unique():
        members = order[shuffled == label]
        place[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    mask = torch.zeros(len(labels), dtype=torch.bool)
    mask[place.argsort(stable=True)[:wanted]] = True
    return mask

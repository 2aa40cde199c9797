"""Splits that a source does not give: some of the training images, chosen once, stratified and seeded."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from cutaway.config import DataConfig, derive
from cutaway.data.images import Images, Split
from cutaway.errors import ConfigError


def divide(images: Images, config: DataConfig) -> Images:
    """The dataset with the splits that its source does not give, taken from its training split.

    A test split comes first, then one for validation. Every class gives its share, rounded so that
    the total is met; no image is in two splits. The choice depends on the labels and ``split_seed``
    alone, so that runs with different seeds are compared on the same images. ``train_images`` then
    thins the training split the same way.

    Raises:
        ConfigError: nothing would be left to train on, or there are fewer images than asked for.
    """
    splits = dict(images.splits)
    for name, wanted in (("test", config.test), ("validation", config.validation)):
        if name not in splits:
            splits |= _taken(splits["train"], name, wanted, config.split_seed)
    rest = splits["train"]
    if config.train_images:
        fewer = max(1, _count(config.train_images, len(rest)))
        if fewer > len(rest):
            raise ConfigError(f"data.train_images is {config.train_images:,}, but {len(rest):,} are left.")
        kept = stratified(rest.labels, fewer, derive(config.split_seed, "share"))
        splits["train"] = rest.take(kept.nonzero().flatten())
    order: tuple[str, ...] = ("train", "validation", "test")
    return replace(images, splits={name: splits[name] for name in order if name in splits})


def _taken(train: Split, name: str, share: int | float, seed: int) -> dict[str, Split]:
    """The training split without the images of another one, and that one."""
    wanted = _count(share, len(train))
    if wanted >= len(train):
        raise ConfigError(
            f"data.{name} takes {wanted:,} of {len(train):,} training images; leave some to train on."
        )
    if not wanted:
        return {"train": train}
    chosen = stratified(train.labels, wanted, derive(seed, name))
    return {
        "train": train.take((~chosen).nonzero().flatten()),
        name: train.take(chosen.nonzero().flatten()),
    }


def _count(wanted: int | float, total: int) -> int:
    """A number of images from a count or a share."""
    return int(wanted) if wanted >= 1 else round(wanted * total)


def stratified(labels: Tensor, wanted: int, seed: int) -> Tensor:
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

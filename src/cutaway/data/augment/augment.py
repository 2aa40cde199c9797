"""All variations of a batch, one after the other, as a section of the experiment says."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.config import AugmentConfig, Fill, derive
from cutaway.data.augment.cutout import cut_out
from cutaway.data.augment.jitter import jitter
from cutaway.data.augment.mixup import mix
from cutaway.data.augment.movement import Movement, move
from cutaway.data.augment.warp import Warp, warp
from cutaway.data.images import Split
from cutaway.data.preprocess import pixel_statistics


@dataclass(frozen=True)
class Varied:
    """A batch as a training step sees it.

    Args:
        pixels: ``(N, C, H, W)``, uint8, on the device of the images that it was made of.
        labels: ``(N,)``, the images' own classes.
        others: ``(N,)``, the classes of the images mixed in; None without mixup.
        share: ``(N,)`` float32, how much of each image is its own, 0.5 to 1; None without mixup.
    """

    pixels: Tensor
    labels: Tensor
    others: Tensor | None = None
    share: Tensor | None = None


@dataclass(frozen=True)
class Augment:
    """Variations of training images, a whole batch at a time.

    In this order: jitter, crop with rotation, slant, scaling, shift and flips, cutout, mixup. Cropping,
    turning and scaling are one interpolation with shift and flips in it; shift and flips by
    themselves copy pixels.

    Args:
        config: which variations, and how far.
        means: the mean of each channel of the training split, as a pixel value; empty where nothing
            is filled with it.
    """

    config: AugmentConfig
    means: tuple[int, ...] = ()

    @classmethod
    def fit(cls, config: AugmentConfig, train: Split) -> Augment:
        """The variations of one section, with the training split's own means where they are used."""
        if config.cutout or _fill(config) is Fill.MEAN:
            return cls(config, tuple(round(mean) for mean in pixel_statistics(train)[0]))
        return cls(config)

    def __call__(self, pixels: Tensor, labels: Tensor, seed: int) -> Varied:
        """The batch varied, the same way for the same seed.

        Each variation draws from a stream of its own, so that adding one leaves the others as they
        were. The streams of a CPU and of a GPU differ.

        Args:
            pixels: ``(N, C, H, W)`` uint8, at least one image; left as they are.
            labels: ``(N,)``, their classes.
            seed: all that the variations depend on besides the batch; the global random state is
                neither read nor moved.

        Returns:
            a batch of the same shape, type and device; the same tensors where nothing is varied.
        """
        if self.config.idle:
            return Varied(pixels, labels)
        config, count, fill = self.config, len(pixels), _fill(self.config)
        means = torch.tensor(self.means, dtype=torch.uint8, device=pixels.device)

        def stream(purpose: str) -> torch.Generator:
            return torch.Generator(pixels.device).manual_seed(derive(seed, purpose))

        if config.jitter:
            pixels = jitter(pixels, config.jitter, config.clutter, stream("jitter"))
        movement = Movement.draw(config, count, stream("movement"))
        if config.warped:
            pixels = warp(pixels, Warp.draw(config, count, stream("warp")), movement, fill, means)
        elif config.shift or config.flip or config.flip_vertical:
            pixels = move(pixels, movement, fill, means)
        if config.cutout:
            pixels = cut_out(pixels, config.cutout, means, stream("cutout"))
        if config.mixup:
            return Varied(*mix(pixels, labels, config.mixup, stream("mixup")))
        return Varied(pixels, labels)


def _fill(config: AugmentConfig) -> Fill:
    """What is filled with; a window or a mirror image never reaches beyond the image."""
    # With the mean, a window at the image's border would be blended with it there.
    moved = config.shift or config.rotate or config.scale or config.shear
    return config.fill if moved else Fill.EDGE

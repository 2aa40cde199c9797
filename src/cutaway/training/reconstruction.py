"""Images as they come back from a depth of a net: what it retains of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.data import Preprocess, Split
from cutaway.nets.autoencoder import Autoencoder

SAMPLE = 5000
"""Training images that errors are measured on where there is no validation split."""


@dataclass(frozen=True)
class Reconstruction:
    """What a depth gives back of images, through all mirrors down to the pixels.

    Args:
        error: mean squared error per value of the preprocessed image.
        split: the images that it is the mean of: "validation", or "train" without one.
        originals: some of them, ``(K, C, H, W)`` uint8.
        images: what came back of these, likewise.
    """

    error: float
    split: str
    originals: Tensor
    images: Tensor


def judging_split(splits: Mapping[str, Split]) -> tuple[str, Split]:
    """The split that errors are measured on, and its name; of the training split a sample."""
    if "validation" in splits:
        return "validation", splits["validation"]
    train = splits["train"]
    return "train", train.take(_evenly(len(train), SAMPLE).to(train.labels.device))


def reconstruction_errors(
    autoencoder: Autoencoder,
    preprocess: Preprocess,
    split: Split,
    stage: tuple[int, int],
    *,
    origin: int,
    chunk: int,
    stop: Callable[[], bool] = lambda: False,
) -> list[float] | None:
    """The mean squared error per value of what comes back from each depth of a stage.

    Args:
        autoencoder: its net in evaluation mode.
        preprocess: from uint8 pixels to inputs.
        split: on the net's device.
        stage: the first and the last depth, counted from 0.
        origin: the depth whose input is to be given back; 0 for the image.
        chunk: images in one forward pass.
        stop: asked after every chunk; then there is no result.
    """
    first, last = stage
    sums = torch.zeros(last - first + 1, dtype=torch.float64, device=split.labels.device)
    values = 0
    with torch.inference_mode():
        for pixels, _ in split.chunks(chunk):
            if stop():
                return None
            inputs = preprocess(pixels)
            codes = autoencoder.encode(inputs, 0, last)
            wanted = codes[origin - 1].value if origin else inputs
            for depth in range(first, last + 1):
                found = autoencoder.decode(codes[origin : depth + 1], origin)
                sums[depth - first] += (found - wanted).square().sum(dtype=torch.float64)
            values += wanted.numel()
    return [float(total) / values for total in sums.tolist()]


def reconstructed(
    autoencoder: Autoencoder, preprocess: Preprocess, split: Split, depth: int, count: int
) -> tuple[Tensor, Tensor]:
    """Some images of a split, taken evenly, and what comes back of them from a depth.

    Returns:
        twice ``(K, C, H, W)`` uint8, on the CPU.
    """
    originals = split.batch(_evenly(len(split), count).to(split.labels.device))
    with torch.inference_mode():
        found = autoencoder.decode(autoencoder.encode(preprocess(originals), 0, depth), 0)
    return originals.cpu(), preprocess.undo(found).cpu().contiguous()


def _evenly(count: int, most: int) -> Tensor:
    """At most ``most`` of ``count`` places, evenly apart: ``(n,)`` int64."""
    return torch.arange(count) if count <= most else torch.linspace(0, count - 1, most).long()

"""How well a net does on a split: objective, top-1 and top-5 error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.data import Split

CHUNK = 100
"""Images in one forward pass of an evaluation. Five times as many run a tenth faster, but only in
memory that the process has already: fresh pages cost more than that.
"""


@dataclass(frozen=True)
class Score:
    """Means over a number of images.

    Args:
        objective: cross-entropy in nats, without label smoothing.
        top1_error: share of images whose class is not the first guess, 0 to 1.
        top5_error: share of images whose class is not among the first five guesses, 0 to 1.
        images: how many there were.
    """

    objective: float
    top1_error: float
    top5_error: float
    images: int


class Tally:
    """Sums from which a score is read; they stay on the device until then.

    Args:
        device: where the logits are.
    """

    def __init__(self, device: torch.device) -> None:
        # Objective, top-1 errors, top-5 errors, images.
        self.sums = torch.zeros(4, dtype=torch.float64, device=device)

    def add(self, objectives: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: ``(N,)`` objectives, ``(N, K)`` logits, ``(N,)`` labels."""
        rank = ranks(logits, labels)
        batch = torch.stack(
            (objectives.sum().double(), (rank >= 1).sum(), (rank >= 5).sum(), rank.new_tensor(len(rank)))
        )
        self.sums += batch

    def score(self) -> Score | None:
        """The means; None when nothing was counted."""
        objective, top1, top5, images = self.sums.tolist()
        if not images:
            return None
        return Score(objective / images, top1 / images, top5 / images, int(images))


def ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """How many classes are guessed before the right one, ``(N,)`` int64 from 0 to K − 1.

    Equal logits stand in the order of their classes, as ``argmax`` takes them: a net that gives
    one value for everything is not called right.
    """
    own = logits.gather(1, labels[:, None])
    earlier = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
    return ((logits > own) | ((logits == own) & earlier)).sum(1)


def evaluate(
    forward: Callable[[Tensor], Tensor],
    preprocess: Callable[[Tensor], Tensor],
    split: Split,
    stop: Callable[[], bool] = lambda: False,
    chunk: int = CHUNK,
) -> Score | None:
    """The score of a net in evaluation mode on a split; None when stopped before the end.

    Args:
        forward: from inputs to logits.
        preprocess: from uint8 pixels to inputs.
        split: on the net's device.
        stop: asked after every chunk.
        chunk: images in one forward pass.
    """
    tally = count(forward, preprocess, split, stop, chunk)
    return tally.score() if tally else None


def count(
    forward: Callable[[Tensor], Tensor],
    preprocess: Callable[[Tensor], Tensor],
    split: Split,
    stop: Callable[[], bool],
    chunk: int,
) -> Tally | None:
    """The sums from which :func:`evaluate` reads a score."""
    tally = Tally(split.labels.device)
    with torch.inference_mode():
        for pixels, labels in split.chunks(chunk):
            if stop():
                return None
            logits = forward(preprocess(pixels)).float()
            tally.add(cross_entropies(logits, labels), logits, labels)
    return tally


def cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p(label) for each image, ``(N,)``."""
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")

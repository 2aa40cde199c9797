"""Answers: what a subject says of labelled images, where it is wrong, and how sure it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.data import Split
from cutaway.errors import DataError
from cutaway.nets.subject import Subject
from cutaway.training.score import ranks


@dataclass(frozen=True)
class Mistake:
    """One image that was taken for another class.

    Args:
        position: in the split, from 0.
        label: its class.
        guess: the class it was taken for.
        confidence: probability given to the guess, 0 to 1.
        label_probability: probability given to its own class.
    """

    position: int
    label: int
    guess: int
    confidence: float
    label_probability: float


@dataclass(frozen=True)
class Answers:
    """Class probabilities for a split.

    Args:
        probabilities: ``(N, K)``, float32 on the CPU.
        labels: ``(N,)``, int64 on the CPU.
        classes: K names.
        subject: the subject's name.
    """

    probabilities: Tensor
    labels: Tensor
    classes: Sequence[str]
    subject: str = ""

    @property
    def confusion(self) -> Tensor:
        """How often each class (row) was taken for each (column), ``(K, K)`` int64."""
        count = len(self.classes)
        cells = self.labels * count + self.probabilities.argmax(1)
        return torch.bincount(cells, minlength=count * count).view(count, count)

    @property
    def objective(self) -> float:
        """The mean of −log p(label), in nats."""
        own = self.probabilities.gather(1, self.labels[:, None]).double()
        return 0.0 - float(own.clamp_min(1e-38).log().mean())  # of certainty not −0

    def error(self, guesses: int = 1) -> float:
        """The share of images whose class is not among the first ``guesses``, 0 to 1."""
        return float((ranks(self.probabilities, self.labels) >= guesses).double().mean())

    def mistakes(self) -> list[Mistake]:
        """All images that were taken for another class, the surest mistake first."""
        confidence, guess = self.probabilities.max(1)
        wrong = (guess != self.labels).nonzero().flatten()
        order = wrong[confidence[wrong].argsort(descending=True, stable=True)]
        own = self.probabilities.gather(1, self.labels[:, None])[:, 0]
        return [
            Mistake(int(i), int(self.labels[i]), int(guess[i]), float(confidence[i]), float(own[i]))
            for i in order
        ]


def answers(subject: Subject, split: Split) -> Answers:
    """What a subject says of every image of a split.

    Raises:
        ConfigError: the images have another shape than the subject takes.
        DataError: the split has no images, or more classes than the subject.
    """
    if not len(split):
        raise DataError("There are no images to answer; give one or more.")
    probabilities = torch.cat([subject.predict(pixels) for pixels, _ in split.chunks(_CHUNK)])
    classes = subject.classes or [str(number) for number in range(probabilities.shape[1])]
    if int(split.labels.max()) >= probabilities.shape[1]:
        raise DataError(f"The images have more classes than {subject.name} knows ({probabilities.shape[1]}).")
    return Answers(probabilities, split.labels.cpu(), tuple(classes), subject.name)


_CHUNK = 1000
"""Images taken from the split at once."""

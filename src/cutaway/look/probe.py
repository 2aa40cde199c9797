"""Probes: how much of the class a linear classifier reads from each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from cutaway.data import Split
from cutaway.errors import DataError
from cutaway.look.features import Scale, gather, held_back, pooled, refuse_below_1, sample
from cutaway.look.interval import wilson
from cutaway.look.logistic import fit_logistic
from cutaway.look.stream import chosen_layers
from cutaway.look.untrained import untrained
from cutaway.nets.subject import Subject
from cutaway.progress import tracked

STRENGTHS = (1.0, 0.1, 0.01, 0.001, 0.0001)
"""Of the regularisation, from which one is chosen for each probe; the strongest first."""


@dataclass(frozen=True)
class Reading:
    """How well one probe reads.

    Args:
        wrong: test images whose class it does not name.
        images: test images.
        features: how many it reads.
        strength: of its regularisation, chosen on held-back training images.
    """

    wrong: int
    images: int
    features: int
    strength: float

    @property
    def error(self) -> float:
        """The share of test images whose class it does not name, 0 to 1."""
        return self.wrong / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the error."""
        return wilson(self.wrong, self.images)


@dataclass(frozen=True)
class Probe:
    """How much of the class can be read from each layer.

    Args:
        pixels: the probe on the subject's inputs.
        layers: a probe on each layer, in their order.
        random: the same on a net with random weights.
        chance: the error of naming the commonest training class for every image.
        train_images: images that the probes learnt from.
        subject: the subject's name.
    """

    pixels: Reading
    layers: Mapping[str, Reading]
    random: Mapping[str, Reading]
    chance: float
    train_images: int
    subject: str = ""


def probe(
    subject: Subject,
    train: Split,
    test: Split,
    layers: Sequence[str] | None = None,
    *,
    random: Subject | None = None,
    images: int = 5000,
    test_images: int = 2000,
    features: int = 1024,
    seed: int = 0,
) -> Probe:
    """A linear classifier on the output of each layer, and its error on images it has not seen.

    Multinomial logistic regression on standardised features. The strength of its regularisation is the
    one with the lowest cross-entropy on a fifth of the training images, held back; with it the probe
    learns from all of them. Maps are averaged over the cells of a grid, the finest with at most
    ``features`` of them; of a wider vector, as many are drawn.

    Alain and Bengio, "Understanding intermediate layers using linear classifier probes", 2016.

    Args:
        subject: trained or not.
        train: labelled images; the probes learn from ``images`` of them, each class in proportion.
        test: labelled images; the error is measured on ``test_images`` of them.
        layers: dotted names; all that change a value when not given.
        random: the same net with random weights; :func:`untrained` makes it when not given.
        images: training images, from 2 a class.
        test_images: test images, from 1.
        features: that a probe reads at most, from 1.
        seed: of all draws.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: the images have another shape than the subject takes; a layer gives no row an image;
            a number is out of its range.
        DataError: there are too few images or classes, or values that are not finite.
    """
    names = chosen_layers(subject, layers)
    refuse_below_1("features", features)
    train, test = sample(train, images, seed), sample(test, test_images, seed)
    classes = _classes(subject, train, test)
    back = held_back(train.labels, seed)
    reduce = partial(pooled, width=features, seed=seed)
    sides: list[dict[str, Reading]] = []
    pixels: list[Reading] = []
    for side in (subject, random or untrained(subject, seed)):
        found: dict[str, Reading] = {}
        with tracked("Fitting probes", len(names), "layers") as add:
            for part in gather(side, train.pixels, test.pixels, names, reduce):
                if not pixels:
                    pixels.append(_read(part.pixels, train.labels, test.labels, back, classes))
                for name, values in part.layers.items():
                    found[name] = _read(values, train.labels, test.labels, back, classes)
                    add(1)
        sides.append(found)
    commonest = int(train.labels.bincount().argmax())
    chance = float((test.labels != commonest).double().mean())
    return Probe(pixels[0], sides[0], sides[1], chance, len(train), subject.name)


def _classes(subject: Subject, train: Split, test: Split) -> int:
    """How many classes there are, if they can be told apart by these images."""
    for split, what in ((train, "training"), (test, "test")):
        if not len(split):
            raise DataError(f"There are no {what} images; a probe needs some to learn from and some to test.")
    classes = max(len(subject.classes), int(train.labels.max()) + 1, int(test.labels.max()) + 1)
    if len(train.labels.unique()) < 2:
        raise DataError("All training images are of one class; a probe needs two or more to tell apart.")
    if len(train) < 2 * classes:
        raise DataError(
            f"{len(train)} training images are too few for a probe of {classes} classes; "
            f"give {2 * classes} or more."
        )
    return classes


def _read(
    features: tuple[Tensor, Tensor], labels: Tensor, test_labels: Tensor, back: Tensor, classes: int
) -> Reading:
    """One probe, fitted and tested.

    Args:
        features: of training images ``(N, D)`` and of test images ``(M, D)``.
        labels: ``(N,)``.
        test_labels: ``(M,)``.
        back: which training images choose the strength, ``(N,)`` bool.
        classes: K.
    """
    train, test = features
    strength = _strength(train, labels, back, classes)
    scale = Scale.each(train)
    (model,) = fit_logistic(scale(train), labels, classes, [strength], _FLAT)
    guesses = model.logits(scale(test)).argmax(1)
    return Reading(int((guesses != test_labels).sum()), len(test), train.shape[1], strength)


def _strength(features: Tensor, labels: Tensor, back: Tensor, classes: int) -> float:
    """The strength that names the classes of held-back images best; of equal ones the strongest.

    From one that does worse than the one before, weaker ones do worse still, and take longest.
    """
    scale = Scale.each(features[~back])
    held, wanted = scale(features[back]), labels[back]
    chosen, lowest = STRENGTHS[0], float("inf")
    for model in fit_logistic(scale(features[~back]), labels[~back], classes, STRENGTHS, _FLAT):
        losses = F.cross_entropy(model.logits(held), wanted, reduction="none")
        # A class that was never seen is infinitely unlikely; it counts, but it is not all that counts.
        loss = float(losses.clamp_max(_RULED_OUT).mean())
        if loss > lowest:
            break
        if loss < lowest:
            chosen, lowest = model.strength, loss
    return chosen


_RULED_OUT = 27.6
"""Nats: a probability of 10⁻¹²."""

_FLAT = 1e-4
"""Slope at which a probe is taken for fitted. A tenth of it takes twice as long; on digits the held-back
cross-entropy moved by 0.002 nats and the errors by 2 in 400 images.
"""

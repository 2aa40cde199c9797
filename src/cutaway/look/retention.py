"""Retention: how much of the image is left in each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.data import Split
from cutaway.errors import DataError
from cutaway.look.features import Scale, gather, held_back, refuse_below_1, sample, sketched
from cutaway.look.interval import ratio
from cutaway.look.ridge import fit_ridge
from cutaway.look.stream import chosen_layers
from cutaway.look.untrained import untrained
from cutaway.nets.subject import Subject
from cutaway.progress import tracked

STRENGTHS = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-6)
"""Of the regularisation, in the features' mean variance; one is chosen for each layer. Strongest first."""

LARGEST = 32
"""Pixels of a reconstruction's longer side: larger images are shrunk to it by averaging."""


@dataclass(frozen=True)
class Kept:
    """How well images are reconstructed from one layer.

    Args:
        error: 1 − R²: the squared error as a share of the pixels' variance. 0 for a perfect
            reconstruction, 1 for one no better than the mean training image.
        interval: its 95 % interval over the test images.
        features: how many the reconstruction reads.
        strength: of its regularisation, chosen on held-back training images.
    """

    error: float
    interval: tuple[float, float]
    features: int
    strength: float


@dataclass(frozen=True)
class Retention:
    """How much of the image is left in each layer.

    Args:
        pixels: the reconstruction from the subject's inputs: what the reduction of features costs.
        layers: the reconstruction from each layer, in their order.
        random: the same from a net with random weights.
        originals: the first test images as they were to be reconstructed, ``(E, C, h, w)`` float32, 0 to
            1 for pixels of bytes.
        reconstructions: for each layer the same images from its output.
        train_images: images that were learnt from.
        test_images: images that the errors are of.
        subject: the subject's name.
    """

    pixels: Kept
    layers: Mapping[str, Kept]
    random: Mapping[str, Kept]
    originals: Tensor
    reconstructions: Mapping[str, Tensor]
    train_images: int
    test_images: int
    subject: str = ""


def retention(
    subject: Subject,
    train: Split,
    test: Split,
    layers: Sequence[str] | None = None,
    *,
    random: Subject | None = None,
    images: int = 5000,
    test_images: int = 1000,
    features: int = 2048,
    examples: int = 8,
    seed: int = 0,
) -> Retention:
    """The best linear reconstruction of the image from each layer's output, and its error.

    Ridge regression from features to pixels, fitted on training images; the error is that on images it
    has not seen, Σ‖x − x̂‖² / Σ‖x − m‖² with m the mean training image. The strength of the
    regularisation is the one with the lowest error on a fifth of the training images, held back. The
    output of a layer wider than ``features`` is projected at random, which forgets no position.

    It is a lower bound of what is left: a decoder that is not linear may get more (Dosovitskiy and Brox,
    "Inverting visual representations with convolutional networks", 2016, train one). Linear
    decoding from a population's responses is Stanley, Li and Dan's, "Reconstruction of natural scenes
    from ensemble responses", 1999.

    Args:
        subject: trained or not.
        train: images; ``images`` of them are learnt from.
        test: images; the error is measured on ``test_images`` of them.
        layers: dotted names; all that change a value when not given.
        random: the same net with random weights; :func:`untrained` makes it when not given.
        images: training images, from 5.
        test_images: test images, from 1.
        features: that are read of a layer at most, from 1.
        examples: reconstructions that are kept for each layer, from 1.
        seed: of all draws.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: the images have another shape than the subject takes; a layer gives no row an image;
            a number is out of its range.
        DataError: there are too few images, or they are all the same, or values are not finite.
    """
    names = chosen_layers(subject, layers)
    refuse_below_1("features", features)
    refuse_below_1("examples", examples)
    train, test = sample(train, images, seed), sample(test, test_images, seed)
    if len(train) < 5 or not len(test):
        raise DataError(
            f"{len(train)} training and {len(test)} test images are too few; give 5 and 1 or more."
        )
    for images_of_one in (train, test):
        subject.refuse_shape(images_of_one.pixels[:1])
    fitting = _Fitting(shrunk(train.pixels), shrunk(test.pixels), held_back(train.labels, seed))
    reduce = partial(sketched, width=features, seed=seed)
    sides: list[dict[str, Kept]] = []
    pixels: list[Kept] = []
    shown: dict[str, Tensor] = {}
    for side in (subject, random or untrained(subject, seed)):
        found: dict[str, Kept] = {}
        with tracked("Fitting reconstructions", len(names), "layers") as add:
            for part in gather(side, train.pixels, test.pixels, names, reduce):
                if not pixels:
                    pixels.append(fitting.kept(part.pixels)[0])
                for name, values in part.layers.items():
                    found[name], rebuilt = fitting.kept(values)
                    if side is subject:
                        shown[name] = rebuilt[:examples]
                    add(1)
        sides.append(found)
    originals = fitting.test[:examples].float()
    return Retention(pixels[0], sides[0], sides[1], originals, shown, len(train), len(test), subject.name)


def shrunk(images: Tensor) -> Tensor:
    """Images as they are to be reconstructed, at most 32 pixels long: ``(N, C, h, w)``, bytes as 0 to 1."""
    height, width = images.shape[2:]
    longer = max(height, width)
    parts = []
    for part in images.split(256):
        values = part.float() if images.is_floating_point() else part.float() / 255
        if longer > LARGEST:
            size = (max(1, round(height * LARGEST / longer)), max(1, round(width * LARGEST / longer)))
            values = F.adaptive_avg_pool2d(values, size)
        parts.append(values.cpu())
    return torch.cat(parts)


class _Fitting:
    """The images to be reconstructed, and how well they are from some features.

    Args:
        train: ``(N, C, h, w)``.
        test: ``(M, C, h, w)``.
        back: which training images choose the strength, ``(N,)`` bool.
    """

    def __init__(self, train: Tensor, test: Tensor, back: Tensor) -> None:
        self.test, self.back = test, back
        self.targets = train.flatten(1)
        self.wanted = test.flatten(1).double()
        self.spread = (self.wanted - self.targets.double().mean(0)).square().sum(1)
        if not float(self.spread.sum()):
            raise DataError("The images are all the same; there is nothing in them to reconstruct.")

    def kept(self, features: tuple[Tensor, Tensor]) -> tuple[Kept, Tensor]:
        """The error from features of training ``(N, D)`` and test images ``(M, D)``, and the images."""
        train, test = features
        strength = self._strength(train)
        scale = Scale.common(train)
        (model,) = fit_ridge(scale(train), self.targets, [strength])
        rebuilt = model.values(scale(test))
        error, interval = ratio((rebuilt - self.wanted).square().sum(1), self.spread)
        found = Kept(error, interval, train.shape[1], strength)
        return found, rebuilt.view_as(self.test).float()

    def _strength(self, features: Tensor) -> float:
        """The strength that rebuilds held-back images best; of equal ones the strongest.

        From one that does worse than the one before, weaker ones do worse still.
        """
        scale = Scale.common(features[~self.back])
        held, wanted = scale(features[self.back]), self.targets[self.back].double()
        chosen, lowest = STRENGTHS[0], float("inf")
        for model in fit_ridge(scale(features[~self.back]), self.targets[~self.back], STRENGTHS):
            error = float((model.values(held) - wanted).square().sum())
            if error > lowest:
                break
            if error < lowest:
                chosen, lowest = model.strength, error
        return chosen

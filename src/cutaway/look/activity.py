"""Activity: how much, how often and for which classes every unit of every layer answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from cutaway.data import Split
from cutaway.look.deaths import Deaths, deaths
from cutaway.look.moments import Covariance, Moments
from cutaway.look.responses import Responses
from cutaway.look.selectivity import selectivity
from cutaway.look.survey import SAMPLE, Surveyed, survey
from cutaway.nets.subject import Subject
from cutaway.training import Measured

RARE = 0.01
"""A unit that fires for less than this share of the images is rare."""

ALIKE = 0.95
"""Units whose values correlate by more than this are duplicates."""

MOST_PAIRED = 4096
"""Units of a layer at most for which pairs are compared: their products take 128 MiB."""


@dataclass(frozen=True)
class LayerActivity:
    """The units of a layer over a dataset of N images; each of their maps has P places.

    Args:
        places: P; 1 for a dense layer.
        mean: of all N · P values of a unit, ``(U,)`` float64.
        maximum: the largest, ``(U,)`` float32.
        minimum: the smallest, ``(U,)`` float32.
        constant: which units always give the same value, ``(U,)`` bool; dead ones of a ReLU are among
            them.
        fires: the share of images for which any value is above zero, ``(U,)`` float64.
        blank: the share of images whose map is the same value everywhere (zero, where P is 1), ``(U,)``
            float64.
        class_means: the mean over the images of each class, ``(K, U)`` float64; NaN for a class without
            images.
        correlation: Pearson's r of two units' values, ``(U, U)`` float32: over all places of the
            sample's images, over all images where P is 1. NaN for a constant unit; None for a layer of
            more than 4096 units.
    """

    places: int
    mean: Tensor
    maximum: Tensor
    minimum: Tensor
    constant: Tensor
    fires: Tensor
    blank: Tensor
    class_means: Tensor
    correlation: Tensor | None

    @property
    def units(self) -> int:
        """How many there are."""
        return len(self.mean)

    @property
    def rectified(self) -> bool:
        """Whether no value is below zero, as behind a ReLU: then to be dead or rare means something."""
        return bool((self.minimum >= 0).all())

    @property
    def dead(self) -> Tensor:
        """Units that never fire, ``(U,)`` bool. Behind a ReLU they carry nothing at all."""
        return self.fires == 0

    @property
    def rare(self) -> Tensor:
        """Units that fire, but for less than 1 % of the images, ``(U,)`` bool."""
        return (self.fires > 0) & (self.fires < RARE)

    @property
    def blanks(self) -> float:
        """The share of all maps, of all units and images, that are blank."""
        return float(self.blank.mean())

    @property
    def selectivity(self) -> Tensor:
        """The class selectivity index, ``(U,)`` float64; see :func:`cutaway.look.selectivity`."""
        return selectivity(self.class_means)

    def duplicates(self, threshold: float = ALIKE) -> list[tuple[int, int, float]]:
        """Pairs of units that correlate by more than ``threshold``, with their r, the most alike first."""
        if self.correlation is None:
            return []
        first, second = (self.correlation.triu(1) > threshold).nonzero(as_tuple=True)
        alike = self.correlation[first, second]
        order = alike.argsort(descending=True, stable=True)
        return list(zip(first[order].tolist(), second[order].tolist(), alike[order].tolist(), strict=True))


@dataclass(frozen=True)
class Activity:
    """The units of some layers over a dataset.

    Args:
        layers: by name.
        classes: names.
        images: how many were looked through.
        sampled: how many of them places were compared on.
        counted: for each activation layer that was watched while the run learnt, how many units were
            dead after each epoch, by epoch, over a sample of at most 500 training images. Which ones they
            were nobody noted.
        deaths: when each unit of the rectified layers died; None where no weights of epochs were given.
        subject: the subject's name.
    """

    layers: Mapping[str, LayerActivity]
    classes: Sequence[str]
    images: int
    sampled: int
    counted: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    deaths: Deaths | None = None
    subject: str = ""


def activity(
    subject: Subject,
    split: Split,
    layers: Sequence[str] | None = None,
    *,
    sample: int = SAMPLE,
    history: Mapping[int, Measured] | None = None,
    epochs: Mapping[int, Subject] | None = None,
    scheduler: str | None = None,
) -> Activity:
    """How much, how often and for which classes every unit of some layers answers.

    Sums over images are in float64. All is exact over all images, but for the correlations of units
    with maps: those are taken place by place, or a unit that sees the left edge of a stroke would pass
    for a duplicate of one that sees the right edge, and over the images of the sample.

    Args:
        subject: trained or not.
        split: labelled images.
        layers: dotted names; all that change a value when not given.
        sample: images whose places are compared.
        history: what was measured while the subject learnt, by epoch: ``run.measured()``. Its counts of
            dead units, over at most 500 training images, tell when units died.
        epochs: the net with its weights after some epochs, by epoch, as :func:`cutaway.look.deaths` takes
            them: it tells which units died when, behind every layer that gives nothing below zero. Each
            takes a pass of its own over the images.
        scheduler: the address of a Dask scheduler whose workers share the images out.

    Raises:
        NotFoundError: there is no such layer, or no scheduler at that address.
        ConfigError: the images have another shape than the subject takes, or an argument is out of range.
        DataError: there are no images, or a layer gives a value that is not finite.
    """
    look = MeasureActivity(history or {})
    found: Activity = survey(subject, split, [look], layers, sample=sample, scheduler=scheduler)[0]
    rectified = [name for name, layer in found.layers.items() if layer.rectified]
    if not epochs or not rectified:
        return found
    return replace(found, deaths=deaths(epochs, split, rectified, scheduler=scheduler))


@dataclass(frozen=True)
class MeasureActivity:
    """Activity as one of several looks of a survey; arguments as in :func:`activity`."""

    history: Mapping[int, Measured] = field(default_factory=dict)

    def begin(self, surveyed: Surveyed) -> _Kept:
        """Sums of units, and of pairs of units where a layer has not too many."""
        pairs = {
            name: Covariance.empty(size.units)
            for name, size in surveyed.sizes.items()
            if size.units <= MOST_PAIRED
        }
        return _Kept(Moments.empty(surveyed.units, len(surveyed.classes)), pairs)

    def finish(self, surveyed: Surveyed, kept: _Kept) -> Activity:
        """The result."""
        moments, images = kept.moments, surveyed.images
        mean, class_means, constant = moments.mean, moments.class_means, moments.constant
        layers = {
            name: LayerActivity(
                surveyed.sizes[name].places,
                mean[part],
                moments.maxima[part],
                moments.minima[part],
                constant[part],
                moments.fired[part].double() / images,
                moments.blank[part].double() / images,
                class_means[:, part],
                kept.pairs[name].correlation() if name in kept.pairs else None,
            )
            for name, part in surveyed.columns.items()
        }
        return Activity(
            layers,
            surveyed.classes,
            images,
            len(surveyed.sample),
            self._counted(layers),
            subject=surveyed.subject.name,
        )

    def _counted(self, layers: Mapping[str, object]) -> dict[str, dict[int, int]]:
        """Dead units by layer and epoch."""
        watched = [(epoch, found.units) for epoch, found in sorted(self.history.items()) if found.units]
        return {
            layer: {epoch: units[layer].dead for epoch, units in watched if layer in units}
            for layer in layers
            if any(layer in units for _, units in watched)
        }


@dataclass
class _Kept:
    """What is kept: sums of the units of all layers, and of the pairs of units of each."""

    moments: Moments
    pairs: dict[str, Covariance]

    def see(self, found: Responses) -> None:
        """Add a few images."""
        self.moments.see(found)
        for layer, pairs in self.pairs.items():
            values = found.values[layer]
            if values.shape[2] == 1:
                pairs.see(values)
            elif len(found.sampled):
                pairs.see(values[found.sampled.to(values.device)])

    def merge(self, other: _Kept) -> None:
        """Add other images."""
        self.moments.merge(other.moments)
        for layer, pairs in self.pairs.items():
            pairs.merge(other.pairs[layer])

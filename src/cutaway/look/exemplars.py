"""Exemplars: the images of a dataset that excite each unit most, middling and least, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from cutaway.data import Split
from cutaway.errors import ConfigError
from cutaway.look.choice import chosen_units
from cutaway.look.fields import Windows, windows
from cutaway.look.ranking import Ranking
from cutaway.look.responses import LayerSize, Responses
from cutaway.look.survey import SAMPLE, Surveyed, survey
from cutaway.nets.subject import Subject

COUNT = 9
"""Exemplars of a unit from each part of its range."""

BandName = Literal["top", "middle", "bottom"]
BANDS: tuple[BandName, ...] = ("top", "middle", "bottom")


@dataclass(frozen=True)
class Band:
    """The exemplars of a layer's units from one part of their ranges, k for each unit.

    Args:
        images: positions in the dataset, ``(U, k)`` int64.
        values: the largest value of the unit's map for the image, ``(U, k)`` float32.
        places: row and column of that value in the map, the first in reading order,
            ``(U, k, 2)`` int64; −1 for a dense unit.
        boxes: the place's receptive field on the image: top, left, bottom, right, the last two
            exclusive, ``(U, k, 4)`` int64.
    """

    images: Tensor
    values: Tensor
    places: Tensor
    boxes: Tensor

    def only(self, rows: Sequence[int]) -> Band:
        """Those of some units."""
        at = list(rows)
        return Band(self.images[at], self.values[at], self.places[at], self.boxes[at])


@dataclass(frozen=True)
class LayerExemplars:
    """The exemplars of a layer.

    Args:
        top: the images with the largest values, largest first; exact.
        middle: those of the sample whose values are nearest to its quantile, nearest first.
        bottom: the images with the smallest values, smallest first; exact.
        middles: the sample's quantile for each unit, ``(U,)`` float32.
    """

    top: Band
    middle: Band
    bottom: Band
    middles: Tensor

    def band(self, name: BandName) -> Band:
        """One of the three."""
        return {"top": self.top, "middle": self.middle, "bottom": self.bottom}[name]

    def only(self, rows: Sequence[int]) -> LayerExemplars:
        """Those of some units."""
        top, middle, bottom = (self.band(name).only(rows) for name in BANDS)
        return LayerExemplars(top, middle, bottom, self.middles[list(rows)])


@dataclass(frozen=True)
class Exemplars:
    """The exemplars of some layers.

    Args:
        layers: by name.
        split: the images that were looked through.
        classes: their names.
        sampled: how many images the middles were chosen from.
        quantile: that the middles stand for, 0 to 1.
        subject: the subject's name.
        units: those of each layer that are here, by the numbers that they have there; all of them for a
            layer that is not named.
    """

    layers: Mapping[str, LayerExemplars]
    split: Split
    classes: Sequence[str]
    sampled: int
    quantile: float = 0.5
    subject: str = ""
    units: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def numbers(self, layer: str) -> Sequence[int]:
        """The number of each unit of a layer that is here."""
        return self.units.get(layer) or range(len(self.layers[layer].middles))

    def only(self, units: Sequence[int]) -> Exemplars:
        """Those of some units alone; layers that have none of them are left out.

        Raises:
            ConfigError: none is asked for.
            NotFoundError: no layer has such a unit.
        """
        kept = chosen_units({layer: self.numbers(layer) for layer in self.layers}, units)
        return replace(
            self,
            layers={layer: self.layers[layer].only(at) for layer, at in kept.items()},
            units={layer: [self.numbers(layer)[row] for row in at] for layer, at in kept.items()},
        )

    def lean(self) -> Exemplars:
        """The same with the pixels of the exemplars alone, to be kept: a file with the dataset is large.

        Positions and labels are the dataset's still; an image that is no exemplar is an IndexError.
        """
        bands = [layer.band(name) for layer in self.layers.values() for name in BANDS]
        shown = torch.cat([band.images.flatten() for band in bands]).unique()
        index = torch.full((len(self.split),), len(shown))
        index[shown] = torch.arange(len(shown))
        pixels = self.split.batch(shown.to(self.split.index.device)).cpu()
        names = [self.split.name(at) for at in shown.tolist()] if self.split.names else ()
        return replace(self, split=Split(pixels, self.split.labels.cpu(), index, names))

    def crops(self, layer: str, unit: int, band: BandName = "top") -> list[Tensor]:
        """The receptive fields of a unit's exemplars on their images, each ``(C, h, w)`` uint8.

        At the image's edge a field is cut off, so their sizes may differ.

        Raises:
            NotFoundError: the layer has no such unit.
        """
        found, row = self.layers[layer].band(band), self._row(layer, unit)
        pixels = self.split.batch(found.images[row].to(self.split.index.device)).cpu()
        return [
            image[:, top:bottom, left:right]
            for image, (top, left, bottom, right) in zip(pixels, found.boxes[row].tolist(), strict=True)
        ]

    def class_names(self, layer: str, unit: int, band: BandName = "top") -> list[str]:
        """The class of each of a unit's exemplars."""
        images = self.layers[layer].band(band).images[self._row(layer, unit)]
        labels = self.split.labels.cpu()[images]
        return [self.classes[label] for label in labels.tolist()]

    def _row(self, layer: str, unit: int) -> int:
        return chosen_units({layer: self.numbers(layer)}, [unit])[layer][0]


def exemplars(
    subject: Subject,
    split: Split,
    layers: Sequence[str] | None = None,
    *,
    count: int = COUNT,
    quantile: float = 0.5,
    sample: int = SAMPLE,
    scheduler: str | None = None,
) -> Exemplars:
    """For every unit of some layers, the images that excite it most, middling and least.

    How much an image excites a unit is the largest value of the unit's map for it,

        a(x) = max over places p of f(x)_p,

    and the exemplar's crop is the receptive field of the place where that is (M. D. Zeiler and
    R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014). Images from the
    middle and the bottom of the range tell what the top alone hides: whether a unit answers to one
    thing by degrees or to several (C. Olah et al., "Feature Visualization", Distill, 2017).

    Top and bottom are exact over all images; of equal values the earlier image comes first. The middle
    needs the quantile of all values, which one pass in bounded memory can't have: it is taken from a
    sample of the images, drawn evenly at random by their numbers. Its images, values and places are
    as they are; the share q of images below its quantile is within √(q(1 − q) / sample) of the one
    wanted (one standard error: 2.2 % for the median of 500), and exact where the sample is all images.

    Args:
        subject: trained or not.
        split: labelled images.
        layers: dotted names; all that change a value when not given.
        count: exemplars from each part of the range; all images where there are fewer, in the middle all
            of the sample.
        quantile: that the middle stands for, 0 to 1.
        sample: images that the middle is chosen from.
        scheduler: the address of a Dask scheduler whose workers share the images out.

    Raises:
        NotFoundError: there is no such layer, or no scheduler at that address.
        ConfigError: the images have another shape than the subject takes, or an argument is out of range.
        DataError: there are no images, or a layer gives a value that is not finite.
    """
    look = FindExemplars(count, quantile)
    found: Exemplars = survey(subject, split, [look], layers, sample=sample, scheduler=scheduler)[0]
    return found


@dataclass(frozen=True)
class FindExemplars:
    """Exemplars as one of several looks of a survey; arguments as in :func:`exemplars`."""

    count: int = COUNT
    quantile: float = 0.5

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"count should be 1 or more, not {self.count}.")
        if not 0 <= self.quantile <= 1:
            raise ConfigError(f"quantile should be from 0 to 1, not {self.quantile}.")

    def begin(self, surveyed: Surveyed) -> _Kept:
        """Two rankings, and the sample."""
        return _Kept(Ranking.empty(min(self.count, surveyed.images), 2 * surveyed.units), [])

    def finish(self, surveyed: Surveyed, kept: _Kept) -> Exemplars:
        """The result."""
        seen = windows(surveyed.subject, surveyed.sizes)
        bands = kept.bands(self.quantile)
        layers = {
            name: LayerExemplars(
                _band(bands.top.part(part), surveyed.sizes[name], seen[name]),
                _band(bands.middle.part(part), surveyed.sizes[name], seen[name]),
                _band(bands.bottom.part(part), surveyed.sizes[name], seen[name]),
                bands.middles[part],
            )
            for name, part in surveyed.columns.items()
        }
        return Exemplars(
            layers,
            surveyed.split,
            surveyed.classes,
            len(surveyed.sample),
            self.quantile,
            surveyed.subject.name,
        )


def _quantile(values: Tensor, share: float) -> Tensor:
    """Of each column of ``(S, U)``, with a straight line between neighbours: ``(U,)``."""
    # torch.quantile() refuses more than 16 million values.
    ordered = values.sort(0).values
    at = share * (len(values) - 1)
    low = int(at)
    return ordered[low].lerp(ordered[min(low + 1, len(values) - 1)], at - low)


def _band(ranking: Ranking, size: LayerSize, seen: Windows) -> Band:
    width = size.grid[1]
    places = torch.stack((ranking.places.T // width, ranking.places.T % width), -1)
    if size.places == 1:
        places = torch.full_like(places, -1)
    return Band(ranking.numbers.T.contiguous(), ranking.values.T.contiguous(), places, seen.boxes(places))


@dataclass(frozen=True)
class _Bands:
    """What stands in the result, for the units of all layers: top, middle and bottom, and the quantiles."""

    top: Ranking
    middle: Ranking
    bottom: Ranking
    middles: Tensor


@dataclass
class _Kept:
    """What is kept of the units of all layers.

    Args:
        extremes: of the units' values, and beside them of their negated values: one ranking costs half
            of what two do.
        sample: wherever images of the sample came by: numbers ``(S,)``, values ``(S, U)``, places
            ``(S, U)`` int32.
    """

    extremes: Ranking
    sample: list[tuple[Tensor, Tensor, Tensor]]

    def see(self, found: Responses) -> None:
        """Rank a few images, and keep those of the sample."""
        values, rows = found.maxima, found.sampled
        units = values.shape[1]
        self.extremes.see(
            torch.cat((values, -values), 1),
            found.numbers,
            lambda rows, columns: found.places(rows, columns % units),
        )
        if len(rows):
            self.sample.append((found.numbers[rows], values[rows], found.sampled_places().int()))

    def merge(self, other: _Kept) -> None:
        """Take in other images."""
        self.extremes.merge(other.extremes)
        self.sample += other.sample

    def bands(self, quantile: float) -> _Bands:
        """The three parts of the range."""
        numbers, values, places = (torch.cat(parts) for parts in zip(*self.sample, strict=True))
        order = numbers.argsort()
        numbers, values, places = numbers[order], values[order], places[order]
        middles = _quantile(values, quantile)
        # Stable, in the order of the images: of two equally near the earlier one comes first.
        near = (values - middles).abs().argsort(dim=0, stable=True)[: len(self.extremes.values)]
        middle = Ranking(values.gather(0, near), numbers[near], places.gather(0, near).long())
        units = values.shape[1]
        top, negated = self.extremes.part(slice(0, units)), self.extremes.part(slice(units, 2 * units))
        # 0 − x, so that a zero does not become −0.
        bottom = Ranking(0 - negated.values, negated.numbers, negated.places)
        return _Bands(top, middle, bottom, middles)

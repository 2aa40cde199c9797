"""Surveys: a whole dataset seen by all layers in one pass, for as many looks as ask for it.

A survey holds one chunk of images and what each look keeps, which grows with the units and never with
the images. Parts of the dataset surveyed apart and merged give what the whole gives, so a cluster can
do it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from cutaway.data import Split
from cutaway.errors import ConfigError, DataError
from cutaway.look.capture import capture
from cutaway.look.responses import LayerSize, Responses, columns
from cutaway.look.stream import chosen_layers
from cutaway.nets.subject import Subject
from cutaway.progress import tracked

SAMPLE = 500
"""Images of the sample, for what a single pass can't tell of all: the middle, and values place by place.

The share of images below a median that is estimated from so many is wrong by 2.2 % (one standard error).
"""

_LARGEST = 128
"""Images in one forward pass at most; more run no faster."""

_MAPS = 1 << 28
"""Bytes of maps that one forward pass may leave behind: 256 MiB."""


class Gathering(Protocol):
    """What a look keeps of all layers while images stream by; it can be pickled."""

    def see(self, found: Responses) -> None:
        """Take in a few images; they come in the order of their numbers."""
        ...

    def merge(self, other: Self) -> None:
        """Take in what was kept of other images."""
        ...


@dataclass(frozen=True)
class Surveyed:
    """What a survey went over, for the results that are made of it.

    Args:
        subject: what was looked into.
        split: the images; none of them where only a part is gathered.
        images: how many there are in all.
        classes: their names; numbers where the subject has none.
        sizes: of each layer, in the order asked for.
        sample: the images of the sample, ascending.
    """

    subject: Subject
    split: Split
    images: int
    classes: tuple[str, ...]
    sizes: dict[str, LayerSize]
    sample: Tensor

    @property
    def columns(self) -> dict[str, slice]:
        """Where each layer's units stand among those of all layers."""
        return columns(self.sizes)

    @property
    def units(self) -> int:
        """The units of all layers."""
        return sum(size.units for size in self.sizes.values())


R_co = TypeVar("R_co", covariant=True)


class StreamingLook(Protocol, Generic[R_co]):
    """A look whose answer is gathered from a stream of images."""

    def begin(self, surveyed: Surveyed) -> Gathering:
        """What it keeps before the first image."""
        ...

    def finish(self, surveyed: Surveyed, kept: Any) -> R_co:
        """Its result."""
        ...


Gathered = list[Gathering]
"""What each look keeps."""


def survey(
    subject: Subject,
    split: Split,
    looks: Sequence[StreamingLook[Any]],
    layers: Sequence[str] | None = None,
    *,
    sample: int = SAMPLE,
    chunk: int | None = None,
    scheduler: str | None = None,
) -> list[Any]:
    """The results of several streaming looks from one pass over a dataset.

    Args:
        subject: trained or not.
        split: labelled images.
        looks: such as ``FindExemplars()`` and ``MeasureActivity()``.
        layers: dotted names; all that change a value when not given.
        sample: images of the sample, drawn evenly at random by their numbers, the same for all layers
            and looks.
        chunk: images in one forward pass; as many as fit 256 MiB of maps, 128 at most, when not given. A
            model of a fixed batch is given that many.
        scheduler: the address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``, whose workers share
            the images out; this process does it when not given.

    Returns:
        a result for each look.

    Raises:
        NotFoundError: there is no such layer, or no scheduler at that address.
        ConfigError: the images have another shape than the subject takes, or a layer's output has no
            units.
        DataError: there are no images, or a layer gives a value that is not finite.
    """
    planned = _planned(subject, split, looks, layers, sample, chunk)
    if scheduler is None:
        with tracked("Surveying", len(split), "images") as add:
            gathered = planned.run(range(len(split)), split, add)
    else:
        # Dask takes a second to import, and most surveys need none.
        from cutaway.look.cluster import run_on_cluster  # noqa: PLC0415

        gathered = run_on_cluster(scheduler, planned)
    return [look.finish(planned.surveyed, kept) for look, kept in zip(looks, gathered, strict=True)]


@dataclass(frozen=True)
class Survey:
    """A survey that is ready to be carried out, whole or in parts.

    Args:
        surveyed: what it goes over.
        looks: that it feeds.
        chunk: images in one forward pass.
    """

    surveyed: Surveyed
    looks: Sequence[StreamingLook[Any]]
    chunk: int

    def run(self, numbers: range, images: Split, add: Callable[[int], None] = lambda _: None) -> Gathered:
        """What the looks keep of some of the images.

        Args:
            numbers: their positions in the dataset.
            images: those images alone.
            add: told of images that are done.
        """
        subject = self.surveyed.subject
        kept = [look.begin(self.surveyed) for look in self.looks]
        start = numbers.start
        with capture(subject.model, list(self.surveyed.sizes)) as outputs:
            for pixels, labels in images.chunks(self.chunk):
                inputs = subject.inputs(pixels)
                with subject.applying(len(inputs)):
                    given = outputs(subject.filled(inputs))
                at = torch.arange(start, start + len(pixels))
                sampled = torch.isin(at, self.surveyed.sample, assume_unique=True).nonzero().flatten()
                rows = {name: output[: len(inputs)] for name, output in given.items()}
                found = Responses(rows, subject, inputs, at, labels.cpu(), sampled)
                for gathering in kept:
                    gathering.see(found)
                start += len(pixels)
                add(len(pixels))
        return kept


def merge(one: Gathered, other: Gathered) -> None:
    """Take what was kept of other images into ``one``."""
    for kept, more in zip(one, other, strict=True):
        kept.merge(more)


def _planned(  # noqa: PLR0917  those of survey
    subject: Subject,
    split: Split,
    looks: Sequence[StreamingLook[Any]],
    layers: Sequence[str] | None,
    sample: int,
    chunk: int | None,
) -> Survey:
    """The survey, its layers' sizes known from one image."""
    if not len(split):
        raise DataError("There are no images to look at; choose a split that has some.")
    if sample < 1 or (chunk is not None and chunk < 1):
        raise ConfigError(f"sample and chunk should be 1 or more, not {sample} and {chunk}.")
    names = chosen_layers(subject, layers)
    first = split.batch(torch.zeros(1, dtype=torch.int64, device=split.index.device))
    with capture(subject.model, names) as outputs, subject.applying(1):
        found = outputs(subject.filled(subject.inputs(first)))
    sizes = {name: LayerSize.of(name, output, subject.batch or 1) for name, output in found.items()}
    total = sum(4 * size.units * size.places for size in sizes.values())
    count = len(split)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randperm(count, generator=generator)[:sample].sort().values
    labels = int(split.labels.max()) + 1
    classes = (*subject.classes, *map(str, range(len(subject.classes), labels)))
    surveyed = Surveyed(subject, split, count, classes, sizes, drawn)
    return Survey(surveyed, looks, subject.batch or chunk or max(1, min(_LARGEST, _MAPS // total)))

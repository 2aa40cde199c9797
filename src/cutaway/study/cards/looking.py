"""The looks that layer cards are filled by, each applied once to all layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TypeVar

import torch

from cutaway.data import Split
from cutaway.errors import CutawayError
from cutaway.look import (
    Activity,
    Knockout,
    Probe,
    Rank,
    Retention,
    Spectrum,
    activity,
    knockout,
    probe,
    rank,
    retention,
    visible_layers,
)
from cutaway.look.features import sample
from cutaway.look.knockout import main_layers
from cutaway.look.rank import WIDEST
from cutaway.nets import LayerPlan, Plan
from cutaway.nets.subject import Subject
from cutaway.study.cards.card import Evidence, Knocked, LayerTime, Left, Readable, UnitCounts
from cutaway.study.cards.idle import count_idle, seen_behind
from cutaway.study.cards.timing import forward_times

R = TypeVar("R")
T = TypeVar("T")

TIMED = 64
"""Images in a pass that is timed, at most."""


class Part(StrEnum):
    """Parts of a card that take passes over images."""

    TIME = "time"
    PROBE = "probe"
    RETENTION = "retention"
    RANK = "rank"
    UNITS = "units"
    KNOCKOUT = "knockout"


@dataclass(frozen=True)
class Looking:
    """How closely images are looked at.

    Args:
        images: of the validation split, each class in proportion.
        train_images: that probes and reconstructions learn from.
        features: that those read of a layer at most.
        parts: what is looked for at all.
        seed: of all draws.
    """

    images: int = 1000
    train_images: int = 1000
    features: int = 256
    parts: frozenset[Part] = field(default=frozenset(Part))
    seed: int = 0


PLAINLY = Looking()
"""What is looked for when nobody says."""


class Looks:
    """What looks say of the layers of a net.

    A look that can't be applied leaves its part of the cards open, with what it says itself as the reason.

    Args:
        subject: trained or not.
        planned: its plan.
        names: of the layers that have cards.
        train: images that probes and reconstructions learn from.
        validation: images that all is measured on.
        random: the same net with random weights; drawn when not given.
        looking: how closely.
    """

    def __init__(
        self,
        subject: Subject,
        planned: Plan,
        names: Sequence[str],
        *,
        train: Split | None,
        validation: Split | None,
        random: Subject | None,
        looking: Looking,
    ) -> None:
        self._subject, self._planned, self._random, self._looking = subject, planned, random, looking
        self._train = train
        self._held = sample(validation, looking.images, looking.seed) if validation is not None else None
        # What changes no value, such as dropout, is the layer before it; the walk has blocks too.
        seen = {*visible_layers(subject), *(row.name for row in planned.rows if row.branches)}
        self._names = [name for name in names if name in seen]

    def time(self, name: str) -> Evidence[LayerTime]:
        """What a layer takes of a forward pass."""

        def layer(times: dict[str, float]) -> LayerTime:
            whole = sum(times.get(row.name, 0.0) for row in self._planned.rows)
            return LayerTime(times[name], times[name] / whole)

        cores = torch.get_num_threads()
        threads = f"{cores} threads" if cores > 1 else "1 thread"
        where = f"CPU, {threads}" if self._subject.device.type == "cpu" else "GPU"
        told = f"measured here ({where}), median of 5 forward passes"
        return _evidence(self._times, layer, told)

    def readable(self, name: str) -> Evidence[Readable]:
        """What a linear classifier reads from a layer."""
        return self._seen(
            name,
            self._probe,
            lambda found: Readable(found.layers[name], found.random[name], found.chance),
            lambda found: (
                f"probe on {found.pixels.images:,} validation images, learnt from "
                f"{found.train_images:,}, {self._looking.features} features"
            ),
        )

    def left(self, name: str) -> Evidence[Left]:
        """How well the image is rebuilt from a layer."""
        return self._seen(
            name,
            self._retention,
            lambda found: Left(found.layers[name], found.random[name]),
            lambda found: (
                f"retention on {found.test_images:,} validation images, learnt from "
                f"{found.train_images:,}, {self._looking.features} features"
            ),
        )

    def spectrum(self, name: str) -> Evidence[Spectrum]:
        """How many of its dimensions a layer uses."""
        return self._seen(
            name,
            self._rank,
            lambda found: found.layers[name],
            lambda found: f"rank over {found.images:,} validation images",
        )

    def units(self, row: LayerPlan) -> Evidence[UnitCounts]:
        """Units of a layer that are dead or duplicates."""
        watched = seen_behind(row, self._planned)
        return self._seen(
            row.name,
            self._activity,
            lambda found: count_idle(found.layers[watched], watched),
            lambda found: f"activity over {found.images:,} validation images",
        )

    def knocked(self, name: str) -> Evidence[Knocked]:
        """What is lost without a layer, or a unit of it, nothing trained anew."""
        if not isinstance(self._knockout, str) and name not in self._knockout.layers:
            last = name == self._planned.rows[-1].name
            other = f"asked of convs and dense layers: cutaway look knockout RUN --layer {name} tells"
            return Evidence(missing="it gives the logits" if last else other)
        return _evidence(
            self._knockout,
            lambda found: _knocked(found, name, self._commonest),
            f"knockout to the mean on {self._images:,} validation images",
        )

    @property
    def _images(self) -> int:
        return len(self._held) if self._held is not None else 0

    @cached_property
    def _times(self) -> dict[str, float] | str:
        def look(held: Split) -> dict[str, float] | str:
            times = forward_times(self._subject, held.batch(torch.arange(min(TIMED, len(held)))))
            return times or "only nets that Cutaway built are timed layer by layer"

        return self._looked(Part.TIME, look)

    @cached_property
    def _probe(self) -> Probe | str:
        wide = self._looking
        return self._learnt(
            Part.PROBE,
            lambda train, held: probe(
                self._subject,
                train,
                held,
                self._names,
                random=self._random,
                images=wide.train_images,
                test_images=wide.images,
                features=wide.features,
                seed=wide.seed,
            ),
        )

    @cached_property
    def _retention(self) -> Retention | str:
        wide = self._looking
        return self._learnt(
            Part.RETENTION,
            lambda train, held: retention(
                self._subject,
                train,
                held,
                self._names,
                random=self._random,
                images=wide.train_images,
                test_images=wide.images,
                features=wide.features,
                examples=1,
                seed=wide.seed,
            ),
        )

    @cached_property
    def _rank(self) -> Rank | str:
        units = {row.name: row.output_shape[0] for row in self._rows()}
        names = [name for name in self._names if units[name] <= WIDEST]
        return self._looked(Part.RANK, lambda held: rank(self._subject, held.pixels, names))

    @cached_property
    def _activity(self) -> Activity | str:
        named = set(self._names)
        watched = [seen_behind(row, self._planned) for row in self._rows() if row.name in named]
        names = list(dict.fromkeys(watched))
        return self._looked(Part.UNITS, lambda held: activity(self._subject, held, names))

    @property
    def _commonest(self) -> float:
        """The share of the commonest class among the images that all is measured on."""
        labels = self._held.labels if self._held is not None else torch.zeros(1, dtype=torch.int64)
        return float(labels.bincount().max()) / len(labels)

    @cached_property
    def _knockout(self) -> Knockout | str:
        def look(held: Split) -> Knockout | str:
            names = [name for name in main_layers(self._subject) if name in self._names]
            return (
                knockout(self._subject, held, names, value="mean")
                if names
                else "it is asked of convs and dense layers only"
            )

        return self._looked(Part.KNOCKOUT, look)

    def _rows(self) -> list[LayerPlan]:
        """All layers, blocks and what is inside them."""
        return list({row.name: row for row in (*self._planned.rows, *self._planned.leaves())}.values())

    def _looked(self, part: Part, look: Callable[[Split], R | str]) -> R | str:
        """What a look gives for the validation images; or why there is nothing."""
        if part not in self._looking.parts:
            return "not looked for"
        if self._held is None:
            return "there is no validation split: train it with data.validation above 0"
        try:
            return look(self._held) if self._names else _QUIET
        except CutawayError as error:
            return str(error)

    def _learnt(self, part: Part, look: Callable[[Split, Split], R]) -> R | str:
        """Likewise of a look that learns from training images."""
        train = self._train
        if train is None and part in self._looking.parts:
            return "there are no training images to learn from"
        return self._looked(part, lambda held: look(train, held) if train is not None else "")

    def _seen(
        self, name: str, found: R | str, value: Callable[[R], T], told: Callable[[R], str]
    ) -> Evidence[T]:
        """A look's evidence of a layer; none of one that changes no value."""
        if not isinstance(found, str) and name not in self._names:
            return Evidence(missing=_QUIET)
        return _evidence(found, value, "" if isinstance(found, str) else told(found))


_QUIET = "it changes no value when the net is applied"


def _evidence(found: R | str, value: Callable[[R], T], source: str) -> Evidence[T]:
    return Evidence(missing=found) if isinstance(found, str) else Evidence(value(found), source)


def _knocked(found: Knockout, name: str, chance: float) -> Knocked:
    lost = found.lost(name)
    dearest = int(lost.argmax())
    return Knocked(
        found.accuracy,
        found.whole_lost(name),
        dearest,
        float(lost[dearest]),
        int((lost <= 0).sum()),
        len(lost),
        found.images,
        chance,
    )

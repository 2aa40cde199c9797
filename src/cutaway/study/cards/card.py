"""Layer cards: all that is known of a layer in one place, each part with its source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from cutaway.look import Kept, Reading, Spectrum
from cutaway.look.interval import wilson
from cutaway.study.findings.statistics import Difference
from cutaway.study.findings.table import Measure, VariantRow
from cutaway.study.trial import TrialStatus
from cutaway.training.learning import LayerLearning

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Evidence(Generic[T_co]):
    """One thing that is known of a layer, or what would make it known.

    Args:
        value: what was found; None where nothing was.
        source: where it comes from: "planner", "ledger, epochs 1 to 10".
        missing: where there is no value: why, and what would give one.
    """

    value: T_co | None = None
    source: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Size:
    """What a layer costs on paper, for one image.

    Args:
        parameters: trained values.
        parameter_share: of the net's, 0 to 1.
        multiply_adds: for one image.
        multiply_add_share: of the net's, 0 to 1.
        output_bytes: of what it gives.
    """

    parameters: int
    parameter_share: float
    multiply_adds: int
    multiply_add_share: float
    output_bytes: int


@dataclass(frozen=True)
class StepMemory:
    """The memory of a training step that falls away with a layer.

    Args:
        saved: bytes; below 0 where a step without the layer takes more, as without a pool.
        whole: bytes of a step of the whole net.
        batch: images in the step.
    """

    saved: int
    whole: int
    batch: int


@dataclass(frozen=True)
class LayerTime:
    """What a layer takes of a forward pass.

    Args:
        seconds: for one image.
        share: of the whole pass, 0 to 1.
    """

    seconds: float
    share: float


@dataclass(frozen=True)
class Learned:
    """How a layer learnt, beside the layer that learnt most.

    Args:
        own: of this layer.
        farthest: the layer whose weights went farthest from where they began.
        distance: how far those went, as a share of their first length; NaN where nothing was measured.
    """

    own: LayerLearning
    farthest: str
    distance: float


@dataclass(frozen=True)
class Readable:
    """What a linear classifier reads of the class from a layer.

    Args:
        trained: with the weights that are looked at.
        random: with random weights.
        chance: the error of always naming the commonest class.
    """

    trained: Reading
    random: Reading
    chance: float


@dataclass(frozen=True)
class Left:
    """How well the image is rebuilt from a layer.

    Args:
        trained: with the weights that are looked at.
        random: with random weights.
    """

    trained: Kept
    random: Kept


@dataclass(frozen=True)
class UnitCounts:
    """The units of a layer that carry nothing of their own.

    Args:
        units: how many there are.
        dead: that give the same value for every image and at every place.
        duplicates: other units whose values follow those of a unit before them, r above 0.95.
        rare: that fire for less than 1 % of the images; 0 where no activation behind tells.
        seen: the layer that they were watched at: the activation behind, where there is one.
    """

    units: int
    dead: int
    duplicates: int
    rare: int
    seen: str

    @property
    def idle(self) -> int:
        """Dead ones and duplicates: what a narrower layer might do without."""
        return self.dead + self.duplicates


@dataclass(frozen=True)
class Knocked:
    """What the net loses without a layer's information, or a unit's, when nothing is trained anew.

    Args:
        accuracy: of the unmodified net, 0 to 1.
        lost: accuracy lost without the whole layer.
        dearest: the unit that costs most.
        dearest_lost: accuracy lost without it.
        spare: units that cost no accuracy, each alone.
        units: how many there are.
        images: that were classified again.
        chance: the accuracy of always naming the commonest class.
    """

    accuracy: float
    lost: float
    dearest: int
    dearest_lost: float
    spare: int
    units: int
    images: int
    chance: float

    @property
    def knows(self) -> bool:
        """Whether the net is surely right more often than by chance: others have nothing to lose."""
        _, wrong = wilson(round((1 - self.accuracy) * self.images), self.images)
        return 1 - wrong > self.chance


@dataclass(frozen=True)
class Retrained:
    """A variant of a study beside its base: what came of training without the layer, or with it random.

    Args:
        row: the variant's.
        base: the study's.
    """

    row: VariantRow
    base: VariantRow

    @property
    def top1(self) -> Difference | None:
        """The top-1 error less the base's, 0 to 1; None where no interval can be told.

        None also where the stopping rule ended a trial, which was not trained on equal terms then, and
        where one diverged: the others alone would make it look better than it is.
        """
        found = self.row.differences.get(Measure.TOP1)
        if found is None or not all(map(math.isfinite, (found.mean, found.low, found.high))):
            return None
        early = self.row.budget < 1 or any(trial.status is TrialStatus.EARLY for trial in self.row.trials)
        return None if early or self.diverged else found

    @property
    def diverged(self) -> int:
        """Trials that came to values that are not finite."""
        return sum(trial.status is TrialStatus.DIVERGED for trial in self.row.trials)

    def change(self, measure: Measure) -> float:
        """What a measure has more than the base's, as a share of it; NaN where it is not known."""
        mine, theirs = self.row.estimates.get(measure), self.base.estimates.get(measure)
        if mine is None or theirs is None or not theirs.mean:
            return math.nan
        return mine.mean / theirs.mean - 1


@dataclass(frozen=True)
class LayerCard:
    """All that is known of one layer.

    Args:
        layer: its name.
        word: what it is, in the notation.
        shape: of what it gives for one image.
        argument: the argument of its word that says how many units it has, as edits name it; empty for
            one that has none of its own, and inside blocks, where edits don't reach.
        removable: an edit can take it out: it stands in no block, and does not give the logits.
        size: parameters, multiply-adds, bytes.
        memory: of a training step that falls away with it.
        time: of a forward pass.
        learning: how its weights moved.
        readable: what a linear classifier reads from it.
        left: how well the image is rebuilt from it.
        spectrum: how many of its dimensions it uses.
        units: dead and duplicate ones.
        knocked: what is lost without it, nothing trained anew.
        ablated: trained without it.
        frozen: trained with it random.
        frozen_up_to: trained with it and all layers before it random.
    """

    layer: str
    word: str
    shape: tuple[int, ...]
    argument: str
    removable: bool
    size: Evidence[Size]
    memory: Evidence[StepMemory]
    time: Evidence[LayerTime]
    learning: Evidence[Learned]
    readable: Evidence[Readable]
    left: Evidence[Left]
    spectrum: Evidence[Spectrum]
    units: Evidence[UnitCounts]
    knocked: Evidence[Knocked]
    ablated: Evidence[Retrained]
    frozen: Evidence[Retrained]
    frozen_up_to: Evidence[Retrained]


@dataclass(frozen=True)
class LayerCards:
    """The cards of a net's layers.

    Args:
        cards: by layer, in the net's order.
        subject: the subject's name.
        study: the study's name and id; empty without one.
        split: the split that the study reports errors of; empty without one.
    """

    cards: Mapping[str, LayerCard]
    subject: str
    study: str = ""
    split: str = ""

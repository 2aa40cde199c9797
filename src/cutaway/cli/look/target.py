"""What backward looks share on the command line: what is asked about, of which images, on which scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cutaway.cli.look.view import ImageNames, SplitName
from cutaway.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from cutaway.cli.look.view import View
    from cutaway.look import Target
    from cutaway.nets.subject import Subject

ClassNames = Annotated[
    tuple[str, ...],
    Parameter(
        name="--class",
        negative="",
        show_default=False,
        help="a class by its name or number; give it again for more; the one that each image is taken "
        "for when not given",
    ),
]
Against = Annotated[
    str | None,
    Parameter(
        negative="", help="another class: the map is of the difference, why the first and not this one"
    ),
]
TargetLayer = Annotated[
    str | None, Parameter(name="--layer", negative="", help="a layer, whose --unit is asked about")
]
TargetUnits = Annotated[
    tuple[int, ...],
    Parameter(
        name="--unit",
        negative="",
        show_default=False,
        help="a unit of the layer, from 0; give it again for more",
    ),
]
PlaceName = Annotated[
    str,
    Parameter(
        negative="",
        help="of the unit's map: max, where it is largest; sum, all of it; or ROW,COLUMN",
    ),
]
MapScaleName = Annotated[
    Literal["image", "shared"],
    Parameter(negative="", help="whether each map has a scale of colours of its own, or all share one"),
]
OtherwiseName = Annotated[
    Literal["refuse", "gradient"],
    Parameter(negative="", help="what an operation without a rule does: end the look, or pass its gradient"),
]


@dataclass(frozen=True)
class Asked:
    """What a command is about.

    Args:
        subject: the net.
        images: ``(N, C, H, W)`` uint8.
        names: of the images, as they were given.
        predicted: the class that each is taken for, by name.
        targets: what is asked about.
        parts: of the file's name.
        labels: the true class of each image; None for those from files.
    """

    subject: Subject
    images: Tensor
    names: tuple[str, ...]
    predicted: tuple[str, ...]
    targets: tuple[Target, ...]
    parts: tuple[str, ...]
    labels: tuple[str | None, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """What ``--json`` has of it."""
        return {
            "image": list(self.names),
            "label": list(self.labels),
            "predicted": list(self.predicted),
        }


@Parameter(name="*")
@dataclass(frozen=True)
class ClassOptions:
    """Classes, and the images that are looked at."""

    classes: ClassNames = ()
    against: Against = None
    image: ImageNames = ("0",)
    split: SplitName = "test"
    scale: MapScaleName = "image"

    def asked(
        self,
        view: View,
        layer: str | None = None,
        units: Sequence[int] = (),
        place: str = "max",
        option: str = "--layer",
    ) -> Asked:
        """The images and the targets; ``option`` is how the command calls the layer.

        Raises:
            ConfigError: options that contradict each other, or a place that is none.
            NotFoundError: there is no such image or class.
        """
        from cutaway.look import Target

        images = view.images(self.image, self.split)
        # A target is read from one pass, where predictions may be the mean of several.
        numbers = view.subject.plain.predict(images).argmax(1).tolist()
        known = list(view.subject.classes)
        predicted = tuple(known[number] if known else str(number) for number in numbers)
        stems = [Path(name).stem for name in self.image]
        if layer is None and units:
            raise ConfigError(f"--unit needs the {option} that it belongs to.")
        if layer is None and place != "max":
            raise ConfigError(f"--place is of a unit's map: give its {option} and --unit, too.")
        if layer is not None:
            if self.classes or self.against is not None:
                raise ConfigError("Ask for classes or for units of a layer, not for both.")
            if not units:
                raise ConfigError(f"Which unit of {layer}? Give --unit, from 0.")
            at = place_of(place)
            wanted = [Target({unit: 1.0}, layer, at) for unit in units]
            told = [layer, *map(str, units), *([] if place == "max" else [place])]
        else:
            wanted = self._classes(view.subject, numbers)
            told = [*self.classes, *([] if self.against is None else ["not", self.against])]
        parts, labels = (*stems, *told), view.labels(self.image, self.split)
        return Asked(view.subject, images, tuple(self.image), predicted, tuple(wanted), parts, labels)

    def _classes(self, subject: Subject, predicted: Sequence[int]) -> list[Target]:
        from cutaway.look import Target, difference
        from cutaway.look.backward.target import as_target

        if self.against is not None:
            if not self.classes and len(predicted) > 1:
                raise ConfigError("--against needs the --class that stands on the other side.")
            other = as_target(subject, self.against)
            ones = [as_target(subject, name) for name in self.classes or predicted]
            if other in ones:
                raise ConfigError(f"--against should be another class than {other} itself.")
            return [difference(subject, _number(one), _number(other)) for one in ones]
        if self.classes:
            return [as_target(subject, name) for name in self.classes]
        if len(predicted) == 1:
            return [as_target(subject, predicted[0])]
        return [Target(labels=tuple(predicted), name="predicted")]


@Parameter(name="*")
@dataclass(frozen=True)
class TargetOptions(ClassOptions):
    """Classes or units of a layer, and the images that are looked at."""

    layer: TargetLayer = None
    unit: TargetUnits = ()
    place: PlaceName = "max"

    def all_asked(self, view: View) -> Asked:
        """The images and the targets, as :meth:`asked`."""
        return self.asked(view, self.layer, self.unit, self.place)


CLASSES, TARGETS = ClassOptions(), TargetOptions()
"""Nothing asked for: the class that the first test image is taken for."""


def _number(target: Target) -> int:
    """The class of a target of one class."""
    return next(iter(target.weights or {}))


def place_of(text: str) -> Any:
    """``max``, ``sum``, or row and column.

    Raises:
        ConfigError: it is none of them.
    """
    if text in ("max", "sum"):
        return text
    row, comma, column = text.partition(",")
    if not (comma and row.strip().isdecimal() and column.strip().isdecimal()):
        raise ConfigError(f'--place should be max, sum or ROW,COLUMN, such as 3,4, not "{text}".')
    return int(row), int(column)

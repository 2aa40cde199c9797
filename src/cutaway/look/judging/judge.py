"""Judge: is the explanation any good? The same questions to every method, with chance beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from cutaway.data import Split
from cutaway.errors import ConfigError, CutawayError, DataError
from cutaway.look.backward.attribution import Attribution
from cutaway.look.backward.baseline import BaselineName
from cutaway.look.backward.methods import METHODS, Method
from cutaway.look.backward.target import Asked, Target, as_target, as_targets, each
from cutaway.look.features import refuse_below_1
from cutaway.look.judging.cascade import cascade, steps
from cutaway.look.judging.correlation import order, overlap, spearman
from cutaway.look.judging.curves import Curves, deletion, insertion, predicted
from cutaway.look.judging.judgement import CHANCE, Judged, Judgement
from cutaway.look.judging.sensitivity import max_sensitivity
from cutaway.look.judging.structure import ssim
from cutaway.nets.subject import Subject
from cutaway.progress import listening, tracked

TOP = 0.1
"""The share of the pixels that are compared as the hottest ones."""


@dataclass(frozen=True)
class Questions:
    """What each method is asked.

    Args:
        points: of each curve behind the first one.
        removed: what pixels become that are removed: ``black``, ``mean``, ``blur`` or ``random``.
        ground: what pixels are inserted on, likewise.
        samples: noisy copies of each image.
        radius: of the noise, as a share of the range of the image's input.
        stages: steps of the cascade of random weights, at most.
        seed: of all draws.

    Raises:
        ConfigError: a number is below 1, or the radius is not above 0.
    """

    points: int = 32
    removed: BaselineName = "black"
    ground: BaselineName = "blur"
    samples: int = 5
    radius: float = 0.02
    stages: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for what in ("points", "samples", "stages"):
            refuse_below_1(what, getattr(self, what))
        if not self.radius > 0:
            raise ConfigError(f"radius should be above 0, not {self.radius}.")


def judge(
    subject: Subject,
    images: Tensor | Split,
    methods: Sequence[str] | Mapping[str, Method] | None = None,
    target: int | str | None = None,
    *,
    questions: Questions = Questions(),
) -> Judgement:
    """Ask every method the same questions about its maps of some images.

    - *deletion* and *insertion*: the area under the class's probability while the hottest pixels are
      replaced, or shown (:func:`deletion`, :func:`insertion`);
    - *sensitivity*: how much the map changes with noise that nobody sees (:func:`max_sensitivity`);
    - *sanity*: how much of the map is left when all weights are random (:func:`cascade`): the amount of
      Spearman's correlation, and the structural similarity;
    - which other methods say the same, and how long it takes.

    A map is read as one number for each pixel, as ``METHODS`` says. A method that refuses the model is told
    with its reason. Random maps, drawn anew each time, are the row ``CHANCE``.

    Args:
        subject: any.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs; or a split, of which all images are taken.
        methods: names in ``METHODS``, or methods of one's own by name; all but the costly ones when not
            given.
        target: the class that is explained, by number or name; for each image the one it is taken for when
            not given.
        questions: the settings, the same for all.

    Raises:
        NotFoundError: there is no such method or class.
        ConfigError: images or settings do not fit, or the model can't be copied.
        DataError: there are no images, or an input or what it comes to is not finite.
    """
    images = images.pixels if isinstance(images, Split) else images
    # Chance first: what it can't do nobody can, and is no fault of a method.
    tried = {CHANCE: _chance(questions.seed), **_methods(methods)}
    classes = _classes(subject, images, target)
    groups = steps(subject, questions.stages)
    court = _Court(subject, images, classes, each(classes), questions)
    refused: dict[str, str] = {}
    found: dict[str, _Found] = {}
    # Each method tells of its own progress too, which would be a bar that starts again and again.
    work = len(tried) * (2 + questions.samples + len(groups))
    with tracked("Judging", work, "passes") as add, listening(lambda _: None):
        for name, method in tried.items():
            try:
                found[name] = court.hear(method)
            except CutawayError as error:
                if name == CHANCE:
                    raise
                refused[name] = str(error)
            add(2 + questions.samples)
        for layer, other in cascade(subject, questions.stages, questions.seed):
            for name in list(found):
                try:
                    heat, _ = court.heat(tried[name], other, images)
                except CutawayError as error:
                    refused[name] = f"with random weights from {layer} up: {error}"
                    del found[name]
                else:
                    found[name].compare(heat)
                add(1)
    found[CHANCE] = found.pop(CHANCE)
    agreement, shared = _agreements([one.heat for one in found.values()], questions.seed)
    return Judgement(
        {name: one.judged() for name, one in found.items()},
        refused,
        agreement,
        shared,
        TOP,
        tuple(group[-1] or subject.name for group in groups),
        classes,
        (questions.removed, questions.ground),
        subject.name,
    )


@dataclass
class _Found:
    """What one method's maps came to so far."""

    heat: Tensor
    deletion: Curves
    insertion: Curves
    sensitivity: Tensor
    seconds: float
    correlation: list[Tensor]
    structure: list[Tensor]

    def compare(self, other: Tensor) -> None:
        """Take in the map of a net with random weights."""
        self.correlation.append(spearman(self.heat.flatten(1), other.flatten(1)).abs())
        self.structure.append(ssim(self.heat, other))

    def judged(self) -> Judged:
        return Judged(
            self.deletion,
            self.insertion,
            self.sensitivity,
            torch.stack(self.correlation),
            torch.stack(self.structure),
            self.seconds,
            int((self.heat == 0).flatten(1).all(1).sum()),
        )


@dataclass(frozen=True)
class _Court:
    """The questions, with all that is the same for every method."""

    subject: Subject
    images: Tensor
    classes: Tensor
    target: Target
    questions: Questions

    def heat(self, method: Method, subject: Subject, images: Tensor) -> tuple[Tensor, float]:
        """A method's maps, ``(N, H, W)``, and the seconds that an image took.

        Raises:
            CutawayError: it refuses the model, or its maps are not finite.
        """
        start = perf_counter()
        explained = method.explain(subject, images, self.target)
        seconds = (perf_counter() - start) / len(images)
        found = method.heat(explained)[0]
        if not found.isfinite().all():
            raise DataError("its maps have NaN or infinite values.")
        return found, seconds

    def hear(self, method: Method) -> _Found:
        """All that is asked about the net as it is.

        Raises:
            CutawayError: as :meth:`heat` does.
        """
        asked = self.questions
        heat, seconds = self.heat(method, self.subject, self.images)
        times = [seconds]

        def noisy(subject: Subject, images: Tensor) -> Tensor:
            found, seconds = self.heat(method, subject, images)
            times.append(seconds)
            return found

        sensitivity = max_sensitivity(
            noisy,
            self.subject,
            self.images,
            clean=heat,
            samples=asked.samples,
            radius=asked.radius,
            seed=asked.seed,
        )
        given = (self.subject, self.images, heat, self.classes)
        gone = deletion(*given, fill=asked.removed, steps=asked.points, seed=asked.seed)
        come = insertion(*given, fill=asked.ground, steps=asked.points, seed=asked.seed)
        return _Found(heat, gone, come, sensitivity, min(times), [], [])


def _methods(asked: Sequence[str] | Mapping[str, Method] | None) -> dict[str, Method]:
    """The methods by name.

    Raises:
        NotFoundError: there is none of that name.
        ConfigError: there are none.
    """
    if isinstance(asked, Mapping):
        found = dict(asked)
    else:
        names = [name for name in METHODS if not METHODS[name].costly] if asked is None else asked
        found = {name: METHODS[name] for name in names}
    if not found:
        raise ConfigError("There are no methods to judge; name one or more.")
    if CHANCE in found:
        raise ConfigError(f'A method can\'t be called "{CHANCE}": that row is of random maps.')
    return found


def _chance(seed: int) -> Method:
    """Maps that know nothing: normal numbers, drawn anew each time."""
    generator = torch.Generator().manual_seed(seed)

    def explain(
        subject: Subject, images: Tensor, targets: Asked | Sequence[Asked] | None = None
    ) -> Attribution:
        wanted = as_targets(subject, targets)
        shape = (len(wanted), len(images), *subject.input_shape)
        maps = torch.randn(shape, generator=generator)
        names = tuple(map(str, wanted))
        return Attribution(images, maps, maps.new_zeros(shape[:2]), names, CHANCE, subject.name)

    return Method(explain, "signed")


def _classes(subject: Subject, images: Tensor, target: int | str | None) -> Tensor:
    """The class of each image that is explained, ``(N,)`` int64.

    Raises:
        CutawayError: there is no such class, or the images can't be classified.
    """
    found = predicted(subject, images)
    if target is None:
        return found
    number = next(iter(as_target(subject, target).weights or {}))
    return torch.full_like(found, number)


def _agreements(heats: Sequence[Tensor], seed: int) -> tuple[Tensor, Tensor]:
    """Of each two methods' maps the correlation and the overlap, means over images: ``(M, M)`` each."""
    flat = [heat.flatten(1) for heat in heats]
    places = [order(heat, seed) for heat in flat]
    count = max(1, round(TOP * flat[0].shape[1]))
    alike = torch.eye(len(flat), dtype=torch.float64)
    shared = torch.eye(len(flat), dtype=torch.float64)
    for one in range(len(flat)):
        for other in range(one):
            alike[one, other] = alike[other, one] = spearman(flat[one], flat[other]).mean()
            shared[one, other] = shared[other, one] = overlap(places[one], places[other], count).mean()
    return alike, shared

"""Attributions: a number for each value of an image, for each target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from cutaway.errors import ConfigError, DataError
from cutaway.look.backward.graph import Forward, float_inputs, graphs
from cutaway.look.backward.rules import Rules
from cutaway.look.backward.silence import Cause, cause_of
from cutaway.look.backward.target import Asked, Target, as_targets
from cutaway.look.finite import refuse_nan
from cutaway.nets.subject import Subject
from cutaway.progress import tracked

AT_ONCE = 32
"""Images in a pass: on two cores 16 to 64 run equally fast, and this many of 224×224 through 16
convolutions take 4 GB.
"""


@dataclass(frozen=True)
class Attribution:
    """What every value of some images has to do with some targets.

    Args:
        images: what was looked at, ``(N, C, H, W)``, as it was given.
        maps: ``(T, N, C, H, W)`` float32 on the CPU, signed where the method has signs.
        values: what each target came to for each image, ``(T, N)``.
        targets: their names.
        method: such as "saliency".
        subject: the subject's name.
        gap: for methods whose maps should add up to something (a logit, or its difference to a
            baseline's): that less the sum of the map, ``(T, N)``; None for the others.
        notes: what a reader should know, such as why a map is zero everywhere.
    """

    images: Tensor
    maps: Tensor
    values: Tensor
    targets: tuple[str, ...]
    method: str
    subject: str = ""
    gap: Tensor | None = None
    notes: tuple[str, ...] = ()

    @property
    def summed(self) -> Tensor:
        """The maps with their channels added, ``(T, N, H, W)``."""
        return self.maps.sum(2)

    @property
    def strength(self) -> Tensor:
        """The largest amount among the channels, ``(T, N, H, W)``: how Simonyan et al. show a gradient."""
        return self.maps.abs().amax(2)


Read = Callable[[Tensor, Tensor], Tensor]
"""From the input and what arrives at it to the map, all ``(n, C, H, W)``."""


def attributed(
    subject: Subject,
    images: Tensor,
    targets: Asked | Sequence[Asked] | None,
    method: str,
    *,
    read: Read = lambda _, arriving: arriving,
    rules: Rules | None = None,
    times: str = "",
) -> Attribution:
    """Apply a method that walks backwards once for each target, a few images at a time.

    Args:
        subject: any.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        targets: each for all images.
        method: its name.
        read: gives the map of one target; what arrives at the input when not given.
        rules: how operations propagate.
        times: what a zero map means where something does arrive at the input.

    Raises:
        CutawayError: as :func:`cutaway.look.backward.graph.graphs` and :meth:`Target.seed` do.
    """
    wanted = as_targets(subject, targets)
    maps: list[Tensor] = []
    values: list[Tensor] = []
    with walks(subject, wanted, (), rules) as forward, tracked(method, len(images), "images") as add:
        for inputs, chosen in chunks(subject, images, wanted):
            arriving, value = zip(*_walked(subject, forward, inputs, chosen), strict=True)
            found = [as_images(subject, read(inputs, one).detach()) for one in arriving]
            maps.append(torch.stack(found).float().cpu())
            values.append(torch.stack(value).float().cpu())
            add(len(inputs))
    result = Attribution(
        images, torch.cat(maps, 1), torch.cat(values, 1), tuple(map(str, wanted)), method, subject.name
    )
    refuse_unfinite(subject, images, result.values, result.maps)
    return with_zero_noted(result, cause_of(subject, images, wanted, rules, times))


def _walked(
    subject: Subject, forward: Forward, inputs: Tensor, targets: Sequence[Target]
) -> Iterator[tuple[Tensor, Tensor]]:
    """What arrives at the input from each target, ``(n, C, H, W)``, and what the target comes to, ``(n,)``.

    One pass is walked once for each target; or, where images are so small that each operation costs more than
    its sums, a few copies of them go through together, and are walked with a target each, again and again:
    64 units of a net for 32×32 pixels took 60 ms so on one core, in place of 83.
    """
    n = len(inputs)
    count = min(_COPIES // n, len(targets))
    small = inputs.numel() <= _SMALL and not subject.batch
    if len(targets) < _MANY or not small or count < 2 or len({target.layer for target in targets}) > 1:
        graph = forward(inputs)
        for target in targets:
            yield graph.back(target, graph.seed(target), keep=True)[0], graph.value(target)
        return
    copies = forward(inputs.repeat(count, *[1] * (inputs.dim() - 1)))
    root = copies.root(targets[0])[:n]
    for first in range(0, len(targets), count):
        part = targets[first : first + count]
        seeds = [target.seed(root) for target in part]
        # In the last turn fewer targets may be left than there are copies.
        idle = root.new_zeros(n * (count - len(part)), *root.shape[1:])
        arriving = copies.back(part[0], torch.cat([*seeds, idle]), keep=True)[0].split(n)[: len(part)]
        yield from zip(arriving, [(seed * root).flatten(1).sum(1) for seed in seeds], strict=True)


_MANY = 8
"""Targets from which on copies of the images go through together."""

_COPIES = 16
"""Copies of one image that do: for 64 units 8 to 16 of them were fastest, 32 took a seventh longer."""

_SMALL = 4096 * 3
"""Values of the input up to which they do."""


def walks(
    subject: Subject, targets: Sequence[Target], layers: Sequence[str] = (), rules: Rules | None = None
) -> AbstractContextManager[Forward]:
    """:func:`graphs` for targets: with the layers that they are read from, and no further than needed."""
    inner = [target.layer for target in targets if target.layer is not None]
    to_end = len(inner) < len(targets)
    return graphs(subject, [*layers, *inner], rules, to_end=to_end)


def chunks(
    subject: Subject, images: Tensor, targets: Sequence[Target], at_once: int | None = None
) -> Iterator[tuple[Tensor, list[Target]]]:
    """The inputs of a few images at a time, and the targets for these images.

    Args:
        subject: any.
        images: ``(N, C, H, W)``.
        targets: each for all images.
        at_once: how many images; as many as the model takes, or ``AT_ONCE``, when not given.

    Raises:
        ConfigError: the images have another shape than the subject takes, or labels are missing.
        DataError: there are no images.
    """
    if not len(images):
        raise DataError("There are no images to look at; give one or more.")
    subject.refuse_shape(images)
    for target in targets:
        if target.labels is not None and len(target.labels) != len(images):
            raise ConfigError(
                f"There are {len(target.labels)} labels for {len(images)} images; give one for each."
            )
    start = 0
    for part in images.split(at_once or subject.batch or AT_ONCE):
        yield float_inputs(subject, part), [target.part(start, len(part)) for target in targets]
        start += len(part)


def as_images(subject: Subject, values: Tensor) -> Tensor:
    """Values like the model's input as ``(n, C, H, W)``, where preprocessing moved the channels last."""
    channels, height, width = subject.input_shape
    if tuple(values.shape[1:]) == (height, width, channels) != (channels, height, width):
        return values.movedim(3, 1)
    return values


_Result = TypeVar("_Result", bound=Attribution)


def with_zero_noted(result: _Result, cause: Cause | None = None) -> _Result:
    """The same with a note where whole maps are zero.

    Args:
        result: of any method.
        cause: tells why; see :func:`cutaway.look.backward.silence.cause_of`.
    """
    silent = (result.maps == 0).flatten(2).all(2)
    notes: list[str] = []
    for place, target in enumerate(result.targets):
        images = silent[place].nonzero().flatten().tolist()
        by_cause: dict[str, list[int]] = {}
        told = cause(place, images) if cause and images else [""] * len(images)
        for image, why in zip(images, told, strict=True):
            by_cause.setdefault(why, []).append(image)
        notes += [
            f"{target}: {_which(found)} zero everywhere. {why or _LIKELY}" for why, found in by_cause.items()
        ]
    return replace(result, notes=(*result.notes, *notes)) if notes else result


_LIKELY = (
    "The likely cause: all units of a layer on the way are off or saturated; "
    "cutaway look activity tells which."
)

_LISTED = 5
"""Numbers of images that a note lists."""


def _which(images: Sequence[int]) -> str:
    if len(images) == 1:
        return f"the map of image {images[0]} is"
    listed = ", ".join(map(str, images[:_LISTED])) + (", …" if len(images) > _LISTED else "")
    return f"the maps of {len(images)} images ({listed}) are"


def refuse_unfinite(subject: Subject, images: Tensor, values: Tensor, maps: Tensor) -> None:
    """Raise where targets or maps are no numbers.

    Raises:
        DataError: the message names the first image or parameter.
    """
    if not bool(values.isfinite().all() and maps.isfinite().all()):
        refuse_nan(subject, float_inputs(subject, images), {"the target": values, "the map": maps})

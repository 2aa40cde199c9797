"""Occlusion: how much a target falls when a window of the image is covered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import ceil

import torch
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.attribution import Attribution, as_images, chunks, with_zero_noted
from cutaway.look.backward.baseline import Baseline, baselines, part_of
from cutaway.look.backward.covering import Covering, Window, covering
from cutaway.look.backward.reading import AT_ONCE, Roots, readings, value
from cutaway.look.backward.target import Asked, as_targets
from cutaway.look.finite import refuse_nan
from cutaway.nets.subject import Subject
from cutaway.progress import tracked

ACROSS = 7
"""Windows to a side where nobody says their size."""

Sides = int | tuple[int, int]
"""Height and width; one number for both."""


def occlusion(
    subject: Subject,
    images: Tensor,
    targets: Asked | Sequence[Asked] | None = None,
    *,
    size: Sides | None = None,
    stride: Sides | None = None,
    baseline: Baseline = "black",
    seed: int = 0,
) -> Attribution:
    """How much a target falls when a window of the image is replaced by a baseline.

    For a place p of the image x, the mean over the windows w that cover it:

        map_p = Σ_{w ∋ p} (target(x) − target(x with w replaced)) / |{w ∋ p}|

    The first window lies at the top left; windows that reach over the edge are cut there, so that every
    place is covered. The map has one channel, ``(T, N, 1, H, W)``: a window covers all of them.

    Args:
        subject: any; no gradient is needed.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        targets: as for :func:`saliency`. The predicted class and the place of a unit's maximum are those
            of the image itself, whatever is covered.
        size: of a window, in places of the image; a seventh of each side when not given.
        stride: from a window to the next, no more than ``size``; ``size`` when not given.
        baseline: what covers: a name, or inputs.
        seed: of a random baseline.

    Raises:
        ConfigError: a window is larger than the image or empty, or the stride is not 1 to ``size``.
        CutawayError: the images do not fit, or there is no such class or layer.

    Source: Zeiler, Fergus, "Visualizing and understanding convolutional networks", 2013, section 4.2.
    """
    wanted = as_targets(subject, targets)
    subject.refuse_shape(images)
    start, maps, values = 0, [], []
    patched: Covering | None = None
    places = windows((images.shape[2], images.shape[3]), size, stride)
    with (
        readings(subject, wanted) as roots,
        tracked("occlusion", len(images) * len(places), "windows") as add,
    ):
        for inputs, chosen in chunks(subject, images, wanted):
            count = len(inputs)
            grounds = baselines(subject, part_of(images, start, count), part_of(baseline, start, count), seed)
            grounds = grounds.to(inputs).expand_as(inputs)
            found = roots(inputs)
            seeds = [target.seed(root) for target, root in zip(chosen, found, strict=True)]
            clean = _values(seeds, found)
            refuse_nan(subject, inputs, {"the target": clean})
            if not start and all(target.layer is None for target in wanted):
                patched = covering(subject, inputs, grounds, places)
            covered = _covered(
                subject, inputs, grounds, places, roots=roots, patched=patched, seeds=seeds, add=add
            )
            drops = clean[:, :, None] - covered
            refuse_nan(subject, inputs, {"the target with a covered window": drops})
            maps.append(spread(drops, places, (images.shape[2], images.shape[3])))
            values.append(clean)
            start += count
    return with_zero_noted(
        Attribution(
            images,
            torch.cat(maps, 1)[:, :, None].float(),
            torch.cat(values, 1).float(),
            tuple(map(str, wanted)),
            "occlusion",
            subject.name,
        )
    )


def windows(image: tuple[int, int], size: Sides | None = None, stride: Sides | None = None) -> list[Window]:
    """The windows over an image, row by row.

    Args:
        image: height and width.
        size: as for :func:`occlusion`.
        stride: likewise.

    Raises:
        ConfigError: as :func:`occlusion` does.
    """
    sizes = _sides(size) if size is not None else (ceil(image[0] / ACROSS), ceil(image[1] / ACROSS))
    strides = _sides(stride) if stride is not None else sizes
    for side, window, step in zip(image, sizes, strides, strict=True):
        if not 1 <= window <= side:
            raise ConfigError(
                f"size should be 1 to the image's {image[0]}×{image[1]}, not {sizes[0]}×{sizes[1]}."
            )
        if not 1 <= step <= window:
            raise ConfigError(
                f"stride should be 1 to the window's {sizes[0]}×{sizes[1]}, not {strides[0]}×{strides[1]}: "
                "a larger one leaves places uncovered."
            )
    rows, columns = (
        [
            slice(first, min(first + window, side))
            for first in range(0, step * ceil((side - window) / step) + 1, step)
        ]
        for side, window, step in zip(image, sizes, strides, strict=True)
    )
    return list(product(rows, columns))


def spread(drops: Tensor, places: Sequence[Window], image: tuple[int, int]) -> Tensor:
    """Windows' drops ``(T, n, W)`` as the mean over the windows that cover each place, ``(T, n, H, W)``."""
    # Windows are rows times columns, so that one mask for each is enough.
    within = []
    for side, length in enumerate(image):
        slices = dict.fromkeys((window[side].start, window[side].stop) for window in places)
        mask = torch.zeros(len(slices), length, dtype=drops.dtype)
        for number, (first, end) in enumerate(slices):
            mask[number, first:end] = 1
        within.append(mask)
    rows, columns = within
    table = drops.view(*drops.shape[:2], len(rows), len(columns))
    covered = rows.sum(0)[:, None] * columns.sum(0)
    return (rows.T @ table @ columns) / covered


def _covered(
    subject: Subject,
    inputs: Tensor,
    grounds: Tensor,
    places: Sequence[Window],
    *,
    roots: Roots,
    patched: Covering | None,
    seeds: Sequence[Tensor],
    add: Callable[[int], None],
) -> Tensor:
    """What each target comes to for each image with each window covered, ``(T, n, W)`` float64."""

    def read(logits: Tensor, images: Tensor) -> Tensor:
        return _values([seed[images] for seed in seeds], [logits] * len(seeds))

    values = patched.all(inputs, grounds, add, read) if patched else None
    if values is not None:
        return values.view(len(seeds), len(inputs), len(places))
    found = []
    # All windows of all images stand in one row, which is cut into passes.
    pairs = torch.cartesian_prod(torch.arange(len(inputs)), torch.arange(len(places)))
    for part in pairs.split(subject.batch or AT_ONCE):
        at = part[:, 0].to(inputs.device)
        changed = inputs[at]
        pictures, behind = as_images(subject, changed), as_images(subject, grounds)
        for row, (image, number) in enumerate(part.tolist()):
            rows, columns = places[number]
            pictures[row, :, rows, columns] = behind[image, :, rows, columns]
        found.append(_values([seed[at] for seed in seeds], roots(changed)))
        add(len(part))
    return torch.cat(found, 1).view(len(seeds), len(inputs), len(places))


def _values(seeds: Sequence[Tensor], roots: Sequence[Tensor]) -> Tensor:
    return torch.stack([value(seed, root) for seed, root in zip(seeds, roots, strict=True)]).cpu()


def _sides(given: Sides) -> tuple[int, int]:
    return (given, given) if isinstance(given, int) else given

"""RISE: the mean of random masks, each weighted by what the model says of the image behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from math import ceil
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.attribution import Attribution, as_images, chunks, with_zero_noted
from cutaway.look.backward.baseline import Baseline, baselines, part_of
from cutaway.look.backward.reading import AT_ONCE, readings, value
from cutaway.look.backward.target import Asked, Target, as_targets
from cutaway.look.finite import refuse_nan
from cutaway.nets.subject import Subject
from cutaway.progress import tracked

Of = Literal["probability", "logit"]
"""What masks are weighted by: the targets' softmax probabilities, or their logits."""


def rise(
    subject: Subject,
    images: Tensor,
    targets: Asked | Sequence[Asked] | None = None,
    *,
    samples: int = 2000,
    grid: int = 7,
    shown: float = 0.5,
    of: Of = "probability",
    baseline: Baseline = "black",
    seed: int = 0,
) -> Attribution:
    """What a target comes to on average when a place is seen, among random masks of the image.

        map_p = Σ_i target(b + M_i · (x − b)) · M_i,p / (samples · shown)

    A mask M is a grid of cells that are seen with probability ``shown``, enlarged bilinearly to
    ⌈H / grid⌉ · (grid + 1) rows, columns likewise, and cut out of that at a random place, so that its
    cells lie anywhere. The map has one channel, ``(T, N, 1, H, W)``, and no sign: a place that does not
    matter has the target's mean over all masks. ``values`` are those of the whole image.

    Args:
        subject: any; no gradient is needed.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        targets: as for :func:`saliency`; the predicted class is that of the whole image.
        samples: masks; the paper takes 4,000 to 8,000. The map's noise falls with their square root.
        grid: cells to a side.
        shown: the probability that a cell is seen, between 0 and 1.
        of: for targets made of classes; units of layers are taken as they are.
        baseline: b, what stands where the mask is 0; the paper's is an input of zeros.
        seed: of the masks, which are the same for every image.

    Raises:
        ConfigError: an argument is out of its range.
        CutawayError: the images do not fit, or there is no such class or layer.

    Source: Petsiuk, Das, Saenko, "RISE: randomized input sampling for explanation", 2018.
    """
    wanted = as_targets(subject, targets)
    subject.refuse_shape(images)
    size = (images.shape[2], images.shape[3])
    if samples < 1 or not 1 <= grid <= min(size) or not 0 < shown < 1:
        raise ConfigError(
            f"samples should be 1 or more, grid 1 to the image's shorter side ({min(size)}), and shown "
            f"between 0 and 1, not {samples}, {grid} and {shown}."
        )
    if of not in ("probability", "logit"):
        raise ConfigError(f'of should be probability or logit, not "{of}".')
    start, maps, values = 0, [], []
    with readings(subject, wanted) as roots, tracked("RISE", len(images) * samples, "masks") as add:
        for inputs, chosen in chunks(subject, images, wanted):
            count = len(inputs)
            pictures = as_images(subject, inputs)
            grounds = baselines(subject, part_of(images, start, count), part_of(baseline, start, count), seed)
            behind = as_images(subject, grounds.to(inputs).expand_as(inputs))
            found = roots(inputs)
            seeds = [target.seed(root) for target, root in zip(chosen, found, strict=True)]
            values.append(_values(subject, chosen, seeds, found, of))
            refuse_nan(subject, inputs, {"the target": values[-1]})
            total = torch.zeros(len(chosen), count, *size, dtype=torch.float64)
            for masks in _some(random_masks(size, samples, grid, shown, seed), subject.batch or AT_ONCE):
                seen = masks[:, None].to(inputs)
                for image in range(count):
                    mixed = behind[image] + seen * (pictures[image] - behind[image])
                    mixed = mixed if pictures is inputs else mixed.movedim(1, 3)
                    scores = _values(
                        subject, chosen, [one[image : image + 1] for one in seeds], roots(mixed), of
                    )  # (T, masks)
                    refuse_nan(subject, inputs, {"the target of a masked image": scores})
                    total[:, image] += torch.einsum("tm,mhw->thw", scores, masks.double())
                    add(len(masks))
            maps.append(total / (samples * shown))
            start += count
    return with_zero_noted(
        Attribution(
            images,
            torch.cat(maps, 1)[:, :, None].float(),
            torch.cat(values, 1).float(),
            tuple(map(str, wanted)),
            "RISE",
            subject.name,
        )
    )


def random_masks(
    image: tuple[int, int], samples: int, grid: int, shown: float, seed: int
) -> Iterator[Tensor]:
    """Masks of an image, each ``(H, W)`` float32 from 0 to 1, whose mean at every place is ``shown``.

    Args:
        image: height and width.
        samples: how many.
        grid: cells to a side.
        shown: the probability that a cell is 1.
        seed: of the cells and of the places where masks are cut out.
    """
    generator = torch.Generator().manual_seed(seed)
    cell = (ceil(image[0] / grid), ceil(image[1] / grid))
    enlarged = (cell[0] * (grid + 1), cell[1] * (grid + 1))
    for _ in range(samples):
        cells = (torch.rand(1, 1, grid, grid, generator=generator) < shown).float()
        top, left = (int(torch.randint(side, (), generator=generator)) for side in cell)
        mask = F.interpolate(cells, enlarged, mode="bilinear", align_corners=False)[0, 0]
        yield mask[top : top + image[0], left : left + image[1]]


def _some(masks: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """Masks ``(n, H, W)``, ``count`` at a time."""
    while part := list(islice(masks, count)):
        yield torch.stack(part)


def _values(
    subject: Subject, targets: Sequence[Target], seeds: Sequence[Tensor], roots: Sequence[Tensor], of: Of
) -> Tensor:
    """What targets come to, ``(T, n)`` float64 on the CPU."""
    found = []
    for target, seed, root in zip(targets, seeds, roots, strict=True):
        read = subject.softmax(root) if of == "probability" and target.layer is None else root
        found.append(value(seed, read))
    return torch.stack(found).cpu()

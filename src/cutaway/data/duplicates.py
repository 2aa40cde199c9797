"""Images that stand in two splits: what was learnt by heart is no test.

An image is looked for among all images of another split by its low frequencies, in one matrix product;
what comes near is compared pixel by pixel.

The low frequencies are those of a perceptual hash: C. Zauner, "Implementation and benchmarking of
perceptual image hash functions", 2010. How much of CIFAR-10's test split stands in its training
split: B. Barz, J. Denzler, "Do we train on test data? Purging CIFAR of near-duplicates", 2020.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.data.images import Images, Split
from cutaway.progress import tracked

LIKELY = 0.005
"""Up to this distance two images are the same picture: different digits of MNIST are 0.0085 apart."""

POSSIBLE, APART = 0.15, 0.15
"""Up to this distance they are, where it is at most this share of the distance to the farthest of the
neighbours. A thin "1" has many neighbours nearly as near as the nearest; a copy stands out. Of 1 000
images each of MNIST and CIFAR-10, all are found that were saved as JPEG at quality 80 or made
brighter, and 99.7 % of those scaled to 75 % and back; of MNIST's own test images, none."""

_SIDE = 32  # pixels that images are compared at: finer detail does not outlive JPEG or scaling
_SMALLEST = 8  # below this side, everything resembles everything
_LEAST_DETAIL = 3.0  # grey levels: what a plain image deviates by is noise
_GRID, _FREQUENCIES = 16, 8  # a thumbnail's side, and the lowest frequencies kept of it
_NEIGHBOURS = 8  # a split with up to seven copies of one image still has a neighbour that is none
_BYTES = 1 << 24  # pixels handled at once
_SCORES = 1 << 25  # similarities held at once
_WINDOWS = 1 << 24  # pixels of moved candidates held at once


@dataclass(frozen=True)
class Duplicate:
    """An image of a split that is also in another one.

    Args:
        splits: the names of both splits: the one that is learnt from more comes first.
        positions: where the image stands in each.
        labels: its class in each; they may disagree.
        exact: every byte is equal.
        distance: 1 − the correlation of the pixels, 0 to 2; 0 where exact.
    """

    splits: tuple[str, str]
    positions: tuple[int, int]
    labels: tuple[int, int]
    exact: bool
    distance: float


def find_duplicates(images: Images, near: bool = True) -> list[Duplicate]:
    """The images of validation and test splits that are in a split before them too.

    Each is named once for each split before its own: with the first image that is equal in every
    byte, or else with the nearest. The distance of two images is 1 − r, where r is the correlation of
    their pixels at up to 32×32, over all channels, without each channel's mean and slope; the best of
    nine positions one pixel around, with neither of the two or one of them blurred. Re-compressed,
    slightly scaled and brighter copies are found, most of those moved by a pixel too. Plain images
    are never near, and below 8 pixels only equality counts.

    Args:
        images: any number of splits; their pixels are taken a chunk at a time.
        near: look for images that are nearly equal too. The time grows with the product of the
            splits' sizes: seconds for 60 000 × 10 000.

    Returns:
        by pairs of splits; exact ones first, in the order of the later split, then the nearest first.
    """
    pairs = list(combinations(images.splits.items(), 2))
    total = sum(map(len, images.splits.values())) + sum(len(second) for _, (_, second) in pairs)
    found = []
    with tracked("Looking for duplicates", total, "images") as told:
        prints = {name: _fingerprint(split, near, told) for name, split in images.splits.items()}
        for (name, first), (other_name, second) in pairs:
            hashes, waves = zip(prints[name], prints[other_name], strict=True)
            rows = _exact(first, second, *hashes)
            left = torch.ones(len(second), dtype=torch.bool)
            left[[row[1] for row in rows]] = False
            told(len(rows))
            if near and min(first.shape[1:]) >= _SMALLEST:
                rows += _near(first, second, *waves, left, told=told)
            else:
                told(int(left.sum()))
            for one, other, distance, exact in rows:
                labels = int(first.labels[one]), int(second.labels[other])
                found.append(Duplicate((name, other_name), (one, other), labels, exact, distance))
    return found


Told = Callable[[int], None]
Row = tuple[int, int, float, bool]
"""Position in the first split and in the second, distance, exact."""


def _fingerprint(split: Split, near: bool, told: Told) -> tuple[Tensor, Tensor]:
    """A hash of every image, ``(N,)`` int64, and its low frequencies, ``(N, 63)``, of length 1."""
    hashes, frequencies = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, _FREQUENCIES**2 - 1)]
    for pixels, _ in split.chunks(max(1, _BYTES // max(1, math.prod(split.shape)))):
        hashes.append(_hash(pixels))
        if near:
            frequencies.append(_low_frequencies(pixels))
        told(len(pixels))
    return torch.cat(hashes), torch.cat(frequencies)


def _hash(pixels: Tensor) -> Tensor:
    """64 bits of each image's bytes: equal images have equal ones, others almost surely not."""
    flat = pixels.flatten(1)
    words = F.pad(flat, (0, -flat.shape[1] % 8)).view(torch.int64)
    generator = torch.Generator().manual_seed(0)
    mixed = words ^ torch.randint(-(2**63), 2**63 - 1, words.shape[1:], generator=generator)
    # A product passes changes upwards alone: without the shifts, words that differ in their upper bytes
    # would leave the lower half of the sum as it is.
    for odd in _ODD:
        mixed = (mixed ^ ((mixed >> 32) & 0xFFFFFFFF)) * odd
    return (mixed ^ ((mixed >> 32) & 0xFFFFFFFF)).sum(1)


_ODD = (-0x40A7B892E31B1A47, 0x61C8864680B583EB)  # any odd numbers with bits of both kinds all over


def _low_frequencies(pixels: Tensor) -> Tensor:
    """The lowest 8×8 cosines of a grey 16×16 thumbnail without the mean: ``(N, 63)``, of length 1."""
    grey = pixels.float().mean(1, keepdim=True)
    small = F.interpolate(grey, (_GRID, _GRID), mode="bilinear", antialias=True, align_corners=False)
    places = (torch.arange(_GRID) + 0.5) * math.pi / _GRID
    waves = torch.cos(torch.arange(_FREQUENCIES)[:, None] * places)
    waves[0] *= math.sqrt(0.5)
    return F.normalize((waves @ small[:, 0] @ waves.T).flatten(1)[:, 1:], dim=1)


def _exact(first: Split, second: Split, hashes: Tensor, others: Tensor) -> list[Row]:
    """The images of the second split with the first one of the first split that equals each."""
    if not len(hashes):
        return []
    ordered, order = hashes.sort(stable=True)
    place = torch.searchsorted(ordered, others).clamp(max=len(ordered) - 1)
    mine = (ordered[place] == others).nonzero().flatten()
    theirs = order[place[mine]]
    size = max(1, _BYTES // max(1, math.prod(first.shape)))
    same = [
        (first.batch(a) == second.batch(b)).flatten(1).all(1)
        for a, b in zip(theirs.split(size), mine.split(size), strict=True)
    ]
    sure = torch.cat(same) if same else torch.empty(0, dtype=torch.bool)
    pairs = zip(theirs[sure].tolist(), mine[sure].tolist(), strict=True)
    return [(one, other, 0.0, True) for one, other in pairs]


def _near(
    first: Split, second: Split, waves: Tensor, others: Tensor, left: Tensor, *, told: Told
) -> list[Row]:
    """The images of the second split among those ``left`` that have a near one in the first."""
    mine = left.nonzero().flatten()
    count = min(_NEIGHBOURS, len(first))
    if not count:
        return []
    candidates = torch.empty(0, count, dtype=torch.int64)
    kept = torch.empty(0, dtype=torch.int64)
    for part in mine.split(max(1, _SCORES // len(first))):
        nearness, places = (others[part] @ waves.T).topk(count, dim=1)
        # Only what stands out among its neighbours can be a copy, or what is very near: for most
        # images nothing is, and the pixels need not be compared.
        aside = 1 - nearness
        worth = (aside[:, 0] <= _FAR) & ((aside[:, 0] <= _VERY_NEAR) | (aside[:, 0] <= aside[:, -1] / 2))
        kept, candidates = torch.cat((kept, part[worth])), torch.cat((candidates, places[worth]))
        told(int((~worth).sum()))
    rows: list[Row] = []
    # Three versions in nine places of images at their size of comparison, which are read at their own.
    each = max(27 * first.shape[0] * _SIDE**2, math.prod(first.shape))
    size = max(1, _WINDOWS // (count * each))
    for images, places in zip(kept.split(size), candidates.split(size), strict=True):
        pixels = first.batch(places.flatten()).unflatten(0, places.shape)
        distances = _distances(second.batch(images), pixels)
        told(len(images))
        nearest, column = distances.min(1)
        apart = APART * distances.max(1).values
        same = (nearest <= LIKELY) | ((nearest <= POSSIBLE) & (nearest <= apart))
        ones = places.gather(1, column[:, None])[:, 0]
        rows += [
            (one, other, max(0.0, distance), False)
            for one, other, distance in zip(
                ones[same].tolist(), images[same].tolist(), nearest[same].tolist(), strict=True
            )
        ]
    return sorted(rows, key=lambda row: (row[2], row[1]))


_FAR, _VERY_NEAR = 0.2, 0.002
"""Bounds of 1 − the product of low frequencies. Copies of CIFAR-10's images that are moved by a pixel
stay below 0.12 in 99.9 %, copies of MNIST's saved as JPEG or made brighter below 0.001."""


def _distances(pixels: Tensor, candidates: Tensor) -> Tensor:
    """1 − r of images ``(M, C, H, W)`` and the candidates ``(M, K, C, H, W)`` of each: ``(M, K)``."""
    one, other = _small(pixels)[:, None], _small(candidates.flatten(0, 1)).unflatten(0, candidates.shape[:2])
    # A scaled copy is blurred and nothing else: blurring the sharper of the two makes them equal, and
    # brings different images no nearer, as blurring both would. All at once: where others keep the
    # cores busy, a hundred small steps wait a hundred times.
    ones, others = torch.cat((one, _blur(one), one)), torch.cat((other, other, _blur(other)))
    best: Tensor = _correlation(ones[:, 0], others).unflatten(0, (3, len(pixels))).amax(0)
    return 1 - best


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    """The best correlation with a pixel's move, ``(M, K)``; −1 where one is plain.

    Args:
        one: ``(M, C, h, w)``.
        other: ``(M, K, C, h, w)``; it is moved.
    """
    height, width = (side - 2 for side in one.shape[-2:])
    slopes = _slopes(height, width)
    base = one[..., 1:-1, 1:-1].flatten(2)
    detail = base - (base @ slopes) @ slopes.T
    power = detail.square().sum((1, 2))[:, None, None]
    windows = other.unfold(3, height, 1).unfold(4, width, 1).movedim(2, 4)  # (M, K, 3, 3, C, h-2, w-2)
    moved = windows.flatten(5).flatten(2, 3)
    # The detail has no mean and slope, so the other's vanish in the product by themselves.
    product = torch.einsum("mcp,mkscp->mks", detail, moved)
    rest = torch.linalg.vector_norm(moved, dim=(3, 4)) ** 2 - (moved @ slopes).square().sum((3, 4))
    least = _LEAST_DETAIL**2 * math.prod(detail.shape[1:])
    found = product / (power * rest).clamp(min=1).sqrt()
    return torch.where((power > least) & (rest > least), found, -1.0).amax(2)


def _slopes(height: int, width: int) -> Tensor:
    """An orthonormal basis of the images that are a constant and a slope: ``(h·w, 3)``."""
    rows = torch.arange(height, dtype=torch.float32) - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float32) - (width - 1) / 2
    one = torch.ones(height, width)
    basis = torch.stack((one, one * rows[:, None], one * columns))
    return F.normalize(basis.flatten(1), dim=1).T


def _small(pixels: Tensor) -> Tensor:
    """Images at up to 32×32: ``(N, C, h, w)`` float32 around 0."""
    sides = [min(_SIDE, side) for side in pixels.shape[-2:]]
    values = pixels.float() - 127.5
    if sides == list(pixels.shape[-2:]):
        return values
    return F.interpolate(values, sides, mode="bilinear", antialias=True, align_corners=False)


def _blur(pixels: Tensor) -> Tensor:
    """The weights 1, 2, 1 over rows and columns; the edge is repeated."""
    padded = F.pad(pixels.flatten(0, 1), (1, 1, 1, 1), mode="replicate")
    rows = (padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]) / 4
    blurred: Tensor = (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4
    return blurred.reshape(pixels.shape)

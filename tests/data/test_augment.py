"""Augmentation: what was drawn is found again in the images, by trying all that may be drawn."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from cutaway.config import AugmentConfig, Fill
from cutaway.data import Augment, Split, Varied
from cutaway.data.augment.jitter import clutter

Array = NDArray[Any]

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
BORDERS: dict[str, Any] = {"reflect": {"mode": "symmetric"}, "edge": {"mode": "edge"}, "mean": {}}
EACH: dict[str, dict[str, Any]] = {
    "jitter": {"jitter": 3, "clutter": 2},
    "shift": {"shift": 2},
    "shift, mean": {"shift": 2, "fill": "mean"},
    "flip": {"flip": True},
    "flip_vertical": {"flip_vertical": True},
    "rotate": {"rotate": 40.0},
    "scale": {"scale": 0.3, "fill": "edge"},
    "crop": {"crop": 0.4},
    "cutout": {"cutout": 3},
    "mixup": {"mixup": 1.0},
}
ALL: dict[str, Any] = {key: value for fields in EACH.values() for key, value in fields.items()}


def _images(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def _split(pixels: Tensor) -> Split:
    return Split(pixels, torch.zeros(len(pixels), dtype=torch.int64), torch.arange(len(pixels)))


def _vary(pixels: Tensor, seed: int = 0, **fields: Any) -> Varied:
    """The batch varied as ``fields`` say, its own means being those of the training split."""
    augment = Augment.fit(AugmentConfig.model_validate(fields), _split(pixels.cpu()))
    return augment(pixels, torch.arange(len(pixels), device=pixels.device), seed)


def _means(pixels: Tensor) -> Array:
    means: Array = pixels.numpy().mean((0, 2, 3)).round().astype(np.uint8)
    return means


def _even(counts: Counter[Any], kinds: int, total: int) -> None:
    """Each of so many kinds came about equally often: within five standard deviations."""
    share = 1 / kinds
    assert len(counts) == kinds
    for count in counts.values():
        assert abs(count - total * share) < 5 * (total * share * (1 - share)) ** 0.5


def _shifted(images: Array, down: int, right: int, fill: str, means: Array) -> Array:
    """Images ``(N, C, H, W)`` on wide borders, and the window of them that a shift shows."""
    _, _, height, width = images.shape
    tall, wide = abs(down), abs(right)
    widths = ((0, 0), (0, 0), (tall, tall), (wide, wide))
    bordered = np.pad(images, widths, **BORDERS[fill])
    if fill == "mean":
        inside = np.pad(np.ones_like(images), widths)
        bordered = np.where(inside, bordered, means[:, None, None])
    return bordered[:, :, tall - down : tall - down + height, wide - right : wide - right + width]


@pytest.mark.parametrize("fill", BORDERS)
@pytest.mark.parametrize(("channels", "flips"), [(1, ()), (3, ("flip",)), (1, ("flip", "flip_vertical"))])
def test_every_shift_and_flip_comes_as_often_as_any_other(
    fill: str, channels: int, flips: tuple[str, ...]
) -> None:
    pixels = _images(900, channels, 5, 4)
    found = _vary(pixels, fill=fill, shift=1, **dict.fromkeys(flips, True)).pixels.numpy()
    fits = []
    for down, right in itertools.product((-1, 0, 1), (-1, 0, 1)):
        shifted = _shifted(pixels.numpy(), down, right, fill, _means(pixels))
        wanted = [shifted]
        if "flip" in flips:
            wanted += [images[:, :, :, ::-1] for images in wanted]
        if "flip_vertical" in flips:
            wanted += [images[:, :, ::-1] for images in wanted]
        fits += [(images == found).all((1, 2, 3)) for images in wanted]
    assert (np.sum(fits, 0) == 1).all()
    _even(Counter(np.argmax(fits, 0).tolist()), len(fits), len(pixels))


def test_every_other_image_is_flipped_either_way() -> None:
    pixels = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).expand(4000, 1, 2, 2)
    found = _vary(pixels, flip=True, flip_vertical=True).pixels
    _even(Counter(found[:, 0, 0, 0].tolist()), 4, 4000)
    assert _vary(pixels, flip=True).pixels[:, 0, 0, 0].unique().tolist() == [1, 2]
    assert _vary(pixels, flip_vertical=True).pixels[:, 0, 0, 0].unique().tolist() == [1, 3]


@pytest.mark.parametrize("fill", BORDERS)
@pytest.mark.parametrize("shape", [(3, 2), (1, 1), (1, 5)])
def test_a_shift_may_be_larger_than_the_image(fill: str, shape: tuple[int, int]) -> None:
    pixels = _images(200, 1, *shape)
    found = _vary(pixels, fill=fill, shift=9).pixels.numpy()
    fits = [
        (_shifted(pixels.numpy(), down, right, fill, _means(pixels)) == found).all((1, 2, 3))
        for down, right in itertools.product(range(-9, 10), range(-9, 10))
    ]
    assert np.any(fits, 0).all()


@pytest.mark.parametrize("size", [(5, 4), (6, 9)])
def test_a_jittered_image_stands_whole_among_others(size: tuple[int, int]) -> None:
    """Images of one value each, so that every pixel tells whose it is."""
    height, width = size
    pixels = torch.arange(250, dtype=torch.uint8)
    pixels = pixels.view(-1, 1, 1, 1).expand(-1, 3, *size)
    counts: Counter[tuple[int, int]] = Counter()
    whose: Counter[int] = Counter()
    for seed in range(8):
        found = _vary(pixels, seed, jitter=2, clutter=2).pixels.numpy()
        assert (found == found[:, :1]).all()
        for number, result in enumerate(found[:, 0].astype(int)):
            rows, columns = np.nonzero(result == number)
            top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
            assert len(rows) == (bottom - top + 1) * (right - left + 1)
            # The side that it is away from tells the shift; it reaches the other one.
            down = int(top - (height - 1 - bottom))
            across = int(left - (width - 1 - right))
            assert min(top, height - 1 - bottom) == min(left, width - 1 - right) == 0
            counts[down, across] += 1
            whose.update(((result - number) % 250)[result != number].tolist())
    _even(counts, 25, 8 * 250)
    assert set(whose) == set(range(1, 250))  # not one of the others is left out, nor preferred
    assert max(whose.values()) < 3 * sum(whose.values()) / 249


def test_a_jittered_image_is_its_own_pixels() -> None:
    pixels = _images(300, 2, 7, 6)
    found = _vary(pixels, jitter=3, clutter=4).pixels.numpy()
    fits = []
    for down, right in itertools.product(range(-3, 4), range(-3, 4)):
        seen = found[:, :, max(down, 0) : 7 + down, max(right, 0) : 6 + right]
        own = pixels.numpy()[:, :, max(-down, 0) : 7 - down, max(-right, 0) : 6 - right]
        fits.append((seen == own).all((1, 2, 3)))
    assert (np.sum(fits, 0) == 1).all()


@pytest.mark.parametrize(
    ("size", "side"), [((8, 8), 3), ((7, 10), 3), ((5, 9), 7), ((6, 4), 1), ((4, 6), 99)]
)
def test_clutter_is_a_grid_of_patches(size: tuple[int, int], side: int) -> None:
    """Every pixel says which image, row and column it is from; one grid explains them all."""
    height, width = size
    tall, wide = min(side, height), min(side, width)
    rows, columns = (torch.arange(length) for length in size)
    places = torch.stack(torch.broadcast_tensors(rows[:, None], columns)).expand(80, 2, *size)
    images = torch.arange(80).view(-1, 1, 1, 1).expand(80, 1, *size)
    pixels = torch.cat((images, places), 1).to(torch.uint8)
    found = clutter(pixels, side, torch.Generator().manual_seed(0)).numpy().astype(int)
    phases: Counter[tuple[int, int]] = Counter()
    tops, lefts, varied = set(), set(), []
    for number, (image, row, column) in enumerate(found):
        assert (image != number).all()
        # Where each pixel's image would have its corner: the same all over a patch.
        corner = np.stack((image, row - np.arange(height)[:, None], column - np.arange(width)), -1)
        for down, right in itertools.product(range(tall), range(wide)):
            cells: dict[tuple[int, int], set[tuple[int, ...]]] = {}
            for y, x in itertools.product(range(height), range(width)):
                cell = (y + down) // tall, (x + right) // wide
                cells.setdefault(cell, set()).add(tuple(corner[y, x].tolist()))
            if all(len(corners) == 1 for corners in cells.values()):
                break
        else:
            pytest.fail("no grid explains it")
        phases[down, right] += 1
        # Where each patch was cut out of its image.
        cuts = [
            (dy + y * tall - down, dx + x * wide - right)
            for (y, x), corners in cells.items()
            for _, dy, dx in corners
        ]
        tops |= {top for top, _ in cuts}
        lefts |= {left for _, left in cuts}
        varied.append([len(set(places)) > 1 for places in zip(*cuts, strict=True)])
    assert len(phases) > 0.8 * min(tall * wide, 40)
    # Patches come from all over the images, and one image's from several places.
    assert (tops, lefts) == (set(range(height - tall + 1)), set(range(width - wide + 1)))
    assert (np.mean(varied, 0) > 0.5).tolist() == [height > tall, width > wide]


def test_an_image_alone_is_its_own_clutter() -> None:
    pixels = torch.full((1, 3, 6, 6), 9, dtype=torch.uint8)
    assert torch.equal(_vary(pixels, jitter=4, clutter=2).pixels, pixels)


@pytest.mark.parametrize("side", [1, 2, 3, 6, 40])
def test_cutout_covers_one_square_centred_anywhere(side: int) -> None:
    # No pixel has the mean by itself, and each channel has another.
    pixels = _images(1800, 3, 5, 6) // torch.tensor([1, 2, 4], dtype=torch.uint8).view(3, 1, 1)
    pixels[pixels == torch.from_numpy(_means(pixels)).view(3, 1, 1)] += 1
    means = _means(pixels)
    found = _vary(pixels, cutout=side).pixels.numpy()
    fits = []
    for y, x in itertools.product(range(5), range(6)):
        mask = np.zeros((5, 6), bool)
        for row, column in itertools.product(range(5), range(6)):
            # So many pixels, half of them before the middle; an even number has one more there.
            mask[row, column] = all(-(side // 2) <= d <= (side - 1) // 2 for d in (row - y, column - x))
        fits.append((np.where(mask, means[:, None, None], pixels.numpy()) == found).all((1, 2, 3)))
    assert np.any(fits, 0).all()
    if side < 6:  # larger squares cover the same from several middles
        assert (np.sum(fits, 0) == 1).all()
        _even(Counter(np.argmax(fits, 0).tolist()), 30, len(pixels))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", [*EACH, "all"])
def test_the_seed_decides_alone(kind: str, device: str) -> None:
    pixels = _images(12, 3, 9, 7).to(device)
    fields = EACH.get(kind, ALL)
    before = pixels.clone()
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    first = _vary(pixels, 1, **fields)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(7)
    again, other = _vary(pixels.clone(), 1, **fields), _vary(pixels, 2, **fields)
    assert torch.equal(pixels, before)
    assert first.pixels.device == pixels.device
    assert first.pixels.dtype == torch.uint8
    assert torch.equal(first.pixels, again.pixels)
    assert not torch.equal(first.pixels, pixels)
    assert not torch.equal(first.pixels, other.pixels)
    assert torch.equal(first.labels, torch.arange(12, device=device))
    assert (first.others is None) == (first.share is None) == (kind not in {"mixup", "all"})
    if first.others is not None and again.others is not None:
        assert torch.equal(first.others, again.others)


def test_the_number_of_threads_changes_nothing() -> None:
    pixels, threads = _images(200, 3, 33, 31), torch.get_num_threads()
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        found.append(_vary(pixels, **ALL).pixels)
    torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_all_together_are_one_after_the_other() -> None:
    """In their order, each with the numbers that it draws when it is alone."""
    pixels = _images(20, 3, 12, 10)
    config = AugmentConfig.model_validate({**ALL, "fill": "mean"})
    means = (10, 120, 240)
    labels = torch.arange(20)
    whole = Augment(config, means)(pixels, labels, 4)
    at_once = {"shift", "flip", "flip_vertical", "rotate", "scale", "crop", "fill"}
    step = Varied(pixels, labels)
    for names in ({"jitter", "clutter"}, at_once, {"cutout"}, {"mixup"}):
        part = AugmentConfig.model_validate(config.model_dump(include=names))
        step = Augment(part, means)(step.pixels, labels, 4)
    assert torch.equal(whole.pixels, step.pixels)
    assert whole.share is not None
    assert step.share is not None
    assert torch.equal(whole.share, step.share)


def test_jitter_and_shift_are_drawn_apart() -> None:
    """From one stream they would be equal, and every image moved by an even number of pixels."""
    pixels = torch.zeros(8, 1, 11, 11, dtype=torch.uint8)
    pixels[0, 0, 5, 5] = 255
    augment = Augment(AugmentConfig(jitter=2, shift=2, fill=Fill.EDGE))
    found = [augment(pixels, torch.arange(8), seed).pixels[0, 0].nonzero() - 5 for seed in range(40)]
    assert {tuple(place.shape) for place in found} == {(1, 2)}
    assert {value % 2 for place in found for value in place.flatten().tolist()} == {0, 1}


def test_a_shift_is_the_same_with_a_flip_besides() -> None:
    pixels = _images(20, 1, 6, 6)
    both = _vary(pixels, shift=2, flip=True, flip_vertical=True).pixels
    shifted = _vary(pixels, shift=2).pixels
    assert torch.equal(both, _vary(shifted, flip=True, flip_vertical=True).pixels)


def test_an_idle_section_gives_back_the_same_tensors() -> None:
    pixels, labels = _images(3, 1, 4, 4), torch.arange(3)
    found = Augment.fit(AugmentConfig(), _split(pixels))(pixels, labels, 0)
    assert found.pixels is pixels
    assert found.labels is labels
    assert found.others is found.share is None


@pytest.mark.parametrize(
    ("fields", "used"),
    [
        ({"cutout": 2}, True),
        ({"shift": 1, "fill": "mean"}, True),
        ({"rotate": 1, "fill": "mean"}, True),
        ({"scale": 0.1, "fill": "mean"}, True),
        ({"crop": 0.5, "flip": True, "fill": "mean"}, False),
        ({"shift": 1, "jitter": 1, "mixup": 1}, False),
    ],
)
def test_means_are_taken_where_they_are_used(fields: dict[str, Any], used: bool) -> None:
    pixels = _images(7, 3, 5, 5)
    means = tuple(pixels.numpy().mean((0, 2, 3)).round().astype(int).tolist())
    assert Augment.fit(AugmentConfig.model_validate(fields), _split(pixels)).means == (means if used else ())


@pytest.mark.parametrize("layout", ["sliced", "turned", "channels last"])
@pytest.mark.parametrize("kind", EACH)
def test_pixels_in_any_layout(kind: str, layout: str) -> None:
    pixels = {
        "sliced": _images(18, 3, 9, 14)[::2, :, 1:, ::2],
        "turned": _images(9, 3, 8, 7).transpose(2, 3),
        "channels last": _images(9, 3, 8, 7).contiguous(memory_format=torch.channels_last),
    }[layout]
    assert not pixels.is_contiguous()
    plain = pixels.contiguous(memory_format=torch.contiguous_format)
    assert torch.equal(_vary(pixels, **EACH[kind]).pixels, _vary(plain, **EACH[kind]).pixels)


SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "jitter": st.integers(0, 30),
        "clutter": st.integers(1, 30),
        "shift": st.integers(0, 30),
        "flip": st.booleans(),
        "flip_vertical": st.booleans(),
        "rotate": st.floats(0, 180),
        "scale": st.floats(0, 0.99),
        "crop": st.floats(0.01, 1),
        "cutout": st.integers(0, 30),
        "mixup": st.floats(0, 100),
        "fill": st.sampled_from(["reflect", "edge", "mean"]),
    },
)


@settings(deadline=None, max_examples=120)
@given(
    SECTIONS,
    st.tuples(st.integers(1, 5), st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 2**63 - 1),
)
def test_any_section_varies_any_batch(
    fields: dict[str, Any], shape: tuple[int, int, int, int], seed: int
) -> None:
    """Images of one grey stay so, whatever is done; others stay between their darkest and brightest."""
    grey = torch.full(shape, 77, dtype=torch.uint8)
    assert torch.equal(_vary(grey, seed, **fields).pixels, grey)
    pixels = _images(*shape) // 4 + 50
    found = _vary(pixels, seed, **fields)
    assert found.pixels.shape == shape
    assert int(pixels.min()) <= int(found.pixels.min()) <= int(found.pixels.max()) <= int(pixels.max())
    assert torch.equal(found.pixels, _vary(pixels, seed, **fields).pixels)

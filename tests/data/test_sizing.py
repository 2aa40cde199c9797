"""Batches brought to other sides, channels and borders, against loops over single pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cutaway.config import DataConfig, Fit
from cutaway.data import Images, Split, divide
from cutaway.data import sizing as room
from cutaway.data.images import make_split
from cutaway.data.sizing import border, bring, recolour, resize
from cutaway.pictures.decode import _fitted as fitted_file


def noise(count: int, channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, height, width), generator=random).to(torch.uint8)


def weights(old: int, new: int) -> list[list[float]]:
    """What each new pixel takes of each old one: a triangle as wide as the reduction, its area 1."""
    step = old / new
    reach = max(step, 1.0)
    rows = []
    for at in range(new):
        row = [max(0.0, 1 - abs(place + 0.5 - (at + 0.5) * step) / reach) for place in range(old)]
        rows.append([value / sum(row) for value in row])
    return rows


def scaled(channel: list[list[int]], height: int, width: int) -> list[list[float]]:
    """One channel at other sides, every new pixel by its double sum."""
    down, across = weights(len(channel), height), weights(len(channel[0]), width)
    return [
        [
            sum(
                u * v * value
                for u, line in zip(row, channel, strict=True)
                if u
                for v, value in zip(column, line, strict=True)
            )
            for column in across
        ]
        for row in down
    ]


def middle(channel: list[list[float]]) -> float:
    """The lower middle of the values on the four sides."""
    inner = [value for line in channel[1:-1] for value in (line[0], line[-1])]
    outer = sorted([*channel[0], *channel[-1], *inner])
    return outer[(len(outer) - 1) // 2]


def fitted(channel: list[list[int]], sides: tuple[int, int], fit: Fit) -> list[list[float]]:
    height, width = len(channel), len(channel[0])
    if fit is Fit.STRETCH:
        return scaled(channel, *sides)
    down, across = sides[0] / height, sides[1] / width
    scale = max(down, across) if fit is Fit.CROP else min(down, across)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    whole = scaled(channel, *size)
    top, left = abs(size[0] - sides[0]) // 2, abs(size[1] - sides[1]) // 2
    if fit is Fit.CROP:
        return [line[left : left + sides[1]] for line in whole[top : top + sides[0]]]
    frame = [[middle(whole)] * sides[1] for _ in range(sides[0])]
    for y, line in enumerate(whole):
        frame[top + y][left : left + size[1]] = line
    return frame


SIZES = [(12, 18), (19, 7), (8, 8), (5, 4), (3, 11), (1, 9), (9, 1)]


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sides", [(8, 8), (5, 11)])
def test_sizes_are_the_slow_reference_s(size: tuple[int, int], sides: tuple[int, int], fit: Fit) -> None:
    pixels = noise(2, 3, *size)
    found = resize(pixels, sides, fit)
    assert found.shape == (2, 3, *sides)
    assert found.dtype == torch.uint8
    wanted = [[fitted(channel, sides, fit) for channel in image] for image in pixels.tolist()]
    # The ground is taken of rounded values, which may lie in another order than those of the reference.
    torch.testing.assert_close(found.double(), torch.tensor(wanted, dtype=torch.float64), atol=0.501, rtol=0)


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize("size", SIZES)
def test_a_picture_of_a_person_is_fitted_as_a_file_of_the_dataset(size: tuple[int, int], fit: Fit) -> None:
    """Two implementations, Pillow's and PyTorch's, of one geometry."""
    for sides in ((8, 8), (5, 11)):
        pixels = noise(1, 3, *size, seed=4)
        file = fitted_file(Image.fromarray(pixels[0].permute(1, 2, 0).numpy()), sides, fit)
        found = resize(pixels, sides, fit)[0].permute(1, 2, 0)
        np.testing.assert_allclose(found.numpy().astype(int), np.asarray(file, int), atol=1)


@pytest.mark.parametrize("fit", Fit)
def test_images_of_the_right_size_are_left_alone(fit: Fit) -> None:
    pixels = noise(2, 1, 6, 7)
    assert resize(pixels, (6, 7), fit) is pixels
    assert border(pixels, 0) is pixels
    assert recolour(pixels, 1) is pixels


@pytest.mark.parametrize("size", [(4, 5), (1, 1), (1, 6), (2, 2)])
def test_a_border_has_each_image_s_own_ground(size: tuple[int, int]) -> None:
    pixels = noise(3, 3, *size)
    found = border(pixels, 2).tolist()
    for image, framed in zip(pixels.tolist(), found, strict=True):
        for channel, frame in zip(image, framed, strict=True):
            wanted = [[middle(channel)] * (size[1] + 4) for _ in range(size[0] + 4)]
            for y, line in enumerate(channel):
                wanted[y + 2][2:-2] = line
            assert frame == wanted


def test_a_border_of_two_makes_digits_of_28_pixels_32() -> None:
    digits = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    digits[:, :, 9:19, 9:19] = 200
    found = border(digits, 2)
    assert found.shape == (2, 1, 32, 32)
    assert int(found.long().sum()) == 2 * 100 * 200


def test_grey_is_the_brightness_and_colour_of_grey_has_equal_channels() -> None:
    pixels = noise(4, 3, 5, 6)
    for image, grey in zip(pixels.tolist(), recolour(pixels, 1).tolist(), strict=True):
        for y in range(5):
            for x in range(6):
                red, green, blue = (image[c][y][x] for c in range(3))
                assert abs(grey[0][y][x] - (0.299 * red + 0.587 * green + 0.114 * blue)) <= 0.501
    white = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    assert recolour(white, 1).item() == 255
    grey = noise(2, 1, 3, 3)
    assert recolour(grey, 3).tolist() == [[image[0]] * 3 for image in grey.tolist()]


# Whole datasets.


def dataset(count: int = 20, channels: int = 3) -> Images:
    pixels = noise(count, channels, 6, 8)
    labels = torch.arange(count) % 2
    test = make_split(noise(4, channels, 6, 8, seed=1), labels[:4], 2, "here")
    skipped = (("a.png", "it is no image"),)
    return Images(("a", "b"), {"train": make_split(pixels, labels, 2, "here"), "test": test}, skipped)


def test_a_dataset_comes_to_its_size_channels_and_border() -> None:
    images = dataset()
    config = DataConfig(size="4x6", channels=1, pad=1, fit=Fit.PAD)
    found = bring(images, config)
    assert found.shape == (1, 6, 8)
    assert (found.classes, found.skipped) == (images.classes, images.skipped)
    for name, split in images.splits.items():
        for at in range(len(split)):
            alone = border(resize(recolour(split.pixels[at : at + 1], 1), (4, 6), Fit.PAD), 1)
            assert torch.equal(found.split(name).pixels[at], alone[0])
        assert torch.equal(found.split(name).labels, split.labels)


def test_a_dataset_that_is_as_asked_for_is_not_copied() -> None:
    images = dataset()
    for config in (DataConfig(), DataConfig(size="6x8", channels=3)):
        for name, split in bring(images, config).splits.items():
            assert split.store is images.split(name).store
    grey = dataset(channels=1)
    assert bring(grey, DataConfig(channels=1)).split("train").store is grey.split("train").store


def test_splits_of_one_store_share_one_afterwards() -> None:
    images = divide(Images(("a", "b"), {"train": dataset().split("train")}), DataConfig(validation=5, test=4))
    found = bring(images, DataConfig(size="3x3"))
    stores = {id(split.store) for split in found.splits.values()}
    assert len(stores) == 1
    wanted = resize(images.split("train").store, (3, 3), Fit.CROP)
    for name, split in images.splits.items():
        assert torch.equal(found.split(name).index, split.index)
        assert torch.equal(found.split(name).pixels, wanted[split.index])


@pytest.mark.parametrize("size", [1, 100, 300, 1 << 20])
def test_pieces_of_any_size_give_the_same(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(size="5x5", pad=1)
    whole = bring(dataset(), config)
    monkeypatch.setattr(room, "_CHUNK", size)
    pieces = bring(dataset(), config)
    for name, split in whole.splits.items():
        assert torch.equal(pieces.split(name).pixels, split.pixels)


def test_names_stay_with_their_images() -> None:
    train = dataset().split("train")
    named = Split(train.store, train.labels, train.index, [f"{n}.png" for n in range(20)])
    found = bring(Images(("a", "b"), {"train": named.take(torch.tensor([3, 1]))}), DataConfig(size="3x3"))
    assert [found.split("train").name(at) for at in (0, 1)] == ["3.png", "1.png"]

"""Sheets of images, by the pixels that must be on them."""

from __future__ import annotations

import io
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import cutaway
from cutaway.data import Images, Split, gaussian_pyramid
from cutaway.data.examples import EXAMPLES, MOST_CLASSES, choose_examples, evenly
from cutaway.data.images import make_split
from cutaway.draw.sheet import Pyramid

Array = NDArray[np.uint8]


def shown(axes: Axes) -> Array:
    """The picture of some axes as ``(H, W, C)``, and proof that it is drawn pixel by pixel."""
    picture = axes.images[0]
    array = np.asarray(picture.get_array())
    box = axes.get_window_extent()
    assert (box.height, box.width) == pytest.approx(array.shape[:2])
    # As colours: grey levels are absolute, and a dark image is not stretched to white.
    assert array.dtype == np.uint8
    assert array.shape[2:] == (3,)
    return array


def saved(figure: Figure, kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind)
    return buffer.getvalue()


def numbered(count: int, shape: tuple[int, int, int], labels: Tensor, classes: int) -> Split:
    """Images whose grey is their number."""
    pixels = torch.arange(count).to(torch.uint8).view(-1, 1, 1, 1).expand(count, *shape).contiguous()
    return make_split(pixels, labels, classes, "numbered")


def numbers(axes: Axes, rows: int, tile: tuple[int, int], gap: int = 4) -> list[list[int]]:
    """The grey of every example of a block, row by row; its tile must be of that grey all over."""
    array, found = shown(axes), []
    step = len(array) // rows
    for row in range(rows):
        line = []
        for column in range(EXAMPLES):
            left = column * (tile[1] + gap)
            part = array[row * step : row * step + tile[0], left : left + tile[1]]
            assert part.shape[:2] == tile
            assert np.ptp(part) == 0
            if part.flat[0] != 255:
                line.append(int(part.flat[0]))
        found.append(line)
    return found


def names(figure: Figure) -> list[str]:
    """The texts beside the first block, from the top."""
    texts = sorted(figure.axes[0].texts, key=lambda text: text.get_position()[1])
    return [text.get_text() for text in texts]


def test_a_block_for_each_split_a_row_for_each_class_and_examples_evenly_over_all() -> None:
    labels = torch.tensor([0, 1] * 50 + [1] * 9)
    train = numbered(109, (1, 3, 3), labels, 2)
    images = Images(("no", "yes"), {"train": train, "test": train.take(torch.tensor([0, 1, 3]))})
    figure = cutaway.plot(images)
    assert names(figure) == ["no", "yes"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["train: 109 images", "test: 3 images"]
    no, yes = numbers(figure.axes[0], 2, (96, 96))
    assert no == [2 * k for k in (0, 5, 11, 16, 22, 27, 33, 38, 44, 49)]
    assert yes[0] == 1
    assert yes[-1] == 108
    assert len(set(yes)) == EXAMPLES
    assert numbers(figure.axes[1], 2, (96, 96)) == [[0], [1, 3]]


def test_classes_may_stand_side_by_side_with_fewer_examples() -> None:
    labels = torch.arange(40) % 5
    images = Images(tuple("abcde"), {"train": numbered(40, (1, 48, 48), labels, 5)})
    figure = cutaway.plot(choose_examples(images, 2), columns=2)
    left, right = figure.axes
    assert [text.get_text() for text in left.texts] == ["a", "b", "c"]
    assert [text.get_text() for text in right.texts] == ["d", "e"]
    for axes, grey in ((left, [[0, 35], [1, 36], [2, 37]]), (right, [[3, 38], [4, 39]])):
        array = shown(axes)
        assert array.shape == (300, 196, 3)
        found = [[int(array[row * 100, column * 100, 0]) for column in range(2)] for row in range(len(grey))]
        assert found == grey
    assert (shown(right)[200:] == 255).all()
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert boxes[0].x1 < boxes[1].x0
    assert boxes[1].x1 <= figure.bbox.width
    # "train: 40 images" is wider than one example of 48 pixels; the name alone stands there then.
    one = cutaway.plot(choose_examples(images, 1))
    assert one.axes[0].get_title(loc="left") == "train"
    assert left.get_title(loc="left") == "train: 40 images"
    # What stands above narrow blocks does not run into the next one.
    split = numbered(40, (1, 40, 40), labels, 5)
    narrow = cutaway.plot(choose_examples(Images(tuple("abcde"), {"a longer name": split, "test": split}), 1))
    saved(narrow)
    extents = {
        text.get_text(): text.get_window_extent() for text in narrow.findobj(Text) if isinstance(text, Text)
    }
    assert extents["a longer name"].x1 < extents["test"].x0


def test_a_class_without_images_leaves_its_row_empty() -> None:
    split = numbered(5, (1, 8, 8), torch.tensor([0, 2, 2, 0, 0]), 3)
    figure = cutaway.plot(Images(("a", "b", "c"), {"train": split}))
    assert numbers(figure.axes[0], 3, (96, 96)) == [[0, 3, 4], [], [1, 2]]
    one = cutaway.plot(Images(("a", "b", "c"), {"train": split.take(torch.tensor([1]))}))
    assert one.axes[0].get_title(loc="left") == "train: 1 image"


@pytest.mark.parametrize("count", [*range(30), 1000])
@pytest.mark.parametrize("most", [2, 10, 40])
def test_places_are_even_and_have_both_ends(count: int, most: int) -> None:
    places = evenly(count, most)
    assert len(places) == len(set(places)) == min(count, most)
    if count > 1:
        assert (places[0], places[-1]) == (0, count - 1)
        steps = np.diff(places)
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_every_pixel_of_a_small_image_is_a_square_of_the_saved_picture(channels: int) -> None:
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (3, channels, 28, 20), generator=generator).to(torch.uint8)
    split = make_split(pixels, torch.tensor([0, 1, 1]), 2, "x")
    figure = cutaway.plot(Images(("one", "two"), {"train": split, "test": split}))
    with Image.open(io.BytesIO(saved(figure))) as picture:
        sheet = np.array(picture.convert("RGB"))
    for axes in figure.axes:
        box = axes.get_window_extent()
        top, left = round(len(sheet) - box.y1), round(box.x0)
        for row, column, image in ((0, 0, 0), (1, 0, 1), (1, 1, 2)):
            y, x = top + row * (84 + 4), left + column * (60 + 4)
            part = sheet[y : y + 84, x : x + 60]
            wanted = pixels[image].permute(1, 2, 0).numpy()
            for down in range(3):
                for right in range(3):
                    assert (part[down::3, right::3] == wanted).all()


def test_large_images_are_shrunk_by_averaging_and_the_file_stays_small() -> None:
    # Stripes of one pixel: taking every n-th pixel would give black or white, their mean is grey.
    pixels = torch.zeros(40, 3, 384, 192, dtype=torch.uint8)
    pixels[:, 0, :, ::2] = 255
    pixels[:, 1] = 80
    labels = torch.arange(40) % 4
    figure = cutaway.plot(Images(tuple("abcd"), {"train": make_split(pixels, labels, 4, "x")}))
    tile = shown(figure.axes[0])[:96, :48].astype(float)
    assert np.abs(tile[5:-5, 5:-5] - (127.5, 80, 0)).max() < 3
    noise = torch.randint(0, 256, (40, 3, 384, 192), dtype=torch.uint8)
    figure = cutaway.plot(Images(tuple("abcd"), {"train": make_split(noise, labels, 4, "x")}))
    assert len(saved(figure)) < 4 * 10 * 96 * 48 * 3 * 1.1


def test_splits_may_have_images_of_different_sizes() -> None:
    train = numbered(4, (1, 30, 30), torch.tensor([0, 1, 0, 1]), 2)
    test = numbered(4, (1, 10, 40), torch.tensor([1, 1, 0, 0]), 2)
    figure = cutaway.plot(Images(("a", "b"), {"train": train, "test": test}))
    assert numbers(figure.axes[0], 2, (90, 90)) == [[0, 2], [1, 3]]
    assert numbers(figure.axes[1], 2, (20, 80)) == [[2, 3], [0, 1]]
    # The rows of both blocks stand at one height.
    assert shown(figure.axes[0]).shape[0] == shown(figure.axes[1]).shape[0]


def test_of_many_classes_some_are_shown_and_the_rest_is_told() -> None:
    split = numbered(200, (1, 4, 4), torch.arange(200) % 100, 100)
    figure = cutaway.plot(Images(tuple(f"class {i}" for i in range(100)), {"train": split}))
    labels = [int(name.split()[1]) for name in names(figure)]
    assert labels == evenly(100, MOST_CLASSES)
    assert numbers(figure.axes[0], MOST_CLASSES, (96, 96)) == [[k, k + 100] for k in labels]
    assert [text.get_text() for text in figure.texts] == ["40 of 100 classes; 60 are not shown"]
    few = cutaway.plot(Images(tuple(map(str, range(100)))[:40], {"train": split.take(torch.arange(40))}))
    assert not few.texts


def boxes(figure: Figure) -> tuple[list[tuple[float, ...]], tuple[float, float]]:
    """Left, right, bottom and top of every text, and the figure's width and height, in pixels."""
    saved(figure)  # lays the texts out
    texts = [text for axes in figure.axes for text in axes.texts] + list(figure.texts)
    extents = [text.get_window_extent() for text in texts if text.get_text()]
    return [(b.x0, b.x1, b.y0, b.y1) for b in extents], (figure.bbox.width, figure.bbox.height)


@pytest.mark.parametrize(
    "classes",
    [
        ("a", "b"),
        ("automobile", "W" * 8),
        ("a name that is much too long to be shown whole", r"$\nonsense$ is no formula"),
        tuple(f"class {i}" for i in range(60)),
    ],
)
def test_class_names_are_readable_inside_the_figure_and_beside_the_images(classes: tuple[str, ...]) -> None:
    count = len(classes)
    figure = cutaway.plot(Images(classes, {"train": numbered(count, (1, 6, 6), torch.arange(count), count)}))
    extents, (width, height) = boxes(figure)
    first = figure.axes[0].get_window_extent().x0
    for left, right, bottom, top in extents[: min(count, MOST_CLASSES)]:
        assert 0 <= left < right <= first
        assert 0 <= bottom < top <= height
        assert top - bottom >= 10
    for left, right, bottom, top in extents:
        assert 0 <= left < right <= width
        assert 0 <= bottom < top <= height
    for name, wanted in zip(names(figure), (classes[k] for k in evenly(count, 40)), strict=True):
        assert name == wanted or (name.endswith("…") and wanted.startswith(name[:-1]) and len(name) > 20)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_sheets_can_be_saved(kind: str) -> None:
    split = numbered(6, (3, 9, 9), torch.arange(6) % 2, 2)
    pictures = [Images(("$a", "b_1"), {"train": split}), Pyramid(gaussian_pyramid(split.pixels[0]), "5 $")]
    for result in pictures:
        content = saved(cutaway.plot(result), kind)
        assert len(content) > 1000
        if kind == "svg":
            assert re.search(rb"<image", content)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 20), (3, 100, 64), (1, 300, 260)])
def test_a_pyramid_is_drawn_at_its_sizes_and_enlarged(shape: tuple[int, int, int]) -> None:
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
    levels = gaussian_pyramid(pixels)
    figure = cutaway.plot(Pyramid(levels, "training image 3: cat"))
    assert len(figure.axes) == 2 * len(levels)
    scale = figure.axes[0].get_window_extent().width / shape[2]
    assert scale == pytest.approx(max(1, 240 // max(shape)))
    for small, large, level in zip(figure.axes[::2], figure.axes[1::2], levels, strict=True):
        _, height, width = level.shape
        assert small.get_title(loc="left") == f"{height}×{width}"
        for axes, sides in ((small, (height, width)), (large, shape[1:])):
            box = axes.get_window_extent()
            assert (box.height, box.width) == pytest.approx((sides[0] * scale, sides[1] * scale))
            array = np.asarray(axes.images[0].get_array())
            assert (array == level.permute(1, 2, 0).numpy()).all()
        # One below the other, and nothing runs into its neighbour.
        assert small.get_window_extent().y0 >= large.get_window_extent().y1
        assert small.get_window_extent().x0 == pytest.approx(large.get_window_extent().x0)
    ends = [axes.get_window_extent() for axes in figure.axes[1::2]]
    assert all(one.x1 <= other.x0 for one, other in pairwise(ends))
    assert ends[0].x0 >= 0
    assert ends[-1].x1 <= figure.bbox.width
    assert [text.get_text() for text in figure.texts] == ["training image 3: cat"]

"""Images in two splits: equality against all pairs of bytes, nearness against a slow definition."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import cutaway.data.duplicates as module
from cutaway.config import DataConfig
from cutaway.data import Images, Split, load_images
from cutaway.data.duplicates import APART, LIKELY, POSSIBLE, Duplicate, find_duplicates
from cutaway.data.images import make_split
from cutaway.progress import Progress, listening


def some(**splits: Tensor) -> Images:
    """A dataset of these pixels; the label is the position modulo 3."""
    made = {
        name: make_split(pixels, torch.arange(len(pixels)) % 3, 3, name) for name, pixels in splits.items()
    }
    return Images(("a", "b", "c"), made)


def textures(count: int, seed: int, shape: tuple[int, int, int] = (3, 32, 32)) -> Tensor:
    """Independent images with coarse and fine structure: ``(count, C, H, W)`` uint8."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, *shape)
    for side, weight in ((4, 40.0), (8, 30.0), (16, 12.0)):
        noise = torch.randn(count, shape[0], side, side, generator=generator) * weight
        total += F.interpolate(noise, shape[1:], mode="bicubic")
    return (total + 128).round().clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def digits() -> Images:
    images = load_images(DataConfig(validation=0))
    splits = {
        "train": images.splits["train"].take(torch.arange(3000)),
        "test": images.splits["test"].take(torch.arange(1000)),
    }
    return Images(images.classes, splits)


def through(change: Callable[[Image.Image], Image.Image], pixels: Tensor) -> Tensor:
    """Every image after a change by Pillow."""
    copies = []
    for picture in pixels:
        array = picture.permute(1, 2, 0).numpy()
        changed = change(Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array))
        copies.append(torch.from_numpy(np.array(changed).reshape(array.shape)).permute(2, 0, 1))
    return torch.stack(copies)


def jpeg(pixels: Tensor) -> Tensor:
    def change(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        return Image.open(buffer)

    return through(change, pixels)


def rescaled(pixels: Tensor) -> Tensor:
    def change(image: Image.Image) -> Image.Image:
        sides = round(image.width * 0.75), round(image.height * 0.75)
        return image.resize(sides, Image.Resampling.LANCZOS).resize(image.size, Image.Resampling.BILINEAR)

    return through(change, pixels)


def brighter(pixels: Tensor) -> Tensor:
    return (pixels.float() * 1.1 + 12).round().clamp(0, 255).to(torch.uint8)


def moved(pixels: Tensor) -> Tensor:
    return torch.cat((pixels[..., :1], pixels[..., :-1]), -1)


COPIES = {"jpeg": jpeg, "rescaled": rescaled, "brighter": brighter, "moved": moved}


def slow_distance(one: Tensor, other: Tensor) -> float:
    """1 − r of two ``(C, H, W)`` images of at most 32 pixels, from the definition."""
    a, b = one.numpy().astype(float), other.numpy().astype(float)
    pairs = [(a, b), (slow_blur(a), b), (a, slow_blur(b))]
    height, width = a.shape[1:]
    best = -1.0
    for x, y in pairs:
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                inner = x[:, 1 : height - 1, 1 : width - 1]
                window = y[:, 1 + down : height - 1 + down, 1 + right : width - 1 + right]
                p, q = level(inner), level(window)
                if min((p**2).mean(), (q**2).mean()) > 9:
                    best = max(best, float((p * q).sum() / np.sqrt((p**2).sum() * (q**2).sum())))
    return 1 - best


def slow_blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (1 2 1; 2 4 2; 1 2 1) / 16, the edge repeated."""
    _, height, width = image.shape
    padded, blurred = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="edge"), np.zeros_like(image)
    for down in (0, 1, 2):
        for right in (0, 1, 2):
            weight = (1, 2, 1)[down] * (1, 2, 1)[right] / 16
            blurred += weight * padded[:, down : down + height, right : right + width]
    return blurred


def level(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left of each channel without the plane that fits it best."""
    _, height, width = image.shape
    rows, columns = np.mgrid[:height, :width]
    planes = np.stack((np.ones(height * width), rows.ravel(), columns.ravel()), 1)
    rest = []
    for channel in image:
        fit, *_ = np.linalg.lstsq(planes, channel.ravel(), rcond=None)
        rest.append(channel.ravel() - planes @ fit)
    return np.array(rest)


def pairs(found: list[Duplicate]) -> list[tuple[tuple[str, str], tuple[int, int], bool]]:
    return [(one.splits, one.positions, one.exact) for one in found]


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 1, 2), (1, 3, 3), (2, 4, 4)])
def test_equal_images_are_those_of_all_pairs(shape: tuple[int, int, int], near: bool) -> None:
    generator = torch.Generator().manual_seed(sum(shape))
    base = torch.randint(0, 256, (12, *shape), generator=generator).to(torch.uint8)
    base[6:] = base[:6]
    base[6:, -1, -1, -1] += 1  # all but one byte are equal
    sets = {
        name: base[torch.randint(0, 12, (size,), generator=generator)]
        for name, size in (("train", 30), ("validation", 9), ("test", 20))
    }
    wanted = []
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        for position, image in enumerate(sets[other]):
            equal = [i for i, candidate in enumerate(sets[one]) if torch.equal(candidate, image)]
            wanted += [((one, other), (equal[0], position), True)] if equal else []
    found = find_duplicates(some(**sets), near)
    assert pairs(found) == wanted
    assert len(wanted) > 20
    for one_found in found:
        assert one_found.labels == tuple(position % 3 for position in one_found.positions)
        assert one_found.distance == 0


def test_bytes_decide_where_hashes_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_hash", lambda pixels: torch.zeros(len(pixels), dtype=torch.int64))
    train = textures(5, 0)
    found = find_duplicates(some(train=train, test=torch.cat((textures(4, 1), train[:1]))), near=False)
    assert pairs(found) == [(("train", "test"), (0, 4), True)]


def test_a_hash_depends_on_every_byte_and_its_place() -> None:
    flat = torch.arange(24, dtype=torch.uint8).repeat(24 * 255 + 1, 1)
    for byte in range(24):
        for change in range(255):
            flat[1 + byte * 255 + change, byte] += change + 1
    swapped = torch.cat((flat[0, 8:16], flat[0, :8], flat[0, 16:]))[None]
    hashes = module._hash(torch.cat((flat, swapped)).view(-1, 1, 4, 6))
    assert len(hashes.unique()) == len(flat) + 1
    # Each bit of the hash says something: it is set in about half of them.
    for bit in range(64):
        assert 0.4 < float((hashes >> bit & 1).float().mean()) < 0.6


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 24, 30), (3, 96, 64)])
def test_planted_copies_of_textures_are_found(kind: str, shape: tuple[int, int, int]) -> None:
    train, test = textures(30, 2, shape), textures(20, 3, shape)
    test[10:18] = COPIES[kind](train[20:28])
    found = find_duplicates(some(train=train, test=test))
    assert {one.positions for one in found} == {(20 + i, 10 + i) for i in range(8)}
    assert all(not one.exact and one.splits == ("train", "test") for one in found)
    assert [one.distance for one in found] == sorted(one.distance for one in found)
    if max(shape[1:]) <= 32:
        for one in found:
            first, second = one.positions
            assert one.distance == pytest.approx(slow_distance(test[second], train[first]), abs=5e-5)


@pytest.mark.parametrize(("kind", "least"), [("jpeg", 29), ("brighter", 29), ("rescaled", 28)])
def test_planted_copies_of_digits_are_found_and_no_other_digit(digits: Images, kind: str, least: int) -> None:
    train, test = digits.splits["train"], digits.splits["test"].pixels
    test = torch.cat((test, COPIES[kind](train.batch(torch.arange(100, 3000, 100)))))
    copied = make_split(test, torch.zeros(len(test)), 10, "copied")
    found = find_duplicates(Images(digits.classes, {"train": train, "test": copied}))
    assert len(found) >= least
    for one in found:
        assert one.positions[0] == 100 + 100 * (one.positions[1] - 1000)


def test_what_is_reported_follows_from_all_distances() -> None:
    """With eight images to compare with, all of them are neighbours, and the rule can be applied by hand."""
    train = textures(8, 4, (1, 16, 16))
    test = [textures(3, 5, (1, 16, 16))]
    for share in (0.1, 0.2, 0.3, 0.4, 0.5):
        mixed = train[:2].float() * (1 - share) + textures(2, 6, (1, 16, 16)).float() * share
        test.append(mixed.round().to(torch.uint8))
    images = some(train=train, test=torch.cat(test))
    wanted = {}
    for position, image in enumerate(images.splits["test"].pixels):
        distances = [slow_distance(image, other) for other in train]
        nearest = min(distances)
        if nearest <= LIKELY or (nearest <= POSSIBLE and nearest <= APART * max(distances)):
            wanted[distances.index(nearest), position] = nearest
    found = {one.positions: one.distance for one in find_duplicates(images)}
    assert found.keys() == wanted.keys()
    assert 3 <= len(wanted) <= 9  # the rule parts them
    for positions, distance in wanted.items():
        assert found[positions] == pytest.approx(distance, abs=5e-5)


def test_seven_copies_of_one_image_do_not_hide_each_other() -> None:
    train = textures(40, 7)
    train[:7] = train[:1]
    train[1:7, :, 5, 5] += torch.arange(6, dtype=torch.uint8)[:, None] * 9
    found = find_duplicates(some(train=train, test=jpeg(train[:1])))
    assert [one.positions[1] for one in found] == [0]
    assert found[0].positions[0] < 7
    assert found[0].distance > LIKELY  # or the neighbours would not matter


def test_the_nearest_by_all_pixels_is_named_not_the_nearest_by_low_frequencies() -> None:
    train, chequers = textures(30, 21), torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16)
    image = train[4].float()
    train[9] = (image + 7 * chequers).round().clamp(0, 255).to(torch.uint8)
    train[4] = (image + textures(1, 22)[0] / 25).round().clamp(0, 255).to(torch.uint8)
    test = image.to(torch.uint8)[None]
    waves = module._low_frequencies(torch.cat((test, train[[4, 9]])))
    assert waves[0] @ waves[2] > waves[0] @ waves[1]
    assert [one.positions for one in find_duplicates(some(train=train, test=test))] == [(4, 0)]


@pytest.mark.parametrize("down", [-1, 0, 1])
@pytest.mark.parametrize("right", [-1, 0, 1])
def test_an_image_moved_by_a_pixel_is_the_same_without_its_edge(down: int, right: int) -> None:
    large = textures(20, 23, (3, 36, 36))
    test = large[:5, :, 2 + down : 34 + down, 2 + right : 34 + right].clone()
    test[..., 0, 0] += 1  # not equal, even where nothing moves
    found = find_duplicates(some(train=large[:, :, 2:34, 2:34].clone(), test=test))
    assert sorted(one.positions for one in found) == [(i, i) for i in range(5)]
    assert all(not one.exact and one.distance < 1e-4 for one in found)


def test_images_of_a_narrow_kind_are_no_duplicates_of_each_other() -> None:
    """As thin "1"s: each has a neighbour nearer than many a copy is, but it has others as near."""
    kind = textures(1, 24).float() + (textures(70, 25).float() - 128) * 0.12
    images = kind.round().clamp(0, 255).to(torch.uint8)
    train, test = images[:50], images[50:]
    nearest = min(slow_distance(test[0], other) for other in train[:20])
    assert LIKELY < nearest < 0.02
    assert find_duplicates(some(train=train, test=test)) == []


def plain(count: int, seed: int) -> Tensor:
    """Images of one grey each, with noise of one level."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(20, 230, (count, 1, 1, 1), generator=generator)
    return (levels + torch.randint(0, 2, (count, 3, 32, 32), generator=generator)).to(torch.uint8)


def slopes(count: int, seed: int) -> Tensor:
    """Images that grow darker evenly, as a sky does."""
    generator = torch.Generator().manual_seed(seed)
    steepness = torch.rand(count, 1, 1, 1, generator=generator) * 4
    ramp = 60 + steepness * torch.arange(32.0).view(32, 1) + torch.zeros(count, 3, 32, 32)
    return (ramp + torch.rand(ramp.shape, generator=generator)).to(torch.uint8)


def noise(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 32, 32), generator=generator).to(torch.uint8)


def test_what_is_faint_is_near_nothing() -> None:
    """Such a pattern is the camera's or the compression's, not the picture's."""
    faint = ((textures(30, 26).float() - 128) / 40 + 100).round().to(torch.uint8)
    assert 0.5 < float(faint.float().std((-1, -2)).mean()) < 3
    assert find_duplicates(some(train=faint, test=faint[:9] + 20)) == []
    assert len(find_duplicates(some(train=faint, test=faint[:9]))) == 9


@pytest.mark.parametrize("make", [plain, slopes, noise, textures])
def test_independent_images_are_no_duplicates(make: Callable[[int, int], Tensor]) -> None:
    assert find_duplicates(some(train=make(100, 1), test=make(60, 2))) == []


def test_different_digits_are_no_duplicates(digits: Images) -> None:
    assert find_duplicates(digits) == []


def test_a_mirrored_or_inverted_image_is_no_duplicate() -> None:
    train = textures(50, 8)
    test = torch.cat((train[:10].flip(3), 255 - train[10:20]))
    assert find_duplicates(some(train=train, test=test)) == []


def test_below_eight_pixels_only_equality_counts() -> None:
    for side, count in ((7, 0), (8, 5)):
        train = textures(30, 9, (3, side, side))
        assert len(find_duplicates(some(train=train, test=brighter(train[:5])))) == count


def test_near_ones_can_be_left_out() -> None:
    train = textures(30, 10)
    images = some(train=train, test=torch.cat((brighter(train[:5]), train[7:8])))
    assert pairs(find_duplicates(images, near=False)) == [(("train", "test"), (7, 5), True)]
    assert len(find_duplicates(images)) == 6


def test_positions_are_those_of_the_splits_not_of_the_store() -> None:
    store = torch.cat((textures(40, 11), textures(20, 12)))
    store[45] = store[31]
    store[50] = brighter(store[12:13])[0]
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    train = Split(store, torch.zeros(40, dtype=torch.int64), order)
    test = Split(store, torch.ones(20, dtype=torch.int64), torch.arange(59, 39, -1))
    found = find_duplicates(Images(("a", "b"), {"train": train, "test": test}))
    places = order.tolist()
    assert pairs(found) == [
        (("train", "test"), (places.index(31), 59 - 45), True),
        (("train", "test"), (places.index(12), 59 - 50), False),
    ]
    assert {one.labels for one in found} == {(0, 1)}


def test_every_pair_of_splits_is_searched_and_none_with_itself() -> None:
    train = textures(20, 13)
    train[1] = train[0]
    validation = torch.cat((textures(9, 14), jpeg(train[3:4])))
    test = torch.cat((textures(9, 15), validation[2:3], train[:1]))
    found = find_duplicates(some(train=train, validation=validation, test=test))
    assert pairs(found) == [
        (("train", "validation"), (3, 9), False),
        (("train", "test"), (0, 10), True),
        (("validation", "test"), (2, 9), True),
    ]


@pytest.fixture
def tiny_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of one image, and no way to take all pixels at once."""
    for limit in ("_BYTES", "_SCORES", "_WINDOWS"):
        monkeypatch.setattr(module, limit, 1)
    monkeypatch.setattr(Split, "pixels", property(lambda split: pytest.fail("all pixels at once")))


def planted() -> Images:
    train = textures(20, 16)
    return some(train=train, test=torch.cat((train[4:6], jpeg(train[8:10]), textures(6, 17))))


@pytest.fixture
def whole() -> list[Duplicate]:
    return find_duplicates(planted())


@pytest.mark.usefixtures("whole", "tiny_chunks")
def test_chunks_change_nothing(whole: list[Duplicate]) -> None:
    found = find_duplicates(planted())
    assert pairs(found) == pairs(whole)
    assert len(found) == 4
    assert [one.distance for one in found] == pytest.approx([one.distance for one in whole], abs=5e-5)


def test_one_image_to_compare_with_is_enough() -> None:
    train = textures(1, 18)
    assert len(find_duplicates(some(train=train, test=torch.cat((train, textures(1, 19)))))) == 1
    darker = (train.float() * 0.9 + 5).round().to(torch.uint8)
    assert len(find_duplicates(some(train=train, test=darker))) == 1
    assert find_duplicates(some(train=train)) == []


def test_empty_splits_have_none() -> None:
    images = some(train=textures(3, 20))
    nothing = images.splits["train"].take(torch.arange(0))
    for train, test in ((images.splits["train"], nothing), (nothing, images.splits["train"])):
        assert find_duplicates(Images(images.classes, {"train": train, "test": test})) == []


@pytest.mark.parametrize("near", [True, False])
def test_progress_ends_at_its_total(near: bool) -> None:
    told: list[Progress] = []
    with listening(told.append):
        find_duplicates(planted(), near)
    assert told[-1].done == told[-1].total > 0
    assert [one.done for one in told] == sorted(one.done for one in told)

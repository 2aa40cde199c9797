"""One file as an array: what every kind of file becomes, how it is fitted, what is said of a bad one."""

from __future__ import annotations

import importlib
import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cutaway.config import Fit
from cutaway.pictures import BadPictureError, Form, decode, picture_size

Array = NDArray[Any]

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Array:
    """Smooth noise, so that a filter that differs a little gives values that differ a little."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, channels), np.uint8)
    bands = [Image.fromarray(coarse[..., c]).resize((width, height)) for c in range(channels)]
    return np.stack([np.asarray(band) for band in bands], -1)


def file_of(picture: Image.Image, kind: str = "PNG", **options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return io.BytesIO(buffer.getvalue())


def values(picture: Image.Image, form: Form | None = None, kind: str = "PNG", **options: Any) -> list[Any]:
    pixels = decode(file_of(picture, kind, **options), form or Form())
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    found: list[Any] = pixels.tolist()
    return found


def reason(content: bytes, form: Form | None = None) -> str:
    with pytest.raises(BadPictureError) as caught:
        decode(io.BytesIO(content), form or Form())
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# What files become.


def test_colour_and_grey_files_keep_their_channels() -> None:
    pixels = noise(3, 4)
    assert values(Image.fromarray(pixels)) == pixels.transpose(2, 0, 1).tolist()
    assert values(Image.fromarray(pixels[..., 0])) == [pixels[..., 0].tolist()]


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("CMYK", 3), ("F", 1), ("I;16", 1)],
)
def test_as_they_are_is_grey_or_colour_by_the_file_s_mode(mode: str, channels: int) -> None:
    picture = Image.fromarray(noise(6, 5)).convert("L" if mode == "I;16" else "RGB")
    picture = Image.fromarray(np.asarray(picture, np.uint16)) if mode == "I;16" else picture.convert(mode)
    kind = "TIFF" if mode in {"F", "CMYK"} else "PNG"
    assert np.shape(values(picture, kind=kind)) == (channels, 6, 5)


def test_a_palette_of_greys_is_grey_and_one_of_colours_is_colour() -> None:
    picture = Image.new("P", (2, 1))
    picture.putpixel((1, 0), 1)
    picture.putpalette([10, 10, 10, 200, 200, 200])
    assert values(picture) == [[[10, 200]]]
    picture.putpalette([10, 10, 10, 200, 200, 201])
    assert values(picture) == [[[10, 200]], [[10, 200]], [[10, 201]]]
    picture.putpalette([10, 10, 10, 200, 201, 201])
    assert values(picture) == [[[10, 200]], [[10, 201]], [[10, 201]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_of_grey_are_scaled_and_not_clipped(kind: str) -> None:
    deep = np.array([range(0, 65535, 97), range(1, 65536, 97)], np.uint16)
    wanted = [[round(value / 257) for value in row] for row in deep.tolist()]
    assert values(Image.fromarray(deep), kind=kind) == [wanted]
    assert (wanted[0][0], wanted[1][-1]) == (0, 255)


def floating(*row: float) -> Image.Image:
    return Image.fromarray(np.array([row], np.float32))


def test_floating_point_is_from_nought_to_one_or_to_255() -> None:
    assert values(floating(0.0, 0.2, 0.5, 1.0), kind="TIFF") == [[[0, 51, 128, 255]]]
    assert values(floating(0.0, 1.0, 99.6, 255.0), kind="TIFF") == [[[0, 1, 100, 255]]]
    assert values(floating(0.0, 0.2), Form(channels=3), kind="TIFF") == [[[0, 51]]] * 3
    assert values(floating(0.0, 0.0), kind="TIFF") == [[[0, 0]]]


@pytest.mark.parametrize(
    ("row", "ends"),
    [((-0.1, 1.0), "from -0.1 to 1"), ((0.0, 4095.0), "from 0 to 4095"), ((0.5, float("nan")), "nan")],
)
def test_floating_point_of_another_range_is_refused(row: tuple[float, ...], ends: str) -> None:
    buffer = file_of(floating(*row), "TIFF").getvalue()
    assert ends in reason(buffer)
    assert "save it with 8 or 16 bits" in reason(buffer)


def test_transparent_parts_are_white_in_colour_and_in_grey() -> None:
    picture = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    picture.putpixel((1, 0), (0, 0, 0, 255))
    picture.putpixel((2, 0), (200, 0, 0, 128))
    half = [round(value * 128 / 255 + 255 * 127 / 255) for value in (200, 0, 0)]
    np.testing.assert_allclose(values(picture), [[[255, 0, value]] for value in half], atol=1)
    grey = Image.new("LA", (2, 1), (0, 0))
    grey.putpixel((1, 0), (50, 255))
    assert values(grey) == [[[255, 50]]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, *RED])
    palette.putpixel((1, 0), 1)
    assert values(palette, transparency=0) == [[[255, 255]], [[255, 0]], [[255, 0]]]


def test_cmyk_becomes_red_green_and_blue() -> None:
    found = values(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), kind="JPEG", quality=95)
    np.testing.assert_allclose(np.array(found)[:, 4, 4], RED, atol=12)
    assert values(Image.new("CMYK", (1, 1), (255, 255, 0, 0)), kind="TIFF") == [[[v]] for v in BLUE]


def _turned(pixels: Array, orientation: int) -> Array:
    """Upright, by what EXIF 2.3 says of the stored rows and columns, pixel by pixel."""
    height, width = pixels.shape
    shape = (width, height) if orientation >= 5 else (height, width)
    upright = np.empty(shape, pixels.dtype)
    for y in range(shape[0]):
        for x in range(shape[1]):
            row, column = {
                1: (y, x),
                2: (y, width - 1 - x),
                3: (height - 1 - y, width - 1 - x),
                4: (height - 1 - y, x),
                5: (x, y),
                6: (height - 1 - x, y),
                7: (height - 1 - x, width - 1 - y),
                8: (x, width - 1 - y),
            }[orientation]
            upright[y, x] = pixels[row, column]
    return upright


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_turn_of_a_photograph_is_applied_before_it_is_fitted(orientation: int) -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    exif = Image.Exif()
    exif[0x0112] = orientation
    wanted = _turned(pixels, orientation)
    assert values(Image.fromarray(pixels), exif=exif) == [wanted.tolist()]
    # In its upright size already: nothing is scaled.
    sides = (wanted.shape[0], wanted.shape[1])
    assert values(Image.fromarray(pixels), Form(sides=sides), exif=exif) == [wanted.tolist()]


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in (RED, BLUE, WHITE)]
    for kind in ("GIF", "WEBP", "PNG"):
        found = values(frames[0], kind=kind, save_all=True, append_images=frames[1:], lossless=True)
        assert np.array(found)[:, 1, 1].tolist() == list(RED)


def test_colour_becomes_grey_by_its_brightness_and_grey_fills_three_channels() -> None:
    """ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B."""
    pixels = noise(4, 5)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(values(Image.fromarray(pixels), Form(1)), [luma], atol=0.6)
    grey = pixels[..., 0]
    assert values(Image.fromarray(grey), Form(3)) == [grey.tolist()] * 3


# How they are fitted.


def _resized(pixels: Array, height: int, width: int) -> Array:
    """Each pixel as the mean under a triangle, as wide as the reduction: ``(H, W, C)`` to real numbers."""

    def along(rows: Array, count: int) -> Array:
        step = len(rows) / count
        reach = max(step, 1.0)
        result = []
        for at in range(count):
            middle = (at + 0.5) * step
            weights = [max(0.0, 1 - abs(row + 0.5 - middle) / reach) for row in range(len(rows))]
            result.append(sum(w * r for w, r in zip(weights, rows, strict=True)) / sum(weights))
        return np.array(result)

    tall = along(pixels.astype(float), height)
    return along(tall.swapaxes(0, 1), width).swapaxes(0, 1)


def _ring(pixels: Array) -> list[float]:
    """The lower middle of what is on the four sides, channel by channel."""
    found = []
    for lines in pixels.transpose(2, 0, 1).tolist():
        inner = [value for line in lines[1:-1] for value in (line[0], line[-1])]
        outer = sorted([*lines[0], *lines[-1], *inner])
        found.append(outer[(len(outer) - 1) // 2])
    return found


def _fitted(pixels: Array, sides: tuple[int, int], fit: Fit) -> Array:
    """``(H, W, C)`` at other sides, from the definitions."""
    height, width, _ = pixels.shape
    if fit is Fit.STRETCH:
        return _resized(pixels, *sides)
    ratios = sides[0] / height, sides[1] / width
    scale = max(ratios) if fit is Fit.CROP else min(ratios)
    scaled = _resized(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
    if fit is Fit.CROP:
        top, left = ((scaled.shape[axis] - sides[axis]) // 2 for axis in (0, 1))
        return scaled[top : top + sides[0], left : left + sides[1]]
    frame = np.empty((*sides, pixels.shape[2]))
    frame[:] = _ring(scaled)
    top, left = ((sides[axis] - scaled.shape[axis]) // 2 for axis in (0, 1))
    frame[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return frame


SIZES: Sequence[tuple[int, int]] = [(20, 30), (31, 11), (8, 8), (5, 4), (3, 17), (1, 9), (9, 1), (16, 16)]


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize("size", SIZES)
def test_fitting_is_the_slow_reference_s(size: tuple[int, int], fit: Fit) -> None:
    pixels = noise(*size)
    for sides in ((8, 8), (6, 13)):
        wanted = _fitted(pixels, sides, fit).transpose(2, 0, 1)
        found = values(Image.fromarray(pixels), Form(sides=sides, fit=fit))
        np.testing.assert_allclose(found, wanted, atol=1.1)  # each of two passes rounds
        grey = _fitted(pixels[..., :1], sides, fit)[..., 0]
        np.testing.assert_allclose(
            values(Image.fromarray(pixels[..., 0]), Form(sides=sides, fit=fit)), [grey], atol=1.1
        )


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    for fit in Fit:
        assert (
            values(Image.fromarray(pixels), Form(sides=(7, 9), fit=fit)) == pixels.transpose(2, 0, 1).tolist()
        )


@pytest.mark.parametrize("channels", [1, 3])
def test_a_border_has_the_picture_s_own_ground(channels: int) -> None:
    pixels = noise(6, 5, 3, seed=2)
    picture = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
    inside = pixels if channels == 3 else pixels[..., :1]
    found = np.array(values(picture, Form(pad=2))).transpose(1, 2, 0)
    assert found.shape == (10, 9, channels)
    assert found[2:-2, 2:-2].tolist() == inside.tolist()
    outside = np.ones((10, 9), bool)
    outside[2:-2, 2:-2] = False
    assert np.unique(found[outside], axis=0).tolist() == [_ring(inside)]


def test_the_border_comes_after_the_size() -> None:
    found = decode(file_of(Image.fromarray(noise(20, 30))), Form(sides=(8, 10), pad=3))
    assert found.shape == (3, 14, 16)
    inner = values(Image.fromarray(noise(20, 30)), Form(sides=(8, 10)))
    assert found[:, 3:-3, 3:-3].tolist() == inner


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_reduced_by_its_decoder_without_being_seen(orientation: int) -> None:
    """The decoder's own reduction is a mean over 2, 4 or 8 pixels: close to the same picture at once."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = noise(200, 304)  # both can be halved three times
    content = file_of(Image.fromarray(pixels), "JPEG", quality=95, exif=exif).getvalue()
    whole = decode(io.BytesIO(content), Form()).transpose(1, 2, 0)
    for sides in ((8, 8), (20, 40), (49, 50), (100, 60)):
        found = decode(io.BytesIO(content), Form(sides=sides)).transpose(1, 2, 0)
        np.testing.assert_allclose(found, _fitted(whole, sides, Fit.CROP), atol=6)


def test_a_jpeg_is_never_reduced_to_less_than_twice_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    module = importlib.import_module("cutaway.pictures.decode")
    plain = module._plain

    def note(picture: Image.Image, channels: int, **more: bool) -> Image.Image:
        sizes.append(picture.size)
        found: Image.Image = plain(picture, channels, **more)
        return found

    monkeypatch.setattr(module, "_plain", note)
    content = file_of(Image.new("RGB", (400, 240)), "JPEG").getvalue()
    for side in (10, 15, 16, 30, 31, 60, 61, 119):
        decode(io.BytesIO(content), Form(sides=(side, side)))
        assert min(sizes[-1]) >= 2 * side or sizes[-1] == (400, 240)
    assert sizes[0] == (50, 30)


# What is said of bad ones.


def _jpeg() -> bytes:
    return file_of(Image.fromarray(noise(64, 64)), "JPEG").getvalue()


def _huge(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose head claims any size, at one bit a pixel."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_file_that_is_no_image_is_told_so() -> None:
    for content in (b"", b"just a text\n", b"\xff\xd8\xff", b"%PDF-1.7", b"<svg></svg>"):
        assert reason(content) == "it is no image"


def test_a_truncated_file_is_told_so() -> None:
    content = _jpeg()
    assert reason(content[:-100]).startswith("image file is truncated")
    assert reason(content[: len(content) // 4]) == "Truncated File Read"
    png = file_of(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    ).getvalue()
    assert reason(png[: len(png) // 2]).startswith("image file is truncated")


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    """Its pixels would be damaged; nobody gets as far as that."""
    wanted = "Image size (400000000 pixels) exceeds limit of 178956970 pixels"  # Pillow's own limit
    for channels in (0, 1, 3):
        assert reason(_huge(20_000, 20_000), Form(channels, (8, 8))).startswith(wanted)
    assert reason(_huge(10_001, 10_000)) == "it has 10001×10000 pixels, more than 100,000,000; shrink it"
    assert reason(_huge(4_000, 4_000)).startswith("image file is truncated")


def test_a_picture_that_cropping_would_make_huge_is_refused() -> None:
    thread = Image.new("1", (200_000, 1))
    assert (
        reason(file_of(thread).getvalue(), Form(sides=(64, 64)))
        == "its 200000×1 pixels are too narrow to crop; take another data.fit"
    )
    for fit in (Fit.PAD, Fit.STRETCH):
        assert decode(file_of(thread), Form(sides=(64, 64), fit=fit)).shape == (1, 64, 64)


def test_the_system_s_own_errors_are_told_without_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadPictureError) as caught:
        decode(tmp_path / "gone.png", Form())
    assert str(caught.value) == "No such file or directory"

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "a.png"))

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(BadPictureError) as caught:
        decode(tmp_path / "a.png", Form())
    assert str(caught.value) == "Permission denied"


def test_the_size_is_read_from_the_head_alone(tmp_path: Path) -> None:
    assert picture_size(io.BytesIO(_huge(20_000, 300))) == (300, 20_000)
    with pytest.raises(BadPictureError) as caught:
        picture_size(io.BytesIO(b"text"))
    assert str(caught.value) == "it is no image"
    with pytest.raises(BadPictureError) as caught:
        picture_size(tmp_path / "gone.png")
    assert str(caught.value) == "No such file or directory"


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        ([-1000, 0, 400, 1200], np.int16, "from -1000 to 1200"),
        ([0, 1, 128, 255], np.int32, "from 0 to 255"),
        ([0, 5, 70_000, 90_000], np.int32, "from 0 to 90000"),
        ([0, 5, 700, 900], np.int16, "from 0 to 900"),  # what one means does not hang on another
    ],
)
def test_whole_numbers_whose_range_no_file_says_are_refused(values: list[int], kind: Any, told: str) -> None:
    """Black or white without a word, they would be learnt."""
    buffer = io.BytesIO()
    pixels = np.array(values, kind).reshape(2, 2)
    picture = Image.fromarray(pixels.astype(np.int32))
    picture.save(buffer, "TIFF")
    assert told in reason(buffer.getvalue())
    assert "save it with 8 bits, or 16 without a sign" in reason(buffer.getvalue())


def test_sixteen_bits_are_scaled_by_their_range_however_dark() -> None:
    for ending in ("TIFF", "PNG"):
        buffer = io.BytesIO()
        Image.fromarray(np.array([[0, 200], [65535, 32768]], np.uint16)).save(buffer, ending)
        assert decode(buffer, Form()).tolist() == [[[0, 1], [255, 128]]]

"""Any image file as pixels, and what is said of one that is none."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cutaway.data import read_picture
from cutaway.errors import DataError, NotFoundError

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
COLOURS = np.array([[RED, GREEN, BLUE], [WHITE, BLACK, (10, 20, 30)]], np.uint8)  # (2, 3, 3)


def _luma(colour: tuple[int, ...]) -> float:
    """Grey as ITU-R BT.601 has it."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def _save(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def _values(path: Path, channels: int) -> list[Any]:
    pixels = read_picture(path, channels)
    assert pixels.dtype == torch.uint8
    assert pixels.is_contiguous()
    values: list[Any] = pixels.tolist()
    return values


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "picture.png"


def test_colour_stays_colour(file: Path) -> None:
    _save(Image.fromarray(COLOURS), file)
    assert _values(file, 3) == COLOURS.transpose(2, 0, 1).tolist()


def test_colour_becomes_grey_by_its_brightness(file: Path) -> None:
    _save(Image.fromarray(COLOURS), file)
    wanted = [[_luma(tuple(colour)) for colour in row] for row in COLOURS.tolist()]
    np.testing.assert_allclose(_values(file, 1)[0], wanted, atol=1)


def test_grey_stays_grey_and_is_the_same_in_all_channels(file: Path) -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    _save(Image.fromarray(grey), file)
    assert _values(file, 1) == [grey.tolist()]
    assert _values(file, 3) == [grey.tolist()] * 3


def test_black_and_white_without_greys(file: Path) -> None:
    _save(Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1"), file)
    assert _values(file, 1) == [[[0, 255], [255, 0]]]


def test_a_palette_is_looked_up(file: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    _save(image, file)
    assert _values(file, 3) == [[[255, 0]], [[0, 0]], [[0, 255]]]


def test_transparent_parts_become_white_as_paper_is(file: Path) -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.putpixel((2, 0), (200, 0, 0, 128))
    _save(image, file)
    half = [round(value * 128 / 255 + 255 * 127 / 255) for value in (200, 0, 0)]
    np.testing.assert_allclose(_values(file, 3), [[[255, 0, v]] for v in half], atol=1)
    assert _values(file, 1)[0][0][:2] == [255, 0]


@pytest.mark.parametrize("mode", ["LA", "P", "L"])
def test_transparency_of_other_kinds_becomes_white_too(file: Path, mode: str) -> None:
    if mode == "LA":
        image = Image.new("LA", (2, 1), (0, 0))
        image.putpixel((1, 0), (50, 255))
        _save(image, file)
    elif mode == "P":
        image = Image.new("P", (2, 1))
        image.putpalette([*BLACK, 50, 50, 50])
        image.putpixel((1, 0), 1)
        _save(image, file, transparency=0)
    else:
        image = Image.new("L", (2, 1), 0)
        image.putpixel((1, 0), 50)
        _save(image, file, transparency=0)
    assert _values(file, 1) == [[[255, 50]]]


def test_sixteen_bits_are_scaled_and_not_cut_off(file: Path) -> None:
    deep = np.array([[0, 255, 256], [32768, 65535, 25700]], np.uint16)
    _save(Image.fromarray(deep), file)
    wanted = [[0, 1, 1], [128, 255, 100]]
    assert _values(file, 1) == [wanted]
    assert _values(file, 3) == [wanted] * 3


def test_cmyk_becomes_red_green_and_blue(tmp_path: Path) -> None:
    path = _save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(np.array(_values(path, 3))[:, 4, 4], RED, atol=12)


@pytest.mark.parametrize(
    ("orientation", "wanted"),
    [
        (1, [[1, 2, 3], [4, 5, 6]]),
        (2, [[3, 2, 1], [6, 5, 4]]),
        (3, [[6, 5, 4], [3, 2, 1]]),
        (6, [[4, 1], [5, 2], [6, 3]]),
        (8, [[3, 6], [2, 5], [1, 4]]),
    ],
)
def test_the_turn_of_a_photograph_is_applied(file: Path, orientation: int, wanted: list[list[int]]) -> None:
    """Orientation as EXIF 2.3 has it: 6 is to be turned by 90° clockwise, 8 by 90° the other way."""
    image = Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    _save(image, file, exif=exif)
    assert _values(file, 1) == [wanted]


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in (RED, GREEN, BLUE)]
    path = _save(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.array(_values(path, 3))[:, 0, 0].tolist() == [255, 0, 0]
    assert read_picture(path, 3).shape == (3, 3, 4)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_other_formats_under_any_name(tmp_path: Path, kind: str) -> None:
    path = _save(Image.new("RGB", (16, 8), (200, 30, 90)), tmp_path / "picture", format=kind)
    pixels = read_picture(path, 3)
    assert pixels.shape == (3, 8, 16)
    np.testing.assert_allclose(pixels[:, 4, 8].tolist(), (200, 30, 90), atol=8)


def test_reading_leaves_the_file_as_it_was_and_closed(file: Path) -> None:
    _save(Image.fromarray(COLOURS), file)
    before = file.read_bytes()
    read_picture(file, 3)  # an open file would be a ResourceWarning, which fails this test
    assert file.read_bytes() == before


def _noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is no image"),
        (b"just a text\n", "it is no image"),
        (b"\x89PNG\r\n\x1a\n", ""),
        (b"\xff\xd8\xff", "it is no image"),
        (b"GIF89a", ""),
        (b"%PDF-1.7", "it is no image"),
    ],
)
def test_a_file_that_is_no_image_is_refused_whatever_its_name(
    file: Path, content: bytes, message: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_picture(file, 1)
    assert str(caught.value).startswith(f"{file} can't be read as an image: {message}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP"])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, kind: str) -> None:
    buffer = io.BytesIO()
    _noise().save(buffer, kind)
    content = buffer.getvalue()
    path = tmp_path / "picture"
    for share in range(19):
        path.write_bytes(content[: len(content) * share // 20])
        with pytest.raises(DataError, match="can't be read as an image: "):
            read_picture(path, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
def test_a_damaged_file_gives_pixels_or_is_refused(tmp_path: Path, kind: str) -> None:
    """Bytes anywhere in it changed: whatever the decoder stumbles over is told as one error."""
    buffer = io.BytesIO()
    _noise().save(buffer, kind)
    random = np.random.default_rng(1)
    path = tmp_path / "picture"
    for _ in range(60):
        content = bytearray(buffer.getvalue())
        # Headers matter most, so half of the damage goes there.
        for place in (*random.integers(0, len(content), 3), *random.integers(0, 60, 3)):
            content[place] = random.integers(256)
        path.write_bytes(content)
        try:
            pixels = read_picture(path, 3)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017  not every damage is noticed
        else:
            assert pixels.shape[0] == 3


@pytest.mark.parametrize("value", [0, 26])
def test_a_turn_with_damaged_remarks_is_told_as_damage(tmp_path: Path, value: int) -> None:
    """Pillow raises struct.error or TypeError where it writes the EXIF data anew without the turn."""
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "abc", 6
    path = _save(_noise(), tmp_path / "a.jpg", exif=exif)
    content = bytearray(path.read_bytes())
    content[content.index(b"Exif") + 17] = value  # the first remark is now of another kind
    path.write_bytes(content)
    with pytest.raises(DataError, match="can't be read as an image: "):
        read_picture(path, 1)


def test_a_kind_of_pixel_that_is_not_known_is_told_as_damage(tmp_path: Path) -> None:
    """Pillow raises NotImplementedError for it."""
    path = _save(_noise(), tmp_path / "a.dds")
    content = bytearray(path.read_bytes())
    content[80] = 17
    path.write_bytes(content)
    with pytest.raises(DataError, match="can't be read as an image: Unknown pixel format"):
        read_picture(path, 1)


def test_a_chunk_without_a_name_is_told_as_damage(file: Path) -> None:
    """Pillow raises SyntaxError where the second part of a PNG's pixels should begin."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    first, second, *rest = _save(Image.fromarray(noise), file).read_bytes().split(b"IDAT")
    file.write_bytes(first + b"IDAT" + second + bytes(4) + b"IDAT".join(rest))
    with pytest.raises(DataError, match="can't be read as an image: broken PNG file"):
        read_picture(file, 1)


def test_a_remark_that_unpacks_to_far_too_much_is_refused(file: Path) -> None:
    """Pillow raises ValueError for it."""
    remark = PngInfo()
    remark.add_text("Comment", "x" * 3_000_000, zip=True)
    _save(_noise(), file, pnginfo=remark)
    with pytest.raises(DataError, match="can't be read as an image: Decompressed data too large"):
        read_picture(file, 1)


@pytest.mark.parametrize("name", ["nowhere.png", "."])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        read_picture(tmp_path / name, 1)
    assert str(caught.value) == f"There is no file {tmp_path / name}."


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Cut off, so that decoding it would be another error.
    file.write_bytes(_save(_noise(), file).read_bytes()[:200])
    monkeypatch.setattr(sys.modules["cutaway.pictures.decode"], "MOST_PIXELS", 1599)
    with pytest.raises(DataError) as caught:
        read_picture(file, 1)
    assert (
        str(caught.value)
        == f"{file} can't be read as an image: it has 40×40 pixels, more than 1,599; shrink it."
    )


def test_a_picture_of_just_the_largest_size_is_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _save(_noise(), file)
    monkeypatch.setattr(sys.modules["cutaway.pictures.decode"], "MOST_PIXELS", 1600)
    assert read_picture(file, 1).shape == (1, 40, 40)


def test_pillow_s_own_limit_is_told_as_an_error_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _save(_noise(), file)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="can't be read as an image: Image size"):
        read_picture(file, 1)


def test_pillow_s_warning_stays_away_below_our_own_limit(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between Pillow's limit and twice that it warns on stderr; our own limit is what counts."""
    _save(_noise(), file)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert read_picture(file, 1).shape == (1, 40, 40)

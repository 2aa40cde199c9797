"""One image file as an array of bytes, whatever it holds."""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from cutaway.config import Fit

Pixels = NDArray[np.uint8]

MOST_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded: ten thousand squared is no snapshot."""

# What Pillow's decoders were seen to raise for files with changed bytes, and the kin of these.
_UNREADABLE = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)

_GREY_MODES = {"1", "L", "LA", "La", "I", "F"}


class BadPictureError(Exception):
    """A file can't be decoded; the text says why, in words that follow "NAME: "."""


@dataclass(frozen=True)
class Form:
    """What every picture of a dataset is brought to.

    Args:
        channels: 1 for grey, 3 for colour, 0 for as they are.
        sides: height and width; None for as they are.
        fit: how another proportion is brought to the sides.
        pad: pixels added on every side afterwards.
    """

    channels: int = 0
    sides: tuple[int, int] | None = None
    fit: Fit = Fit.CROP
    pad: int = 0


def decode(file: Path | BinaryIO, form: Form) -> Pixels:
    """The pixels of an image file, upright, without transparency, in one form.

    A photograph's EXIF turn is applied, transparent parts become white as paper is, 16 bits become
    8, floating point becomes whole, and of an animation the first frame is taken. Pictures that become
    much smaller may be reduced by the JPEG decoder first, to no less than twice the size that is wanted.

    Args:
        file: any format that Pillow reads.
        form: what it is brought to.

    Returns:
        ``(C, H, W)``, uint8; as many channels as the form has, or 1 for a grey and 3 for a colour file.

    Raises:
        BadPictureError: it is no image, is damaged, or is too large.
    """
    try:
        # Pillow warns of damaged remarks, which are not used, and of pictures that are within our limit.
        with warnings.catch_warnings(action="ignore"), Image.open(file) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise BadPictureError(
                    f"it has {picture.width}×{picture.height} pixels, more than {MOST_PIXELS:,}; shrink it"
                )
            channels = form.channels or (1 if _is_grey(picture) else 3)
            if form.sides:
                _reduce(picture, form.sides)
            # TIFF's 16 bits without a sign have a mode of their own; its others are all "I".
            wide = picture.format == "TIFF" and picture.mode == "I"
            upright = _plain(ImageOps.exif_transpose(picture), channels, wide=wide)
            if form.sides and (upright.height, upright.width) != form.sides:
                upright = _fitted(upright, form.sides, form.fit)
            pixels = np.array(upright)
    except UnidentifiedImageError:
        raise BadPictureError("it is no image") from None
    except _UNREADABLE as error:
        raise _bad(error) from None
    stacked = pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return _padded(stacked, form.pad) if form.pad else stacked


def _is_grey(picture: Image.Image) -> bool:
    if picture.mode == "P" and picture.palette is not None:
        colours = np.frombuffer(picture.palette.getdata()[1], np.uint8)
        width = len(picture.palette.mode)
        if width < 3 or len(colours) % width:
            return False
        red, green, blue = colours.reshape(-1, width)[:, :3].T
        return bool((red == green).all() and (green == blue).all())
    return picture.mode in _GREY_MODES or picture.mode.startswith("I;")


def _reduce(picture: Image.Image, sides: tuple[int, int]) -> None:
    """Let the JPEG decoder give a smaller picture, where that is at least twice as large as wanted."""
    longest = 2 * max(sides)
    if picture.format == "JPEG" and min(picture.size) >= 2 * longest:
        shrink = min(picture.size) / longest
        picture.draft(None, (int(picture.width / shrink), int(picture.height / shrink)))


def _plain(picture: Image.Image, channels: int, *, wide: bool = False) -> Image.Image:
    """Grey or colour, 8 bits, on white paper; ``wide`` where whole numbers may have more than 16 bits."""
    # 16 bits do not fit Pillow's own conversion to 8: it would clip instead of scale.
    if picture.mode.startswith("I"):
        values = np.asarray(picture, np.float64)
        low, high = values.min(), values.max()
        if wide or not 0 <= low <= high <= 65535:
            raise BadPictureError(
                f"its values are whole numbers from {low:g} to {high:g}, with a sign or of 32 bits; "
                "save it with 8 bits, or 16 without a sign"
            )
        picture = Image.fromarray((values / 65535 * 255).round().astype(np.uint8))
    if picture.mode == "F":
        picture = Image.fromarray(_bytes(np.asarray(picture, np.float64)))
    if picture.has_transparency_data:
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, picture.convert("RGBA"))
    return picture.convert("L" if channels == 1 else "RGB")


def _bytes(values: NDArray[np.float64]) -> Pixels:
    """Floating point as bytes: from 0 to 1, or from 0 to 255. What else it may mean no file says."""
    low, high = values.min(), values.max()
    if not 0 <= low <= high <= 255:
        raise BadPictureError(
            f"its values are floating point, from {low:g} to {high:g}; "
            "save it with 8 or 16 bits, or from 0 to 1"
        )
    return (values * (255 if high <= 1 else 1)).round().astype(np.uint8)


def _fitted(picture: Image.Image, sides: tuple[int, int], fit: Fit) -> Image.Image:
    """The picture at other sides; Pillow's bilinear filter widens with the reduction, so nothing aliases."""
    height, width = sides
    if fit is Fit.STRETCH:
        return picture.resize((width, height), Image.Resampling.BILINEAR)
    scales = height / picture.height, width / picture.width
    scale = max(scales) if fit is Fit.CROP else min(scales)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    if fit is Fit.CROP:
        size = max(width, size[0]), max(height, size[1])
        if size[0] * size[1] > MOST_PIXELS:
            raise BadPictureError(
                f"its {picture.width}×{picture.height} pixels are too narrow to crop; take another data.fit"
            )
        left, top = (size[0] - width) // 2, (size[1] - height) // 2
        scaled = picture.resize(size, Image.Resampling.BILINEAR)
        return scaled.crop((left, top, left + width, top + height))
    size = min(width, size[0]), min(height, size[1])
    scaled = picture.resize(size, Image.Resampling.BILINEAR)
    ground = ground_of(np.asarray(scaled))
    frame = Image.new(scaled.mode, (width, height), ground if len(ground) > 1 else ground[0])
    frame.paste(scaled, ((width - size[0]) // 2, (height - size[1]) // 2))
    return frame


def ground_of(pixels: Pixels) -> tuple[int, ...]:
    """The middle value, channel by channel, of the outermost pixels of ``(H, W)`` or ``(H, W, C)``."""
    rows = pixels.reshape(*pixels.shape[:2], -1)
    ring = np.concatenate((rows[0], rows[-1], rows[1:-1, 0], rows[1:-1, -1]))
    return tuple(int(value) for value in np.sort(ring, 0)[(len(ring) - 1) // 2])


def _padded(pixels: Pixels, pad: int) -> Pixels:
    channels, height, width = pixels.shape
    ground = ground_of(pixels.transpose(1, 2, 0))
    frame = np.empty((channels, height + 2 * pad, width + 2 * pad), np.uint8)
    frame[:] = np.array(ground, np.uint8)[:, None, None]
    frame[:, pad : pad + height, pad : pad + width] = pixels
    return frame


def picture_size(file: Path | BinaryIO) -> tuple[int, int]:
    """Height and width of a picture, from its head alone.

    Raises:
        BadPictureError: it is no image.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file) as picture:
            return picture.height, picture.width
    except UnidentifiedImageError:
        raise BadPictureError("it is no image") from None
    except _UNREADABLE as error:
        raise _bad(error) from None


def _bad(error: Exception) -> BadPictureError:
    # The system's own errors repeat the file's name, which stands in front of the text anyway.
    told = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return BadPictureError(" ".join(told.split()))

"""Any image file as pixels."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from cutaway.errors import DataError, NotFoundError

MOST_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded: ten thousand squared is no snapshot."""

# What Pillow's decoders were seen to raise for files with changed bytes, and the kin of these.
_UNREADABLE = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


def read_picture(path: Path, channels: int) -> Tensor:
    """The pixels of an image file, upright and without transparency.

    A photograph's EXIF turn is applied, transparent parts become white, as paper is.

    Args:
        path: any format that Pillow reads; of an animation, the first frame.
        channels: 1 for grey, 3 for colour.

    Returns:
        ``(C, H, W)``, uint8.

    Raises:
        NotFoundError: there is no such file.
        DataError: it is no image, is damaged, or is too large.
    """
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.")
    try:
        # Pillow warns of damaged remarks, which are not used, and of pictures that are within our limit.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise DataError(
                    f"{path} has {picture.width}×{picture.height} pixels, more than {MOST_PIXELS:,}. "
                    "Shrink it."
                )
            upright = ImageOps.exif_transpose(picture)
            # 16 bits do not fit Pillow's own conversion to 8: it would clip instead of scale.
            if upright.mode.startswith("I"):
                values = np.asarray(upright, np.float64)
                upright = Image.fromarray((values / 65535 * 255).clip(0, 255).round().astype(np.uint8))
            if upright.has_transparency_data:
                paper = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(paper, upright.convert("RGBA"))
            pixels = np.array(upright.convert("L" if channels == 1 else "RGB"))
    except _UNREADABLE as error:
        reason = "it is no image" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(f"{path} can't be read as an image: {reason}.") from None
    tensor = torch.from_numpy(pixels)
    return tensor[None] if channels == 1 else tensor.permute(2, 0, 1).contiguous()

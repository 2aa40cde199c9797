"""Any image file as pixels."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from cutaway.errors import DataError, NotFoundError
from cutaway.pictures import MOST_PIXELS, BadPictureError, Form, decode

__all__ = ["MOST_PIXELS", "read_picture"]


def read_picture(path: Path, channels: int) -> Tensor:
    """The pixels of an image file, upright and without transparency.

    A photograph's EXIF turn is applied, transparent parts become white, as paper is.

    Args:
        path: any format that Pillow reads; of an animation, the first frame.
        channels: 1 for grey, 3 for colour, 0 for as it is.

    Returns:
        ``(C, H, W)``, uint8.

    Raises:
        NotFoundError: there is no such file.
        DataError: it is no image, is damaged, or is too large.
    """
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.")
    try:
        return torch.from_numpy(decode(path, Form(channels)))
    except BadPictureError as error:
        raise DataError(f"{path} can't be read as an image: {error}.") from None

"""The IDX format: arrays of bytes behind a small header, gzipped or not.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cutaway.errors import DataError

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> Tensor:
    """The array in an IDX file of unsigned bytes.

    Args:
        path: the file; gzip is recognised by its first two bytes, not by its name.

    Returns:
        uint8, in the shape that the file states.

    Raises:
        DataError: the file can't be read, is damaged, is no IDX file of unsigned bytes, or is
            longer or shorter than it states.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.") from None
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} is damaged ({error}). Fetch it again.") from None
    return _decode(content, path)


def write_idx(path: Path, array: Tensor) -> None:
    """Write a uint8 array as a gzipped IDX file, the same bytes each time."""
    header = bytes([0, 0, _UNSIGNED_BYTE, array.dim()])
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(gzip.compress(header + sizes + array.numpy().tobytes(), mtime=0))


def _decode(content: bytes, path: Path) -> Tensor:
    if len(content) < 4 or content[:2] != b"\x00\x00":
        magic = content[:4].hex() or "nothing"
        raise DataError(f"{path} is no IDX file: it starts with {magic}, not with two zero bytes.")
    kind, dimensions = content[2], content[3]
    if kind != _UNSIGNED_BYTE:
        raise DataError(f"{path} has elements of type 0x{kind:02x}; images and labels have 0x08 (bytes).")
    start = 4 + 4 * dimensions
    if not dimensions or len(content) < start:
        raise DataError(f"{path} is damaged: its header is cut off. Fetch it again.")
    shape = [int.from_bytes(content[4 * i : 4 * i + 4], "big") for i in range(1, dimensions + 1)]
    if len(content) - start != math.prod(shape):
        stated = "×".join(map(str, shape))
        raise DataError(
            f"{path} is damaged: it states {stated} bytes and has {len(content) - start:,}. Fetch it again."
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())

"""``npz``: NumPy arrays in one file, named as Keras, MedMNIST or a plain hand names them."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cutaway.config import DataConfig
from cutaway.data.images import Images, Split, make_split, told_apart
from cutaway.data.sources.registry import SOURCES, Source
from cutaway.errors import ConfigError, DataError, NotFoundError

LAYOUTS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Keras": {
        "train": ("x_train", "y_train"),
        "validation": ("x_val", "y_val"),
        "test": ("x_test", "y_test"),
    },
    "MedMNIST": {
        "train": ("train_images", "train_labels"),
        "validation": ("val_images", "val_labels"),
        "test": ("test_images", "test_labels"),
    },
    "plain": {"train": ("images", "labels")},
}
"""For each layout, the names of images and labels of each split. Splits after the first may be missing."""

_MOST_CLASSES = 1 << 16
"""A larger label is none: naming a class for each number up to it would fill the memory."""

# What NumPy was seen to raise for files with changed bytes.
_UNREADABLE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, SyntaxError, NotImplementedError, MemoryError),
    *(RuntimeError, OverflowError, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)

Array = NDArray[Any]


def load_npz(path: Path) -> Images:
    """The images of a ``.npz`` file.

    Images are ``(N, H, W)``, ``(N, H, W, C)`` or ``(N, C, H, W)`` with one or three channels. Where both
    the second and the last axis could be channels, the last one is, as Keras and MedMNIST have it. Labels
    are whole numbers from 0, ``(N,)`` or ``(N, 1)``. An array of strings called ``classes`` names the
    classes; without it their numbers do.

    Args:
        path: the file. Its arrays have the names of one of :data:`LAYOUTS`.

    Returns:
        The split "train", and "validation" and "test" where they are there.

    Raises:
        NotFoundError: there is no such file.
        DataError: it is damaged or no ``.npz`` file, lacks arrays, holds objects, or the arrays are no
            such images or labels.
    """
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}. Set data.path to a .npz file.")
    names = _names(path)
    layout = next((layout for layout in LAYOUTS.values() if layout["train"][0] in names), None)
    if layout is None:
        raise DataError(
            f"{path} has {', '.join(sorted(names)[:8]) or 'no arrays'}, but no x_train, train_images or "
            "images. Name its arrays as Keras or MedMNIST does."
        )
    found: dict[str, tuple[Array, Array]] = {}
    for split, pair in layout.items():
        if not names.isdisjoint(pair) or split == "train":
            images, labels = (_array(path, name, names) for name in pair)
            found[split] = _images(images, f"{path}: {pair[0]}"), _labels(labels, f"{path}: {pair[1]}")
    classes = _classes(path, names, found)
    shape = found["train"][0].shape[1:]
    splits: dict[str, Split] = {}
    for split, (images, labels) in found.items():
        if images.shape[1:] != shape:
            raise DataError(
                f"{path}: training images are {_times(shape)}, {split} images {_times(images.shape[1:])}. "
                "Give all splits one size."
            )
        splits[split] = make_split(
            torch.from_numpy(images), torch.from_numpy(labels), len(classes), f"{path} ({split})"
        )
    return Images(classes, splits)


def _names(path: Path) -> set[str]:
    """The names of the arrays."""
    # NumPy takes other files for a single array or a pickle; neither is what is looked for here.
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is no .npz file. Save one with numpy.savez.")
    try:
        # Opened here, for NumPy leaves a file open that it fails to read.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return set(file.files)
    except _UNREADABLE as error:
        raise _damaged(path, error) from None


def _array(path: Path, name: str, names: set[str]) -> Array:
    """One array, decompressed."""
    if name not in names:
        raise DataError(f"{path} has no array {name}, which belongs to what else is in it.")
    try:
        # NumPy would unpickle an array of objects, which can run any code; it is told not to.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            array: Array = file[name]
    except _UNREADABLE as error:
        if "allow_pickle" in str(error):
            raise DataError(f"{path}: {name} holds Python objects. Save it as numbers or strings.") from None
        raise _damaged(path, error) from None
    return array


def _damaged(path: Path, error: BaseException) -> DataError:
    told = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{path} can't be read: {told[:120]}. Save it anew with numpy.savez.")


def _images(array: Array, origin: str) -> Array:
    """``(N, C, H, W)`` uint8, from any of the axes that are understood."""
    if array.dtype != np.uint8:
        white, scaled = (1, "(x * 255).round()") if array.dtype.kind == "f" else (255, "x")
        raise DataError(
            f"{origin} is {array.dtype}, but images are uint8 from 0 to 255. If {white} is white, save "
            f'{scaled}.astype("uint8").'
        )
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in {1, 3}:
        array = array.transpose(0, 3, 1, 2)
    elif array.ndim != 4 or array.shape[1] not in {1, 3}:
        advice = "Give it as (N, H, W), (N, H, W, C) or (N, C, H, W), with C 1 or 3."
        if array.ndim == 4 and 4 in {array.shape[1], array.shape[3]}:
            advice = "Leave transparency, the fourth channel, out."
        raise DataError(f"{origin} is {_times(array.shape)}. {advice}")
    if 0 in array.shape[1:]:
        raise DataError(f"{origin} is {_times(array.shape)}: images without pixels.")
    return np.ascontiguousarray(array)


def _labels(array: Array, origin: str) -> Array:
    """``(N,)`` int64."""
    if array.dtype.kind not in "iu":
        raise DataError(
            f'{origin} is {array.dtype}, but labels are whole numbers from 0. Save y.astype("int64").'
        )
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        advice = "Of one-hot rows, take labels.argmax(1)." if array.ndim == 2 else "Give it as (N,)."
        raise DataError(f"{origin} is {_times(array.shape)}, but labels are one number an image. {advice}")
    return array.astype(np.int64)


def _classes(path: Path, names: set[str], found: Mapping[str, tuple[Array, Array]]) -> tuple[str, ...]:
    if "classes" not in names:
        largest = max((int(labels.max()) for _, labels in found.values() if len(labels)), default=-1)
        if largest >= _MOST_CLASSES:
            raise DataError(f"{path}: label {largest} is too large; labels count the classes from 0.")
        return tuple(str(number) for number in range(largest + 1))
    array = _array(path, "classes", names)
    if array.dtype.kind not in "US" or array.ndim != 1:
        raise DataError(f"{path}: classes is {array.dtype} of {_times(array.shape)}, not a list of strings.")
    return told_apart([v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in array.tolist()])


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _load(config: DataConfig) -> Images:
    if not config.path:
        raise ConfigError('The source "npz" reads a file: set data.path to it.')
    return load_npz(Path(config.path).expanduser())


SOURCES.add("npz")(Source("a .npz file of NumPy, with the array names of Keras or MedMNIST", _load))

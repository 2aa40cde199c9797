"""``hf:NAME``: a dataset of the Hugging Face Hub, through its optional library ``datasets``.

``hf:NAME@CONFIG`` names one of a dataset's configurations. https://huggingface.co/docs/datasets
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cutaway.config import DataConfig
from cutaway.data.images import Images, Split, make_split
from cutaway.data.sources.registry import SOURCES, Source
from cutaway.errors import ConfigError, CutawayError, DataError, NotFoundError
from cutaway.pictures import BadPictureError, Form, decode

_SPLITS = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""What a split may be called there; the first that is found is taken."""

_OLDEST = 4
"""Earlier versions of the library could run code that came with a dataset."""

_NETWORKS = {"httpcore", "httpx", "requests", "urllib3"}
"""Libraries below it, whose errors come through."""

Pixels = NDArray[np.uint8]


def load_hub(config: DataConfig) -> Images:
    """The images of a dataset of the Hub, with the splits that it has.

    The first column of images and the first one of classes are taken, as the dataset's features list
    them. A split without any labels, as tests of competitions are, is left out.

    Raises:
        NotFoundError: the library is not installed, or there is no such dataset.
        DataError: the Hub is out of reach, there is no such configuration, no training split, no
            column of images or of classes, or an image can't be read; with ``skip_bad`` such images
            are left out instead.
        ConfigError: no name is given, a path is, or the images have different sizes and no size is
            set.
    """
    name, _, chosen = config.source.partition(":")[2].partition("@")
    if not name:
        raise ConfigError('The source "hf" needs a name: hf:NAME, as in huggingface.co/datasets/NAME.')
    if config.path:
        raise ConfigError(f'The source "hf:{name}" reads no path: leave data.path empty.')
    library = _library()
    try:
        found = library.load_dataset(name, chosen or None)
    except Exception as error:  # noqa: BLE001  it lets errors of many libraries through
        raise _refusal(name, error) from None
    there = {
        split: next((called for called in names if called in found), None) for split, names in _SPLITS.items()
    }
    if there["train"] is None:
        raise DataError(f'"{name}" has no split train, but: {", ".join(found)}.')
    image, label, classes = _columns(library, name, found[there["train"]].features)
    splits: dict[str, Split] = {}
    skipped: list[tuple[str, str]] = []
    for split, called in there.items():
        if called is None:
            continue
        rows = found[called].select_columns([image, label])
        rows = rows.cast_column(image, library.Image(decode=False))
        labels, pictures = _read(rows, image, label, f"{name} ({called})", config=config, skipped=skipped)
        if split != "train" and labels and max(labels) < 0:
            continue
        pixels = torch.from_numpy(_stack(pictures, name))
        splits[split] = make_split(pixels, torch.tensor(labels), len(classes), f"{name} ({called})")
    return Images(classes, _alike(splits, name), tuple(skipped))


def _library() -> Any:
    """The library, if it is installed and new enough."""
    try:
        library = importlib.import_module("datasets")
    except ImportError:
        library = None
    # A folder called "datasets" where the command runs is imported as well, and is empty.
    if not hasattr(library, "load_dataset"):
        raise NotFoundError("The source \"hf\" needs the library datasets: pip install 'cutaway[hub]'")
    version = str(getattr(library, "__version__", "0"))
    if int(version.partition(".")[0]) < _OLDEST:
        raise NotFoundError(
            f"datasets {version} may run code that comes with a dataset; {_OLDEST}.0 and later don't: "
            "pip install -U 'cutaway[hub]'"
        )
    return library


def _refusal(name: str, error: Exception) -> CutawayError:
    """What an error of the library means."""
    if isinstance(error, FileNotFoundError):  # its own DatasetNotFoundError is one
        return NotFoundError(
            f'There is no dataset "{name}" on the Hub, or it is not open to you. Names are as in '
            "huggingface.co/datasets/NAME."
        )
    if (
        isinstance(error, ConnectionError | TimeoutError)
        or type(error).__module__.partition(".")[0] in _NETWORKS
    ):
        return DataError(
            f'The Hub is out of reach, and "{name}" was not fetched before ({type(error).__name__}). '
            "Check the network."
        )
    told = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
    advice = f" Name one: hf:{name}@CONFIG." if isinstance(error, ValueError) and "onfig" in told else ""
    return DataError(f'"{name}" can\'t be loaded: {told}.{advice}')


def _columns(library: Any, name: str, features: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """The column of images, that of classes, and the classes' names."""
    image = next((key for key, kind in features.items() if isinstance(kind, library.Image)), None)
    label = next((key for key, kind in features.items() if isinstance(kind, library.ClassLabel)), None)
    if image is None or label is None:
        lacking = "images" if image is None else "classes (ClassLabel)"
        listed = ", ".join(f"{key} ({type(kind).__name__})" for key, kind in features.items())
        raise DataError(f'"{name}" has no column of {lacking}, but: {listed}. Choose another dataset.')
    return image, label, tuple(features[label].names)


def _read(
    rows: Any, image: str, label: str, origin: str, *, config: DataConfig, skipped: list[tuple[str, str]]
) -> tuple[list[int], list[Pixels]]:
    """Labels, −1 where there is none, and pictures ``(C, H, W)`` of a split's rows."""
    form = Form(config.channels, config.sides, config.fit, config.pad)
    labels: list[int] = []
    pictures: list[Pixels] = []
    for number, row in enumerate(rows):
        try:
            pictures.append(_decode(row[image], form))
        except BadPictureError as error:
            if not config.skip_bad:
                raise DataError(
                    f"{origin}: image {number} can't be read: {error}. Leave such out with data.skip_bad."
                ) from None
            skipped.append((f"{origin}: image {number}", str(error)))
        else:
            labels.append(-1 if row[label] is None else int(row[label]))
    return labels, pictures


def _decode(value: Mapping[str, Any] | None, form: Form) -> Pixels:
    """A picture from what a dataset keeps: the file's bytes, or where it lies."""
    if value and value.get("bytes"):
        return decode(io.BytesIO(value["bytes"]), form)
    if value and value.get("path"):
        return decode(Path(value["path"]), form)
    raise BadPictureError("there is none")


def _stack(pictures: list[Pixels], name: str) -> Pixels:
    """All pictures of a split, ``(N, C, H, W)``; grey ones among coloured ones get three channels."""
    if not pictures:
        return np.empty((0, 1, 1, 1), np.uint8)
    channels, first = max(len(picture) for picture in pictures), pictures[0].shape[1:]
    other = next((picture.shape[1:] for picture in pictures if picture.shape[1:] != first), None)
    if other:
        raise _odd_sizes(name, first, other)
    stacked = np.empty((len(pictures), channels, *first), np.uint8)
    for row, picture in enumerate(pictures):
        stacked[row] = picture
    return stacked


def _alike(splits: Mapping[str, Split], name: str) -> dict[str, Split]:
    """The splits, if their images have one size; in colour where one of them is."""
    channels, first = max(split.shape[0] for split in splits.values()), splits["train"].shape[1:]
    found = {}
    for key, split in splits.items():
        if split.shape[1:] != first:
            raise _odd_sizes(name, first, split.shape[1:])
        store = split.store.expand(-1, channels, -1, -1).contiguous()
        found[key] = Split(store, split.labels, split.index)
    return found


def _odd_sizes(name: str, first: tuple[int, ...], other: tuple[int, ...]) -> ConfigError:
    told = " and ".join("×".join(map(str, sides)) for sides in (first, other))
    return ConfigError(
        f'"{name}" has images of {told} pixels (height × width). Set data.size, such as 64x64.'
    )


SOURCES.add("hf")(
    Source(
        "hf:NAME, a dataset of the Hugging Face Hub (pip install 'cutaway[hub]')",
        load_hub,
        sized=True,
        named=True,
    )
)

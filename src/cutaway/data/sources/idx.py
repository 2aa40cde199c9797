"""``idx``: a folder with four IDX files named as MNIST's; Fashion-MNIST and KMNIST have these too."""

from __future__ import annotations

from pathlib import Path

import torch

from cutaway.config import DataConfig
from cutaway.data.idx import read_idx
from cutaway.data.images import Images, Split, make_split
from cutaway.data.sources.registry import SOURCES, Source
from cutaway.errors import ConfigError, DataError, NotFoundError

_PREFIXES = {"train": "train", "test": "t10k"}


def load_idx_folder(folder: Path, classes: tuple[str, ...] = ()) -> Images:
    """The images in ``train-images-idx3-ubyte``, ``t10k-images-idx3-ubyte`` and their labels.

    Args:
        folder: has the four files, each gzipped (``.gz``) or not.
        classes: class names; without them, the labels' numbers.

    Raises:
        NotFoundError: the folder or one of the files is not there.
        DataError: a file is damaged, has the wrong number of dimensions, or the files do not
            belong together.
    """
    if not folder.is_dir():
        raise NotFoundError(f"There is no folder {folder}. Set data.path to one with IDX files.")
    arrays = {
        (split, kind): read_idx(_find(folder, f"{prefix}-{kind}"))
        for split, prefix in _PREFIXES.items()
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    }
    for (split, kind), array in arrays.items():
        wanted = 3 if kind.startswith("images") else 1
        if array.dim() != wanted:
            raise DataError(
                f"{folder}: {_PREFIXES[split]}-{kind} has {array.dim()} dimensions, not {wanted}. "
                f"Are images and labels swapped?"
            )
    if not classes:
        labels = torch.cat([array for (_, kind), array in arrays.items() if kind.startswith("labels")])
        largest = int(labels.max()) if len(labels) else -1  # no labels at all are refused below
        classes = tuple(str(number) for number in range(largest + 1))
    splits: dict[str, Split] = {}
    for split in _PREFIXES:
        images, labels = (arrays[split, k] for k in ("images-idx3-ubyte", "labels-idx1-ubyte"))
        splits[split] = make_split(images[:, None], labels, len(classes), f"{folder} ({split})")
    train, test = splits["train"].pixels.shape[1:], splits["test"].pixels.shape[1:]
    if train != test:
        raise DataError(
            f"{folder}: training images are {train[1]}×{train[2]}, test images {test[1]}×{test[2]}. "
            f"Take all four files from one dataset."
        )
    return Images(classes, splits)


def _find(folder: Path, name: str) -> Path:
    for candidate in (name, name.replace("-idx", ".idx", 1)):
        for ending in ("", ".gz"):
            if (folder / f"{candidate}{ending}").is_file():
                return folder / f"{candidate}{ending}"
    raise NotFoundError(f"{folder} has no file {name} or {name}.gz.")


def _load(config: DataConfig) -> Images:
    if not config.path:
        raise ConfigError('The source "idx" reads a folder: set data.path to it.')
    return load_idx_folder(Path(config.path).expanduser())


SOURCES.add("idx")(Source("a folder with the four IDX files of MNIST, Fashion-MNIST, KMNIST …", _load))

"""``folder``: anybody's images, in a folder for each class, in a folder or an archive.

Either ``train/<class>/…`` and ``test/<class>/…`` (and ``validation/…``), or ``<class>/…`` alone;
then the splits are made later.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cutaway.config import DataConfig
from cutaway.data.images import Images, Split
from cutaway.data.sources.registry import SOURCES, Source
from cutaway.errors import ConfigError, DataError
from cutaway.pictures import Cached, Form, decoded, open_place

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""What a split's folder may be called, in any case."""


def load_folder(config: DataConfig) -> Images:
    """The images of a folder or an archive, with the splits that it has.

    Raises:
        NotFoundError: there is nothing at the path.
        ConfigError: no path is set, or the images have different sizes and no size is set.
        DataError: files can't be read, folders are not laid out by class, or there are fewer than
            two classes; with ``skip_bad`` bad files are left out instead.
    """
    if not config.path:
        raise ConfigError('The source "folder" reads a folder or an archive: set data.path to it.')
    path = Path(config.path).expanduser()
    form = Form(config.channels, config.sides, config.fit, config.pad)
    found = decoded(open_place(path), form)
    layout = _Layout.of(found)
    bad = [*((_shown(name), reason) for name, reason in found.skipped), *layout.bad]
    if bad and not config.skip_bad:
        raise _bad_files(path, bad)
    layout.check(path)
    pixels = _mapped(found)
    names = [_shown(name) for name in found.names]
    splits = {}
    for split, rows in layout.rows.items():
        index = torch.tensor(rows, dtype=torch.int64)
        splits[split] = Split(pixels, layout.labels(split), index, names)
    return Images(tuple(layout.classes), splits, tuple(bad))


class _Layout:
    """Which image belongs to which split and class, told by the folders it lies in."""

    def __init__(self) -> None:
        self.rows: dict[str, list[int]] = {}
        self.bad: list[tuple[str, str]] = []
        self._of_class: dict[str, list[str]] = {}
        self.classes: list[str] = []
        self._empty: list[str] = []

    @classmethod
    def of(cls, found: Cached) -> _Layout:
        """The layout of what was found."""
        layout = cls()
        folders = [name.rpartition("/")[0] for name in found.names]
        # Folders are few and images many: what a folder means is found out once.
        ways = {folder: [*folder.split("/"), ""] if folder else [""] for folder in set(folders)}
        skip = _common_depth(list(ways.values()))
        # A class may be called "train": one that is a split has classes in it.
        by_split = any(_split_of(parts[skip]) == "train" for parts in ways.values() if len(parts) > skip + 2)
        depth = skip + 1 if by_split else skip
        within = not by_split and _splits_in_classes(list(ways.values()), skip)
        meant: dict[str, tuple[str, str] | None] = {}
        for folder, parts in ways.items():
            into = _split_of(parts[skip]) if by_split else "train"
            if within and len(parts) > skip + 1:
                into = _split_of(parts[skip + 1])
            is_class = len(parts) >= depth + 2
            meant[folder] = (into, _shown(parts[depth])) if into and is_class else None
        unusable = {name for name, _ in found.skipped}
        # Names are in order, so a folder's images follow each other.
        for folder, rows in groupby(range(len(folders)), folders.__getitem__):
            usable = [row for row in rows if not unusable or found.names[row] not in unusable]
            place = meant[folder]
            if place is None:
                layout.bad += [(_shown(found.names[row]), "it lies in no class's folder") for row in usable]
            elif usable:
                split, name = place
                layout.rows.setdefault(split, []).extend(usable)
                layout._of_class.setdefault(split, []).extend([name] * len(usable))
        layout.classes = sorted({name for split in layout._of_class.values() for name in split})
        named = _class_folders(found.folders, next(iter(ways.values()))[:skip], by_split)
        layout._empty = sorted(named - set(layout.classes))
        layout.bad += [(name, "no image in this class's folder can be used") for name in layout._empty]
        return layout

    def labels(self, split: str) -> Tensor:
        """``(N,)`` int64, for the rows of a split."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        return torch.tensor([numbers[name] for name in self._of_class[split]], dtype=torch.int64)

    def check(self, path: Path) -> None:
        """Raise DataError where there is nothing to learn, or two classes may be one."""
        if self.classes and all(name.lower() in _SPLITS for name in self.classes):
            raise DataError(f'{path} has images in "{self.classes[0]}", but none in train/<class>/…')
        if len(self.classes) < 2:
            found = f'only the class "{self.classes[0]}"' if self.classes else "no class's folder"
            raise DataError(
                f"{path} has {found}. Put the images into a folder for each class: "
                "train/<class>/… and test/<class>/…, or <class>/…"
            )
        first: dict[str, str] = {}
        for name in self.classes:
            other = first.setdefault(name.lower(), name)
            if other != name:
                raise DataError(
                    f'{path}: the classes "{other}" and "{name}" differ only in case. Give them one name.'
                )
        known = set(self._of_class.get("train", ()))
        for split, classes in self._of_class.items():
            missing = sorted(set(classes) - known)
            if missing:
                raise DataError(f'{path}: the class "{missing[0]}" is in {split} but has no training images.')


def _common_depth(names: Sequence[Sequence[str]]) -> int:
    """How many folders all images lie in that only wrap the dataset, as in ``flowers/train/rose/1.jpg``."""
    depth = 0
    while True:
        tops = {parts[depth] for parts in names if len(parts) > depth}
        if len(tops) != 1 or next(iter(tops)).lower() in _SPLITS:
            return depth
        # A folder with images right in it is a class, not a wrapping.
        if any(len(parts) < depth + 3 for parts in names):
            return depth
        depth += 1


def _split_of(folder: str) -> str | None:
    """The split that a folder's name stands for."""
    return _SPLITS.get(folder.lower())


def _splits_in_classes(names: Sequence[Sequence[str]], skip: int) -> bool:
    """Whether every class has folders of splits in it, as in ``rose/train/1.jpg``, and nothing else."""
    inner = [_split_of(parts[skip + 1]) for parts in names if len(parts) > skip + 1]
    return "train" in inner and None not in inner


def _class_folders(folders: Iterable[str], wrapping: Sequence[str], by_split: bool) -> set[str]:
    """The classes that the training split's folders name, empty ones too."""
    found = set()
    skip = len(wrapping)
    for folder in folders:
        parts = folder.split("/")
        if parts[:skip] != wrapping:
            continue
        if by_split and len(parts) == skip + 2 and _SPLITS.get(parts[skip].lower()) == "train":
            found.add(_shown(parts[skip + 1]))
        elif not by_split and len(parts) == skip + 1:
            found.add(_shown(parts[skip]))
    return found


def _bad_files(path: Path, bad: Sequence[tuple[str, str]]) -> DataError:
    first = "; ".join(f"{name}: {reason}" for name, reason in bad[:2])
    more = f" and {len(bad) - 2:,} more" if len(bad) > 2 else ""
    what = "1 file" if len(bad) == 1 else f"{len(bad):,} files"
    return DataError(
        f"{path}: {what} can't be used: {first}{more}.\n"
        "Mend or remove them, or leave them out with --skip-bad (data.skip_bad = true)."
    )


def _mapped(found: Cached) -> Tensor:
    """The pixels as a tensor on the same, read-only memory."""
    with warnings.catch_warnings():
        # PyTorch knows no read-only tensors and warns; nothing here writes into a dataset.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(np.asarray(found.pixels))


def _shown(name: str) -> str:
    r"""A file's name as text: bytes that are no UTF-8 are written as ``\xff``."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


SOURCES.add("folder")(
    Source(
        "your own images: a folder or archive with <class>/… or train/<class>/… and test/…",
        load_folder,
        sized=True,
    )
)

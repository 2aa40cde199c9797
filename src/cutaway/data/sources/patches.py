"""``patches``: crops of a few photographs of each class, no pixel of which is in two splits.

Every photograph is divided from left to right: a part for training, a strip for validation, a part
for testing. The crops of a split come from its own parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from cutaway.config import DataConfig, derive
from cutaway.data.images import Images, Split, make_split
from cutaway.data.made import deal
from cutaway.data.picture import read_picture
from cutaway.data.sizing import recolour
from cutaway.data.sources.registry import SOURCES, Source
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.pictures.place import ENDINGS

_SIDES = (64, 64)
_PER_CLASS = 200
_SHARES = {"validation": 0.1, "test": 0.25}
"""Of a photograph's width, where a number of crops is asked for instead of a share."""


@dataclass
class _Crops:
    """What has been cut out for one split so far; grey and colour meet here."""

    pixels: list[Tensor] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def split(self, classes: int, channels: int, origin: str) -> Split:
        """All of them, in as many channels."""
        store = torch.cat([recolour(pixels, channels) for pixels in self.pixels])
        return make_split(store, torch.tensor(self.labels), classes, origin, self.names)


def load_patches(config: DataConfig) -> Images:
    """Crops of the photographs ``<class>.jpg`` or ``<class>/*.jpg`` in a folder, in any image format.

    Args:
        config: ``per_class`` crops of each class for training, dealt evenly over its photographs;
            ``validation`` and ``test`` are shares of a photograph's width, with crops in proportion,
            or numbers of crops over all classes. At 0 there is no such split, and no part for it.

    Returns:
        the splits "train" and, if asked for, "validation" and "test"; grey where all photographs
        are. A crop's name is its file with the crop's left and top, as ``bark.jpg@123,45``.

    Raises:
        ConfigError: no path is set, or the shares leave nothing to train on.
        NotFoundError: there is no such folder.
        DataError: there are no photographs, one can't be read (with ``skip_bad``: none of a class
            can) or is too small for parts of its own for each split.
    """
    if not config.path:
        raise ConfigError('The source "patches" cuts up photographs: set data.path to a folder with them.')
    if sum(_shares(config).values()) >= 1:
        raise ConfigError(
            "data.validation and data.test take all of each photograph; leave some to train on."
        )
    folder = Path(config.path).expanduser()
    files = _files(folder)
    each = config.per_class or _PER_CLASS
    counts = {
        "train": [each] * len(files),
        "validation": deal(config.validation, each, len(files)),
        "test": deal(config.test, each, len(files)),
    }
    counts = {split: numbers for split, numbers in counts.items() if sum(numbers)}
    crops = {split: _Crops() for split in counts}
    skipped: list[tuple[str, str]] = []
    for label, (name, paths) in enumerate(files.items()):
        photographs = _photographs(folder, name, paths, config, skipped)
        for at, (file, photograph) in enumerate(photographs.items()):
            parts = _parts(folder / file, photograph, config)
            for split, (left, right) in parts.items():
                count = deal(counts[split][label], 0, len(photographs))[at]
                seed = derive(config.split_seed, "patches", split, file)
                part = photograph[:, :, left:right]
                pixels, corners = _cut(part, count, config.sides or _SIDES, seed)
                crops[split].pixels.append(pixels)
                crops[split].labels += [label] * count
                crops[split].names += [f"{file}@{left + x},{y}" for x, y in corners]
    channels = config.channels or max(pixels.shape[1] for pixels in crops["train"].pixels)
    splits = {split: cut.split(len(files), channels, f"{folder} ({split})") for split, cut in crops.items()}
    return Images(tuple(files), splits, tuple(skipped))


def _files(folder: Path) -> dict[str, list[Path]]:
    """The photographs of each class, both by name."""
    if not folder.is_dir():
        raise NotFoundError(f"There is no folder {folder}. Set data.path to one with photographs.")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            inside = [p for p in sorted(path.iterdir()) if _is_picture(p)]
            if not inside:
                raise DataError(f"{path} has no photographs. Put some there, or remove the folder.")
            found.setdefault(path.name, []).extend(inside)
        elif _is_picture(path):
            found.setdefault(path.stem, []).append(path)
    if not found:
        raise DataError(f"{folder} has no photographs: put <class>.jpg or <class>/….jpg there.")
    return dict(sorted(found.items()))


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def _photographs(
    folder: Path, name: str, paths: Sequence[Path], config: DataConfig, skipped: list[tuple[str, str]]
) -> dict[str, Tensor]:
    """The photographs of one class, ``(C, H, W)`` each, by their way from the folder."""
    found = {}
    for path in paths:
        file = path.relative_to(folder).as_posix()
        try:
            found[file] = read_picture(path, config.channels)
        except DataError as error:
            if not config.skip_bad:
                raise
            reason = str(error).removeprefix(f"{path} can't be read as an image: ").removesuffix(".")
            skipped.append((file, reason))
    if not found:
        raise DataError(f'{folder}: no photograph of the class "{name}" can be read. Put another one there.')
    return found


def _parts(path: Path, photograph: Tensor, config: DataConfig) -> dict[str, tuple[int, int]]:
    """From which column to which each split's part of a photograph ``(C, H, W)`` reaches.

    Validation and test have their shares of the width, but at least a crop's; training has the rest.
    """
    tall, wide = config.sides or _SIDES
    height, width = photograph.shape[1:]
    parts = {}
    right = width
    for split, share in _shares(config).items():
        left = right - max(wide, round(share * width))
        parts[split] = (left, right)
        right = left
    parts["train"] = (0, right)
    if right < wide or height < tall:
        splits = [split for split in ("train", "validation", "test") if split in parts]
        raise DataError(
            f"{path} has {width}×{height} pixels, too few for crops of {wide}×{tall} in parts of their own "
            f"for {', '.join(splits)}.\n"
            f"Take one of {_narrowest(wide, config)}×{tall} or more, or make data.size smaller."
        )
    return {split: parts[split] for split in ("train", "validation", "test") if split in parts}


def _narrowest(wide: int, config: DataConfig) -> int:
    """A width in which every part is wide enough, and training has a crop's width left."""
    shares = list(_shares(config).values())
    # Each part is a crop or its share wide, whichever is more: every such choice gives a bound.
    choices = [chosen for size in range(len(shares) + 1) for chosen in combinations(shares, size)]
    width = max(math.floor(wide * (1 + len(shares) - len(some)) / (1 - sum(some))) for some in choices)
    while width - sum(max(wide, round(share * width)) for share in shares) < wide:
        width += 1  # bound and shares are rounded to whole pixels
    return width


def _shares(config: DataConfig) -> dict[str, float]:
    """The shares of a photograph's width that the splits besides training have, from right to left."""
    asked = {"test": config.test, "validation": config.validation}
    return {split: one if one < 1 else _SHARES[split] for split, one in asked.items() if one}


def _cut(part: Tensor, count: int, sides: tuple[int, int], seed: int) -> tuple[Tensor, list[tuple[int, int]]]:
    """Crops at random places of a part ``(C, H, W)``: their pixels, and each one's left and top.

    No place is taken twice before all have been taken.

    Returns:
        ``(N, C, *sides)`` uint8, and N pairs.
    """
    rows, columns = part.shape[1] - sides[0] + 1, part.shape[2] - sides[1] + 1
    places = rows * columns
    rounds, rest = divmod(count, places)
    drawn = torch.randint(places - rest + 1, (rest,), generator=torch.Generator().manual_seed(seed))
    # Sorted numbers may be equal; the first raised by 0, the second by 1 … are all different.
    some = drawn.sort().values + torch.arange(rest)
    chosen = torch.cat([torch.arange(places)] * rounds + [some])
    corners = [(place % columns, place // columns) for place in chosen.tolist()]
    pixels = torch.empty(count, part.shape[0], *sides, dtype=torch.uint8)
    for crop, (x, y) in zip(pixels, corners, strict=True):
        crop.copy_(part[:, y : y + sides[0], x : x + sides[1]])
    return pixels, corners


SOURCES.add("patches")(
    Source("crops of a few photographs of each class, <class>.jpg or <class>/…", load_patches)
)

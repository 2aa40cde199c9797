"""What a person means by a path or a name: which source reads it, and at which size."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cutaway.data.sources import SOURCES
from cutaway.errors import DataError, NotFoundError, nearest
from cutaway.pictures import BadPictureError, Place, open_place, picture_size

_PROBED = 300
"""Pictures whose size is looked at; what they have in common is stable by then."""

_SIDES = (32, 48, 64, 96, 128)
"""What sides are brought to where they differ or are large: halved often, they stay whole."""

_SMALL = 64
"""Pictures of one size with sides up to this are taken as they are."""


@dataclass(frozen=True)
class Recognised:
    """How a dataset is read.

    Args:
        source: the source's name.
        path: what it reads; empty for an embedded one.
        size: height x width that images are brought to; empty for as they are.
        why_source: a reason for the source.
        why_size: a reason for the size.
    """

    source: str
    path: str = ""
    size: str = ""
    why_source: str = ""
    why_size: str = ""


def recognise(what: str) -> Recognised:
    """The source that reads a folder, an archive or a file, or that has a name.

    Raises:
        NotFoundError: there is neither such a path nor such a source.
        DataError: nothing here reads what lies at the path.
    """
    path = Path(what).expanduser()
    if what in SOURCES or what.startswith("hf:"):
        return Recognised(what, why_source="a source by its name")
    if not path.exists():
        raise NotFoundError(f'There is no file or folder and no source "{what}".{nearest(what, SOURCES)}')
    if path.suffix.lower() == ".npz":
        return Recognised("npz", what, why_source="arrays in a NumPy file")
    inside = sorted(item.name for item in path.iterdir()) if path.is_dir() else []
    for source, is_one in _BY_NAMES.items():
        if is_one([path.name, *inside]):
            return Recognised(source, what, why_source="told by the names of its files")
    place = open_place(path)
    pictures = place.list().names
    if not pictures:
        raise DataError(f"{path} has no image files.")
    flat = all("/" not in name for name in pictures)
    sizes = _sizes(place, pictures)
    if flat:
        return Recognised(
            "patches",
            what,
            "64x64",
            "a photograph for each class, from which patches are cut",
            "of the photographs, which have about " + _told(sizes),
        )
    size, why = _common_size(sizes)
    return Recognised("folder", what, size, "a folder for each class", why)


def _is_idx(names: Sequence[str]) -> bool:
    return any("images" in name and "ubyte" in name for name in names)


def _is_cifar(kind: str, file: str) -> bool:
    return kind in file and "python" not in file


def _is_cifar10(names: Sequence[str]) -> bool:
    return "data_batch_1.bin" in names or any(_is_cifar("cifar-10-b", name) for name in names)


def _is_cifar100(names: Sequence[str]) -> bool:
    return {"train.bin", "test.bin"} <= set(names) or any(_is_cifar("cifar-100-binary", n) for n in names)


_BY_NAMES: dict[str, Callable[[Sequence[str]], bool]] = {
    "idx": _is_idx,
    "cifar100": _is_cifar100,
    "cifar10": _is_cifar10,
}


def _sizes(place: Place, names: Sequence[str]) -> list[tuple[int, int]]:
    """Height and width of some pictures, spread over all; bad ones are left out."""
    step = max(1, len(names) // _PROBED)
    found = []
    for _, where in place.read(names[::step]):
        if isinstance(where, str):
            continue
        try:
            found.append(picture_size(io.BytesIO(where) if isinstance(where, bytes) else where))
        except BadPictureError:
            continue
        if len(found) == _PROBED:
            break
    if not found:
        raise DataError(f"{place.path}: none of the images that were looked at can be read.")
    return found


def _common_size(sizes: Sequence[tuple[int, int]]) -> tuple[str, str]:
    same = len(set(sizes)) == 1
    if same and max(sizes[0]) <= _SMALL:
        return "", ""
    middle = sorted(min(size) for size in sizes)[len(sizes) // 2]
    side = max([s for s in _SIDES[:3] if s <= middle] or _SIDES[:1])
    told = f"all have {_told(sizes)}" if same else f"they differ, about {_told(sizes)}"
    return (
        f"{side}x{side}",
        f"{told}; this is fast and shows what is in them. Larger tells finer things apart",
    )


def _told(sizes: Sequence[tuple[int, int]]) -> str:
    """The middle height and width of some pictures."""
    heights, widths = (sorted(side) for side in zip(*sizes, strict=True))
    return f"{heights[len(sizes) // 2]}x{widths[len(sizes) // 2]}"

"""Decoded pictures on the disk, so that the second start finds them and memory need not hold them.

An entry is a folder with all pixels in one file, mapped into memory, and a description that is
written last. It is made under another name and renamed, so there are only whole entries; its name
is a digest of what it was made from, so a changed folder finds none.
"""

from __future__ import annotations

import errno
import gc
import hashlib
import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from cutaway.disk import locked
from cutaway.errors import ConfigError, DataError, StoreError
from cutaway.pictures.crew import Decoded, decode_all
from cutaway.pictures.decode import BadPictureError, Form, decode
from cutaway.pictures.place import Listing, Place

_VERSION = 2
"""Raised whenever the same file is decoded to other pixels."""

_MAKING = ".making"
_ENTRY = re.compile(r"[0-9a-f]{32}")
_OWN = {"index.json", "pixels", "lock"}
_TRIES = 100


@dataclass(frozen=True)
class Cached:
    """The pictures of a place, decoded.

    Args:
        pixels: ``(N, C, H, W)`` uint8, mapped from a file and read-only.
        names: the file of each.
        folders: all folders of the place.
        skipped: files that could not be read, with the reasons; their rows are not in use.
    """

    pixels: NDArray[np.uint8]
    names: Sequence[str]
    folders: Sequence[str]
    skipped: Sequence[tuple[str, str]]


def cache_folder() -> Path:
    """``CUTAWAY_CACHE``, or ``cutaway`` where the system keeps caches."""
    given = os.environ.get("CUTAWAY_CACHE")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "cutaway"


def decoded(place: Place, form: Form) -> Cached:
    """The pictures of a place in one form: from the cache, or decoded now and kept there.

    Files that can't be read are left out and named in the result, whoever wants them or not.

    Raises:
        DataError: there are no pictures, or the archive is damaged.
        ConfigError: they have different sizes, and the form has none.
        StoreError: the cache can't be written.
    """
    stamp, listing = place.stamp(), None
    if stamp is None:
        with _no_collection():
            listing = place.list()
            stamp = listing.digest()
    # What one Pillow can't read another can.
    reader = f"Pillow {PIL.__version__}"
    about = {"version": _VERSION, "reader": reader, "path": str(place.path.absolute()), "form": asdict(form)}
    about = json.loads(json.dumps(about))  # tuples are lists in a file
    folder = cache_folder() / "images" / _digest(json.dumps(about, sort_keys=True), stamp)[:32]
    return _load(folder) or _make(folder, place, listing or place.list(), form, about)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Inside, Python looks for no circles: among hundreds of thousands of new tuples it takes a quarter."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _load(folder: Path) -> Cached | None:
    """An entry; None where there is none or it is not whole."""
    try:
        values = json.loads((folder / "index.json").read_bytes())
        names, shape = values["names"], values["shape"]
        pixels = np.memmap(folder / "pixels", np.uint8, "r", shape=(len(names), *shape))
        if values["version"] != _VERSION or (folder / "pixels").stat().st_size != pixels.size:
            return None
        skipped = [(name, reason) for name, reason in values["skipped"]]
        found = Cached(pixels, names, values["folders"], skipped)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    with suppress(OSError):
        os.utime(folder)  # when it was last of use
    return found


def _make(folder: Path, place: Place, listing: Listing, form: Form, about: dict[str, Any]) -> Cached:
    names = listing.names
    if not names:
        why = f" ({listing.bad[0][0]}: {listing.bad[0][1]})" if listing.bad else ""
        raise DataError(f"{place.path} has no image files{why}.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder.parent)
        with ExitStack() as held:
            making = _hold(folder, held)
            shape, found = _fill(making / "pixels", place, names, form)
            skipped = [*listing.bad, *((names[row], reason) for row, reason in found.bad)]
            if len(found.bad) == len(names):
                raise _nothing(place, names, skipped[0])
            values = {
                **about,
                "shape": shape,
                "names": names,
                "folders": sorted(listing.folders),
                "skipped": skipped,
            }
            (making / "index.json").write_text(json.dumps(values), encoding="ascii")
            _sync(making / "pixels")
            _sync(making / "index.json")
            _place(making, folder)
    except OSError as error:
        raise _unwritable(folder.parent, error) from None
    _remove_older(folder, about)
    made = _load(folder)
    if made is None:
        raise StoreError(f"The cache {folder} was changed by another process. Try again.")
    return made


def _fill(target: Path, place: Place, names: Sequence[str], form: Form) -> tuple[list[int], Decoded]:
    """Decode everything into ``target``; the shape, and what was bad."""
    channels, height, width = _first_shape(place, names, form)
    # As they are: grey, until one is found in colour.
    while True:
        shape = channels, height, width
        _reserve(target, len(names) * channels * height * width)
        working = Form(form.channels or (0 if channels == 1 else 3), form.sides, form.fit, form.pad)
        found = decode_all(place, names, target, shape, working)
        if found.odd:
            row, sides = found.odd
            others = f"{height - 2 * form.pad}×{width - 2 * form.pad}"
            raise ConfigError(
                f"The images have different sizes: {names[row]} has {sides[0]}×{sides[1]} pixels "
                f"(height × width), others {others}. Set data.size, such as 64x64."
            )
        if found.colour is None:
            return list(shape), found
        channels = 3


def _first_shape(place: Place, names: Sequence[str], form: Form) -> tuple[int, int, int]:
    """``(C, H, W)`` of the first picture that can be decoded."""
    first: tuple[str, str] | None = None
    for name, where in place.read(names):
        if isinstance(where, str):
            continue
        try:
            pixels = decode(io.BytesIO(where) if isinstance(where, bytes) else where, form)
        except BadPictureError as error:
            first = first or (name, str(error))
            continue
        # Colour files may hold grey pictures; whether all do, decoding tells.
        grey = not form.channels and bool((pixels == pixels[:1]).all())
        return 1 if grey else pixels.shape[0], pixels.shape[1], pixels.shape[2]
    raise _nothing(place, names, first)


def _nothing(place: Place, names: Sequence[str], first: tuple[str, str] | None) -> DataError:
    why = f" {first[0]}: {first[1]}." if first else ""
    return DataError(f"{place.path}: none of its {len(names):,} image files can be read.{why}")


def _reserve(target: Path, size: int) -> None:
    """Take the room on the disk now: a map of a file that has none kills the process that touches it."""
    handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, size)
        else:
            os.truncate(handle, size)
    finally:
        os.close(handle)


def _unwritable(folder: Path, error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"The disk of {folder} is full. Free some space, or set CUTAWAY_CACHE to a folder with more room."
        )
    why = error.strerror or str(error)
    return StoreError(f"{folder} can't be written: {why}. Set CUTAWAY_CACHE to a folder that can.")


def _hold(folder: Path, held: ExitStack) -> Path:
    """Make a folder beside ``folder`` that this process holds, and that goes when ``held`` ends."""
    # In the instant before it is locked, another process may take it for a leftover. A new name each
    # time: the other has listed its leftovers already, and does not know it.
    for _ in range(_TRIES):
        making = folder.with_name(f"{folder.name}.{os.getpid()}.{secrets.token_hex(4)}{_MAKING}")
        making.mkdir()
        attempt = ExitStack()
        attempt.callback(shutil.rmtree, making, ignore_errors=True)
        with suppress(StoreError), attempt:
            attempt.enter_context(locked(making))
            if (making / "lock").exists():
                held.push(attempt.pop_all())
                return making
    raise OSError(errno.ENOLCK, "no lock can be had")


def _place(making: Path, folder: Path) -> None:
    """Give an entry its name; one that another process has made meanwhile is as good."""
    try:
        making.rename(folder)
    except OSError:
        if _load(folder) is not None:
            return
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)
    (folder / "lock").unlink(missing_ok=True)  # only now: without it the folder would be a leftover


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed processes were making."""
    for leftover in folder.glob(f"*{_MAKING}"):
        if not _ENTRY.match(leftover.name):
            continue
        with suppress(StoreError, OSError), locked(leftover):
            shutil.rmtree(leftover, ignore_errors=True)


def _remove_older(folder: Path, about: dict[str, Any]) -> None:
    """Remove entries of the same place and form whose content has changed since."""
    for entry in _entries(folder.parent):
        if entry == folder:
            continue
        values = _description(entry)
        same = ("path", "form")
        if values is None or all(values.get(key) == about[key] for key in same):
            shutil.rmtree(entry, ignore_errors=True)


def _entries(folder: Path) -> list[Path]:
    """The entries in the cache's folder. What else lies there is somebody's own, and stays."""
    if not folder.is_dir():
        return []
    return [entry for entry in folder.iterdir() if _ENTRY.fullmatch(entry.name) and _is_own(entry)]


def _is_own(entry: Path) -> bool:
    """Whether a folder has what an entry has and nothing else; not where another process removes it now."""
    try:
        return not entry.is_symlink() and {file.name for file in entry.iterdir()} <= _OWN
    except OSError:
        return False


def _description(entry: Path) -> dict[str, Any] | None:
    try:
        values = json.loads((entry / "index.json").read_bytes())
    except (OSError, ValueError):
        return None
    is_whole = isinstance(values, dict) and {"path", "form", "names", "shape"} <= values.keys()
    return values if is_whole and values.get("version") == _VERSION else None


@dataclass(frozen=True)
class CacheEntry:
    """One entry of the cache, for a list.

    Args:
        folder: of it.
        path: what it was made from.
        images: how many.
        shape: ``(C, H, W)``.
        size: bytes on the disk.
    """

    folder: Path
    path: str
    images: int
    shape: tuple[int, ...]
    size: int


def cache_entries() -> list[CacheEntry]:
    """What the cache holds, the one used last first."""
    base = cache_folder() / "images"
    found = []
    for entry in _entries(base):
        values = _description(entry)
        if values is not None:
            shape, images = tuple(values["shape"]), len(values["names"])
            told = CacheEntry(entry, values["path"], images, shape, _size(entry))
            found.append((entry.stat().st_mtime, told))
    return [told for _, told in sorted(found, key=lambda pair: -pair[0])]


def clear_cache() -> int:
    """Remove all entries; the bytes that this frees. What another process is making stays."""
    freed = 0
    base = cache_folder() / "images"
    if base.is_dir():
        _remove_leftovers(base)
        for entry in _entries(base):
            freed += _size(entry)
            shutil.rmtree(entry, ignore_errors=True)
    return freed


def _size(entry: Path) -> int:
    return sum(file.stat().st_size for file in entry.iterdir())

"""Where image files lie: a folder or an archive, listed and read in one way. Nothing is unpacked."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Self

from cutaway.errors import DataError, NotFoundError

_JPEG = (".jpg", ".jpeg", ".jpe", ".jp2")
_PLAIN = (".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".tga", ".avif")
_NETPBM = (".ppm", ".pgm", ".pbm", ".pnm")
ENDINGS = frozenset((*_JPEG, *_PLAIN, *_NETPBM))
"""What an image file's name ends with; others are left alone."""

LARGEST = 256 << 20
"""Bytes of one file in an archive; more is no picture but a trap."""

_LITTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}


@dataclass
class Listing:
    """What was found in a place.

    Args:
        files: image files by name, in order: the way from the place, with slashes, as the system has
            it (undecodable bytes escaped). Each with a hash that changes when the file
            does; 0 in an archive, whose own stamp stands for all.
        folders: all folders, by name.
        bad: names that can't be used, with the reasons.
    """

    files: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    bad: list[tuple[str, str]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Of the image files, in order."""
        return [*self.files]

    def digest(self) -> str:
        """A number in hexadecimal that is another one as soon as anything of this is."""
        # Of millions of files, so no text is made of each.
        others = json.dumps([sorted(self.folders), self.bad])
        found = hashlib.sha256("\0".join(self.files).encode("utf-8", "surrogateescape"))
        found.update(array("q", self.files.values()).tobytes())
        found.update(others.encode())
        return found.hexdigest()


class Place(ABC):
    """A folder or an archive with image files.

    Args:
        path: of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def list(self) -> Listing:
        """All image files, sorted by name.

        Raises:
            DataError: the archive can't be read.
        """

    @abstractmethod
    def stamp(self) -> str | None:
        """What changes when the content does, if that is known without listing it."""

    @abstractmethod
    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Path | bytes | str]]:
        """Each name with where its bytes are: a file, the bytes, or, where there are none, the reason.

        The order is the place's own.
        """


class Folder(Place):
    """A folder on the disk."""

    def list(self) -> Listing:
        found = Listing()
        self._visit(str(self.path), "", set(), found)
        found.files = dict(sorted(found.files.items(), key=itemgetter(0)))
        found.bad.sort()
        return found

    def _visit(self, folder: str, prefix: str, above: set[tuple[int, int]], found: Listing) -> None:
        """Add what is in a folder; ``above`` are the folders on the way here, for links that lead back."""
        try:
            here = self._identity(folder)
            if here in above:
                name = prefix.rstrip("/")
                found.bad.append((name, "the link leads back to a folder that it lies in"))
                return
            if prefix:
                found.folders.add(prefix.rstrip("/"))
            with _opened(folder) as place, os.scandir(place) as inside:
                for name in self._add_files(inside, prefix, found):
                    self._visit(f"{folder}/{name}", f"{prefix}{name}/", above | {here}, found)
        except OSError as error:
            found.bad.append((prefix.rstrip("/") or folder, f"the folder can't be read: {error.strerror}"))

    @staticmethod
    def _add_files(items: Iterable[os.DirEntry[str]], prefix: str, found: Listing) -> Sequence[str]:
        """Add the image files among items; the names of the folders among them."""
        folders = []
        files = found.files
        for item in items:
            own = item.name
            if own in _LITTER or own.startswith("."):
                continue
            # There may be hundreds of thousands: os.path.splitext would take a third of the time.
            ending = own[own.rfind(".") :].lower() if "." in own else ""
            is_picture = ending in ENDINGS
            # A link that leads nowhere could have been a class's folder, if it has no ending.
            matters = is_picture or (not ending and item.is_symlink())
            try:
                if item.is_dir():
                    folders.append(own)
                elif matters:
                    about = item.stat()
                    if is_picture and stat.S_ISREG(about.st_mode):
                        files[prefix + own] = hash((about.st_size, about.st_mtime_ns, about.st_ctime_ns))
                    elif is_picture:
                        found.bad.append((prefix + own, "it is no file"))
            except OSError as error:
                reason = "the link leads nowhere" if item.is_symlink() else str(error.strerror)
                if matters:
                    found.bad.append((prefix + own, reason))
        return folders

    @staticmethod
    def _identity(path: str) -> tuple[int, int]:
        about = os.stat(path)  # noqa: PTH116
        return about.st_dev, about.st_ino

    def stamp(self) -> str | None:
        return None

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Path | bytes | str]]:
        for name in names:
            yield name, self.path / name


@contextmanager
def _opened(folder: str) -> Iterator[int | str]:
    """What to list a folder by: where the system allows, a handle, from which files are a fifth nearer."""
    if os.scandir not in os.supports_fd:
        yield folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


class Archive(Place):
    """A ``.zip`` or ``.tar``, the latter compressed or not."""

    def stamp(self) -> str | None:
        about = self.path.stat()
        return f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}"

    def list(self) -> Listing:
        found = Listing()
        seen: dict[str, int] = {}
        try:
            for name, size, reason in self._members():
                self._add(name, size, reason, seen, found)
        except _DAMAGED as error:
            raise _damage(self.path, error) from None
        # Which of two files with one name is meant, nobody knows.
        twice = {name for name, count in seen.items() if count > 1}
        found.bad += [(name, f"{seen[name]} files in the archive have this name") for name in sorted(twice)]
        found.files = {name: 0 for name in sorted(found.files) if name not in twice}
        return found

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Path | bytes | str]]:
        wanted = set(names)
        try:
            for name, content in self._contents(wanted):
                wanted.discard(name)
                yield name, content
        except _DAMAGED as error:
            raise _damage(self.path, error) from None
        if wanted:
            raise DataError(f"{self.path} was changed while it was read. Try again.")

    @abstractmethod
    def _members(self) -> Iterator[tuple[str, int, str]]:
        """Name, size and what is wrong with it, of everything but folders; folders end in a slash."""

    @abstractmethod
    def _contents(self, wanted: set[str]) -> Iterator[tuple[str, bytes | str]]:
        """The bytes of members, or the reasons why there are none, in the archive's order."""

    @staticmethod
    def _add(name: str, size: int, reason: str, seen: dict[str, int], found: Listing) -> None:
        way = PurePosixPath(name)
        parts = [part for part in way.parts if part != "."]
        if any(part in _LITTER or (part.startswith(".") and part != "..") for part in parts):
            return
        is_picture = not name.endswith("/") and way.suffix.lower() in ENDINGS
        if way.is_absolute() or ".." in parts:
            if is_picture:
                found.bad.append((name, "its name leads out of the archive"))
            return
        plain = "/".join(parts)
        for depth in range(1, len(parts) + name.endswith("/")):
            found.folders.add("/".join(parts[:depth]))
        if not is_picture:
            return
        if "\\" in name:
            found.bad.append((name, "its name has backslashes; pack it with slashes between folders"))
        elif reason:
            found.bad.append((plain, reason))
        elif size > LARGEST:
            found.bad.append((plain, f"it has {size:,} bytes; a picture has at most {LARGEST:,}"))
        else:
            seen[plain] = seen.get(plain, 0) + 1
            found.files[plain] = 0


# What the modules for archives were seen to raise for files with changed bytes.
_DAMAGED = (
    *(OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error),
    *(NotImplementedError, ValueError, RuntimeError),
)


def _damage(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is damaged ({error}). Fetch or pack it again.")


def _plain_name(name: str) -> str:
    return "/".join(part for part in PurePosixPath(name).parts if part != ".")


class Zip(Archive):
    """A ``.zip``."""

    def _members(self) -> Iterator[tuple[str, int, str]]:
        with zipfile.ZipFile(self.path) as archive:
            for member in archive.infolist():
                locked = member.flag_bits & 1
                yield member.filename, member.file_size, "it is encrypted" if locked else ""

    def _contents(self, wanted: set[str]) -> Iterator[tuple[str, bytes | str]]:
        with zipfile.ZipFile(self.path) as archive:
            members = {_plain_name(member.filename): member for member in archive.infolist()}
            for name in sorted(wanted & members.keys(), key=lambda name: members[name].header_offset):
                try:
                    yield name, archive.read(members[name])
                except _DAMAGED as error:
                    yield name, str(error) or type(error).__name__


class _Member(tarfile.TarInfo):
    """A member; where its head is damaged or missing, ``tarfile`` would take that for the archive's end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):  # the true end
                raise
            raise tarfile.ReadError(str(error)) from None


class Tar(Archive):
    """A ``.tar``, plain or compressed by gzip, bzip2 or xz, read from its beginning to its end."""

    def _members(self) -> Iterator[tuple[str, int, str]]:
        with tarfile.open(self.path, "r|*", tarinfo=_Member) as archive:
            for member in archive:
                if member.isdir():
                    yield f"{member.name}/", 0, ""
                elif member.isfile():
                    yield member.name, member.size, ""
                else:
                    yield member.name, 0, "it is a link or a device, not a file"

    def _contents(self, wanted: set[str]) -> Iterator[tuple[str, bytes | str]]:
        with tarfile.open(self.path, "r|*", tarinfo=_Member) as archive:
            for member in archive:
                name = _plain_name(member.name)
                if member.isfile() and name in wanted:
                    content = archive.extractfile(member)
                    yield name, content.read() if content else "it can't be read"


def open_place(path: Path) -> Place:
    """The folder or archive at a path.

    Raises:
        NotFoundError: there is nothing.
        DataError: it is neither a folder nor an archive.
    """
    try:
        if path.is_dir():
            return Folder(path)
        if not path.exists():
            raise NotFoundError(f"There is no folder or archive {path}. Set data.path to one with images.")
        # A .tar whose last file is a .zip would pass for one, but not the other way round.
        if path.is_file() and tarfile.is_tarfile(path):
            return Tar(path)
        if path.is_file() and zipfile.is_zipfile(path):
            return Zip(path)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}.") from None
    except _DAMAGED as error:
        raise _damage(path, error) from None
    raise DataError(f"{path} is neither a folder nor a .zip or .tar archive, or it is damaged.")

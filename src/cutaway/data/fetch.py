"""Fetching datasets: from several mirrors, continued where it broke off, and held against SHA-256.

Whether a file is whole is decided by its known size and sum alone. What a server says of lengths and
ranges is held against these, and is never what ends a download.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from cutaway import __version__
from cutaway.data.mirrors import DOWNLOADS, RemoteFile
from cutaway.disk import is_locked, locked, store_error
from cutaway.errors import ConfigError, DataError, StoreError

Progress = Callable[[str, int, int], None]
"""Called with a file's name, how many of its bytes are here, and how many it has."""

PATIENCE = 20.0
"""Seconds without a byte after which a server is given up."""

_CHUNK = 1 << 18  # bytes read and written at once


class _MirrorError(Exception):
    """Why a mirror did not give the file, in a few words."""


def fetch(
    name: str,
    folder: Path,
    progress: Progress | None = None,
    mirrors: Sequence[str] | None = None,
    patience: float = PATIENCE,
) -> list[Path]:
    """The files of a dataset in a folder, downloaded where they are not there yet.

    A file comes into being under its name with ``.part`` added, and gets its own name when its
    SHA-256 is right. A download that broke off goes on from there, with the next mirror or in the
    next call. A file that is there already is never written to.

    Args:
        name: of :data:`cutaway.data.mirrors.DOWNLOADS`.
        folder: made if it is not there.
        progress: told how far each file is.
        mirrors: addresses that end in ``/``, instead of the known ones.
        patience: seconds without a byte after which a server is given up.

    Returns:
        The path of each file, in the order of the table.

    Raises:
        NotFoundError: there is no such dataset.
        ConfigError: a mirror is no address of the web.
        DataError: no mirror gives a file, or there is another file of its name.
        StoreError: the folder can't be written, its disk is full, or another process fetches into it.
    """
    download = DOWNLOADS[name]
    order = list(download.mirrors if mirrors is None else mirrors)
    for mirror in order:
        if urlsplit(mirror).scheme not in {"http", "https"}:
            raise ConfigError(f"{mirror} is no mirror: it should begin with https:// or http://.")
    tell = progress or (lambda *_: None)
    with _alone(folder):
        return [_fetch_file(file, folder, order, tell, patience) for file in download.files]


def _fetch_file(file: RemoteFile, folder: Path, order: list[str], tell: Progress, patience: float) -> Path:
    """One file; mirrors that fail are moved to the end of ``order``, for the files that follow."""
    path, part = folder / file.name, folder / f"{file.name}.part"
    if _is_there(path, file):
        tell(file.name, file.size, file.size)
        return path
    reasons = []
    for mirror in list(order):
        try:
            _from_mirror(mirror + file.name, part, file, tell, patience)
        except _MirrorError as error:
            reasons.append(f"{urlsplit(mirror).netloc} {error}")
            order.remove(mirror)
            order.append(mirror)
        else:
            _finish(part, path, file)
            tell(file.name, file.size, file.size)
            return path
    raise DataError(
        f"{file.name} could not be fetched: {'; '.join(reasons) or 'there is no mirror'}.\n"
        f"Check the network and run the command again, which continues, or put the file into {folder}."
    )


def _from_mirror(url: str, part: Path, file: RemoteFile, tell: Progress, patience: float) -> None:
    """Complete ``part`` from one address; its SHA-256 is right afterwards."""
    while True:
        held = _size(part)
        if held < file.size:
            try:
                _receive(url, part, file, tell, patience)
            except (OSError, HTTPException, ValueError) as error:
                raise _MirrorError(_reason(error, patience)) from None
        if _size(part) == file.size and _sum(part) == file.sha256:
            return
        _remove(part)
        # The wrong bytes may be those that were there before, from another server or another day.
        if not held:
            raise _MirrorError("has other bytes (wrong SHA-256)")


def _receive(url: str, part: Path, file: RemoteFile, tell: Progress, patience: float) -> None:
    """Ask for the bytes that ``part`` lacks, and add them."""
    with _answer(url, _size(part), file, patience) as (response, start):
        held = start
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if start else os.O_TRUNC)
        with _open(part, flags) as target:
            tell(file.name, held, file.size)
            while held < file.size:
                content = response.read1(min(_CHUNK, file.size - held))
                if not content:
                    raise _MirrorError(f"broke off after {held:,} of {file.size:,} bytes")
                _write(target, content, part)
                held += len(content)
                tell(file.name, held, file.size)
            _sync(target, part)


@contextmanager
def _answer(url: str, held: int, file: RemoteFile, patience: float) -> Iterator[tuple[HTTPResponse, int]]:
    """A server's answer, and the number of the byte that it begins with: ``held``, or else 0."""
    headers = {"User-Agent": f"cutaway/{__version__}", "Accept-Encoding": "identity"}
    if held:
        headers["Range"] = f"bytes={held}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  fetch() lets only http(s) in
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=patience)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416 or not held:
            raise
        # It does not have the range, or wants none: then all of it from the beginning.
        with _answer(url, 0, file, patience) as whole:
            yield whole
        return
    with response:
        if response.status == 206:
            span, _, total = response.headers.get("Content-Range", "").partition("/")
            if not held or span != f"bytes {held}-{file.size - 1}" or total not in {str(file.size), "*"}:
                raise _MirrorError("answered with another part than was asked for")
            yield response, held
            return
        stated = response.headers.get("Content-Length", str(file.size))
        if response.status != 200 or stated != str(file.size):
            # A page of an airport's network, for one. What is here already is kept for the others.
            raise _MirrorError(f"has another file ({stated} bytes, not {file.size})")
        yield response, 0


def _reason(error: OSError | HTTPException | ValueError, patience: float) -> str:
    """A network's failure in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"answered {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"gave nothing for {patience:g} s"
    if isinstance(cause, socket.gaierror):
        return "is not known"
    if isinstance(cause, ssl.SSLError):
        return "has no valid certificate"
    if isinstance(cause, OSError):
        return f"is out of reach ({(cause.strerror or type(cause).__name__).lower()})"
    return f"answered with nonsense ({type(cause).__name__})"


def _is_there(path: Path, file: RemoteFile) -> bool:
    """Whether the file is complete under its own name."""
    if not path.exists():
        return False
    try:
        if path.is_file() and path.stat().st_size == file.size and _sum(path) == file.sha256:
            return True
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.") from None
    raise DataError(
        f"{path} is there, but is not the file that was asked for (size or SHA-256 differ); it was left as "
        "it is.\nMove it away, or choose another folder with --to DIR."
    )


def _finish(part: Path, path: Path, file: RemoteFile) -> None:
    """Give a whole file its own name, if nothing has taken it meanwhile."""
    if _is_there(path, file):
        _remove(part)
        return
    try:
        part.replace(path)
    except OSError as error:
        raise _disk_error(path, error) from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Inside, this process alone fetches into the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _disk_error(folder, error) from None
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder))
        except StoreError:
            if is_locked(folder):
                raise StoreError(f"Another process fetches into {folder}. Wait for it or stop it.") from None
            raise StoreError(f"{folder} can't be written. Choose another folder with --to DIR.") from None
        yield


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# What fails below fails on the disk and for every mirror alike, so it is told apart from a network's
# failures where it happens.


def _open(path: Path, flags: int) -> io.FileIO:
    try:
        return io.FileIO(os.open(path, flags, 0o644), "wb")
    except OSError as error:
        raise _disk_error(path, error) from None


def _write(target: io.FileIO, content: bytes, path: Path) -> None:
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[target.write(rest) :]
    except OSError as error:
        raise _disk_error(path, error) from None


def _sync(target: io.FileIO, path: Path) -> None:
    try:
        os.fsync(target.fileno())
    except OSError as error:
        raise _disk_error(path, error) from None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _disk_error(path, error) from None


def _disk_error(path: Path, error: OSError) -> StoreError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return store_error(path, error)
    return StoreError(f"{path} can't be written: {error.strerror}. Choose another folder with --to DIR.")

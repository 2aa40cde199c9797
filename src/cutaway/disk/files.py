"""Writing files so that a reader finds the old content or the new one, never a part."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cutaway.errors import StoreError


def write_file(path: Path, content: bytes | Iterable[bytes | memoryview]) -> None:
    """Replace a file's content, or leave it as it was.

    The content goes to a temporary name beside it, is synced to the disk and renamed; a process
    killed at any instant leaves the old file. A link stays one: what it leads to is replaced. A device
    or a pipe is written into.

    Args:
        path: the file.
        content: all of it, or piece after piece.

    Raises:
        StoreError: the disk is full, or the folder can't be written.
    """
    temporary: Path | None = None
    try:
        if path.is_symlink():
            path = path.resolve()
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as file:
                file.writelines([content] if isinstance(content, bytes) else content)
            return
        with temporary.open("wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # the first error is the one to tell
            if temporary is not None:
                temporary.unlink(missing_ok=True)
        raise store_error(path, error) from None


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        StoreError: it can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(path, error) from None


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left in a run's folder."""
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def store_error(path: Path, error: OSError) -> StoreError:
    """What an operating system's error on ``path`` means to a person."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"The disk of {path} is full. What was there is kept: free some space, try again.")
    if error.errno == errno.ENOENT and not path.parent.is_dir():
        return StoreError(
            f"{path} can't be written: there is no folder {path.parent}. Make it, or choose another."
        )
    why = "" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else f": {error.strerror}"
    return StoreError(f"{path} can't be written{why}. Choose another folder; for a store with --store DIR.")


def _sync_folder(folder: Path) -> None:
    """Make a rename last: its folder's entries are data too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

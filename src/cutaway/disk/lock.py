"""One process at a time may train a run or conduct a study."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cutaway.disk.files import store_error
from cutaway.errors import StoreError


@contextmanager
def locked(folder: Path, what: str = "run") -> Iterator[None]:
    """Inside, this process alone holds the run in ``folder``; a killed process lets go of it.

    Args:
        folder: has the lock's file.
        what: is held, for the message: a run or a study.

    Raises:
        StoreError: another process trains it, or the folder can't be written.
    """
    path = folder / "lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise store_error(path, error) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode("ascii", "replace") or "unknown"
            raise StoreError(
                f"The {what} {folder.name} is held by another process (pid {holder}). Wait for it or stop it."
            ) from None
        except OSError as error:
            raise StoreError(
                f"{path} can't be locked: {error.strerror}. Choose a store on another disk with --store DIR."
            ) from None
        # Who holds it is a courtesy: on a full disk the lock holds without it.
        with suppress(OSError):
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode("ascii"))
        yield
    finally:
        os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether a process holds the run in ``folder`` now; looking needs no right to write."""
    try:
        handle = os.open(folder / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False

"""One process at a time holds a run."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cutaway.disk import is_locked, locked
from cutaway.errors import StoreError

HOLD = """
import sys
from pathlib import Path
from cutaway.disk import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_kept_out_until_it_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_locked(tmp_path)
        with pytest.raises(StoreError, match=f"another process \\(pid {holder.pid}\\)"), locked(tmp_path):
            pass
        holder.kill()
        holder.wait()
        assert not is_locked(tmp_path)
        with locked(tmp_path):
            assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError), locked(tmp_path / "gone"):
        pass
    assert not is_locked(tmp_path / "gone")


def test_looking_changes_nothing(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "lock").write_bytes(b"12345")
    (tmp_path / "lock").chmod(0o400)
    assert not is_locked(tmp_path)
    assert (tmp_path / "lock").read_bytes() == b"12345"


def test_a_disk_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(
        StoreError, match=r"can't be locked: No locks available\. Choose a store on another disk"
    ):
        locked(tmp_path).__enter__()
    assert not is_locked(tmp_path)


def test_on_a_full_disk_the_lock_holds_without_its_holders_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", refuse)
    with locked(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(StoreError, match="pid unknown"):
            locked(tmp_path).__enter__()

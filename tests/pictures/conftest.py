"""What the tests of pictures share: a cache of their own, and a count of the workers that were started."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

Workers = list["subprocess.Popen[bytes]"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the cache's entries; it is not there yet."""
    monkeypatch.setenv("CUTAWAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """The decoding processes that a test has started, on two cores wherever it runs."""
    started: Workers = []
    popen = subprocess.Popen

    def note(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = popen(*arguments, **options)
        started.append(process)
        return process

    monkeypatch.setattr("cutaway.pictures.crew.subprocess.Popen", note)
    monkeypatch.setattr("cutaway.pictures.crew.available_cores", lambda: 2)
    return started

"""The reference pages are those that the code gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cutaway.cli.app import _COMMANDS
from cutaway.cli.reference import pages

ROOT = Path(__file__).parents[2]


def test_the_committed_pages_are_not_stale(tmp_path: Path) -> None:
    # In a process of its own: cyclopts takes the program's name from how it was started.
    subprocess.run([sys.executable, ROOT / "scripts" / "reference.py", tmp_path], check=True)
    for made in tmp_path.iterdir():
        committed = (ROOT / "docs" / made.name).read_text(encoding="utf-8")
        assert committed == made.read_text(encoding="utf-8"), f"{made.name} is stale: make docs"
    assert len(list(tmp_path.iterdir())) == 3


def test_every_command_is_documented() -> None:
    text = pages()["commands.md"]
    for name in _COMMANDS:
        assert f"cutaway {name}" in text

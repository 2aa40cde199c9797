"""A few of the kills that ``benchmarks/kills.py`` deals by the hundred, at random moments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.mark.skipif(sys.platform != "linux", reason="processes are waited for as Linux does it")
def test_killed_anywhere_nothing_is_lost(tmp_path: Path) -> None:
    told = tmp_path / "facts.json"
    command = [sys.executable, str(SCRIPT), "--kills", "6", "--every", "0", "--json", str(told)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(told.read_text("utf-8"))
    assert facts["kills"] == 6
    assert facts["runs finished"] >= 1
    assert facts["problems"] == []

"""What reaches a pipe, a file or a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cutaway.nets import ZOO
from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]

# Output is buffered as it is for a user, whatever the tests themselves run under.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.mark.parametrize(
    "line",
    [
        "runs list",
        "runs show last",
        "evaluate last",
        "doctor",
        "nets list",
        "nets show lenet-theano",
        "plan lenet-theano",
        "data list",
        "runs show zzzz",
        "--help",
    ],
)
def test_where_there_is_no_terminal_there_are_no_escape_codes(
    cutaway: Command, trained: Run, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("CUTAWAY_STORE", str(trained.ledger.path.parent))
    _, out, err = cutaway(*line.split())
    assert out or err
    assert "\x1b" not in out + err


def test_training_tells_its_epochs_without_escape_codes(cutaway: Command, tmp_path: Path) -> None:
    fields = "--train.epochs 1 --data.train_images 100 --data.validation 50 --train.batch 50"
    net = "conv 2 5x5 stride 4 | flatten | dense 10"
    code, out, err = cutaway("train", "digits", "--net", net, *fields.split(), "--store", tmp_path)
    assert code == 0
    assert "epoch 1/1" in err
    assert "\x1b" not in out + err
    assert "\r" not in out + err


def test_a_wide_table_is_not_cut_where_there_is_no_terminal(cutaway: Command) -> None:
    _, out, _ = cutaway("nets", "list")
    assert max(map(len, out.splitlines())) > 80
    assert "…" not in out


def on_terminal(line: list[str], environment: Mapping[str, str]) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cutaway", *line]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as process:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # how Linux says that the other end was closed
                break
            if not part:
                break
            parts.append(part)
        assert process.wait() == 0
    os.close(ours)
    return b"".join(parts).decode()


def test_a_terminal_has_styles_and_no_colour_leaves_out_the_colours() -> None:
    plain = {k: v for k, v in ENVIRONMENT.items() if k not in {"NO_COLOR", "FORCE_COLOR"}} | {
        "TERM": "xterm-256color",
        "COLUMNS": "120",
    }
    assert "\x1b[" in on_terminal(["nets", "list"], plain)
    # 30 to 49 and 90 to 107 choose colours; 1 is bold, which NO_COLOR allows.
    coloured = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d|10\d)[;m]")
    for line in (["nets", "list"], ["--help"]):
        assert not coloured.search(on_terminal(line, plain | {"NO_COLOR": "1"}))


def test_on_a_narrow_terminal_no_word_is_lost() -> None:
    told = on_terminal(["nets", "list"], ENVIRONMENT | {"TERM": "xterm", "COLUMNS": "70"})
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line).rstrip()) for line in told.splitlines()) <= 70
    for name in ZOO:
        assert name in told
        for word in ZOO[name].summary.split():
            assert word in told


@pytest.mark.parametrize("line", [["nets", "list"], ["nets", "list", "--json"], ["plan", "lenet-theano"]])
def test_a_reader_that_has_seen_enough_is_no_failure(line: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "cutaway", *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate()
    assert err == b""
    assert process.returncode == 0


def test_a_pipe_gets_json_and_nothing_else(trained: Run) -> None:
    line = ["runs", "list", "--json", "--store", str(trained.ledger.path.parent)]
    found = subprocess.run(
        [sys.executable, "-m", "cutaway", *line], capture_output=True, check=True, env=ENVIRONMENT
    )
    assert json.loads(found.stdout)["runs"][0]["id"] == trained.id
    assert found.stderr == b""

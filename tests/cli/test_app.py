"""The command line as a whole: wrong usage, exit codes, ``--debug``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cutaway import __version__
from cutaway.cli.app import _COMMANDS, main
from cutaway.errors import NotFoundError
from cutaway.store import Run

Command = Callable[..., tuple[int, str, str]]


def assert_refused(answer: tuple[int, str, str], code: int) -> str:
    """One or two lines on stderr, nothing on stdout; the message."""
    found, out, err = answer
    assert (found, out) == (code, "")
    assert err.startswith("cutaway: ")
    assert err.endswith("\n")
    assert 1 <= err.count("\n") <= 2
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("frobnicate", '"frobnicate"'),
        ("runs frobnicate", '"frobnicate"'),
        ("look nothing last", '"nothing"'),
        ("train", "EXPERIMENT requires an argument"),
        ("resume", "RUN requires an argument"),
        ("runs show", "RUN requires an argument"),
        ("look maps", "RUN requires an argument"),
        ("plan", "NET requires an argument"),
        ("nets list --bogus", "--bogus"),
        ("predict last --bogus", "--bogus"),
        ("runs list extra", "extra"),
        ("nets list --json=maybe", "maybe"),
        ("data show mnist --validation many", "many"),
        ("train digits --seed x", "x"),
    ],
)
def test_wrong_usage_is_told_in_one_or_two_lines(cutaway: Command, line: str, told: str) -> None:
    err = assert_refused(cutaway(*line.split()), 2)
    assert told in err
    assert "See: cutaway " in err
    assert "--help" in err


def test_a_field_without_its_section_is_answered_with_the_whole_name(cutaway: Command) -> None:
    assert "--train.lr" in assert_refused(cutaway("train", "digits", "--lr", "3"), 2)
    assert "--data.validation" in assert_refused(cutaway("train", "digits", "--validation", "3"), 2)


def test_help_and_version_go_to_stdout(cutaway: Command) -> None:
    code, out, err = cutaway("--version")
    assert (code, out.strip(), err) == (0, __version__, "")
    code, out, err = cutaway("--help")
    assert (code, err) == (0, "")
    for name in _COMMANDS:
        assert name in out


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_command_explains_itself(cutaway: Command, name: str) -> None:
    code, out, err = cutaway(name, "--help")
    assert (code, err) == (0, "")
    # The list of commands tells the beginning of what the command itself does.
    assert f"cutaway {name}" in out
    assert len(out.splitlines()) >= 5


def test_without_a_command_it_shows_the_help(cutaway: Command) -> None:
    code, out, err = cutaway()
    assert (code, err) == (0, "")
    assert "demo" in out


def test_debug_raises_what_would_have_been_a_line(trained: Run) -> None:
    store = str(trained.ledger.path.parent)
    with pytest.raises(NotFoundError, match='no run "zzzz"'):
        main(["runs", "show", "zzzz", "--store", store, "--debug"])
    with pytest.raises(Exception, match="bogus"):
        main(["--debug", "nets", "list", "--bogus"])


def test_a_store_that_is_a_file_is_told(cutaway: Command, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("", encoding="utf-8")
    err = assert_refused(cutaway("train", "digits", "--train.epochs", "0", "--store", path), 1)
    assert str(path) in err
    assert "--store" in err


def test_an_interrupt_outside_a_training_ends_with_130(
    cutaway: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cutaway.cli.nets.tell_plan", interrupted)
    code, _, err = cutaway("nets", "show", "lenet-theano")
    assert (code, err) == (130, "cutaway: Interrupted.\n")

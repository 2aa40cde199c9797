"""What commands share: their common options, and how they answer.

Results go to stdout, everything else to stderr. ``--json`` prints one object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from rich.console import Console

    from cutaway.store import Store

_WIDE = 200
"""Columns where there is no terminal to ask: a line in a file or a pipe is not cut."""


@Parameter(name="*")
@dataclass(frozen=True)
class StoreOption:
    """Where runs are kept.

    Args:
        store: folder of the runs; CUTAWAY_STORE or ./runs when not given
    """

    store: Annotated[Path | None, Parameter(negative="")] = None

    def open(self) -> Store:
        """The store; it is made when the first run is."""
        from cutaway.store import Store

        return Store(self.store)


def _nested(kind: Any, tokens: Any) -> Any:
    """Fields as they were given, as deep as their names go; Cyclopts reads one dot only."""
    del kind
    if not isinstance(tokens, Mapping):
        from cutaway.config import Experiment

        if tokens[0].keyword.removeprefix("--") in Experiment.model_fields:
            return " ".join(token.value for token in tokens)
        raise TypeError("all other fields have a dot in their names, so it is a dict")
    return {
        key: _nested(None, below) if isinstance(below, Mapping) else " ".join(token.value for token in below)
        for key, below in tokens.items()
    }


Fields = Annotated[Any, Parameter(show=False, converter=_nested, accepts_keys=True)]
"""Fields of an experiment: ``--train.lr 0.1 --data.augment.shift 2``, nested as in TOML."""

RunName = Annotated[str, Parameter(help="an id, a unique prefix of one, or last")]
Json = Annotated[bool, Parameter(negative="", help="print one JSON object instead of text")]
Output = Annotated[Path | None, Parameter(name=["--output", "-o"], negative="")]


def console(*, stderr: bool = False) -> Console:
    """A terminal or a file, with NO_COLOR respected."""
    from rich.console import Console

    class Pipeable(Console):
        def on_broken_pipe(self) -> None:
            # Rich would end the process with 1; a reader that has seen enough is no failure, and
            # main() knows what to do.
            raise  # noqa: PLE0704  called inside Rich's handler of the error

    stream = sys.stderr if stderr else sys.stdout
    return Pipeable(stderr=stderr, width=None if stream.isatty() else _WIDE, highlight=False, emoji=False)


def say(text: str) -> None:
    """A line of the result."""
    console().print(text, markup=False, soft_wrap=True)


def note(text: str) -> None:
    """A line beside the result, such as where a file was written."""
    console(stderr=True).print(text, markup=False, soft_wrap=True)


def say_json(value: Any) -> None:
    """The result as one JSON object."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    # Now, while main() still listens: at the interpreter's exit a closed pipe would be complained of.
    sys.stdout.flush()


def say_line(text: str) -> None:
    """A line for another program, as it is and at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say_table(columns: Sequence[str], rows: Sequence[Sequence[str]], total: bool = False) -> None:
    """A table; columns whose cells are numbers are set to the right.

    Args:
        columns: the heads; one that ends in ``>`` is set to the right.
        rows: a cell for each column.
        total: the last row is a sum, set apart.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for at, column in enumerate(columns):
        right = column.endswith(">")
        # On a narrow terminal a text in the last column goes on in the next line: a path that is cut
        # off helps nobody.
        whole = right or at < len(columns) - 1
        table.add_column(
            column.removesuffix(">"), justify="right" if right else "left", no_wrap=whole, overflow="fold"
        )
    for at, row in enumerate(rows):
        if total and at == len(rows) - 1:
            table.add_section()
        table.add_row(*row)
    console().print(table, markup=False)

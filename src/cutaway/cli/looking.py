"""A study's looks: the commands of ``cutaway look``, each into a file that can be drawn again."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import CycloptsError

from cutaway.cli.console import note
from cutaway.cli.look.app import LOOKS, app
from cutaway.errors import ConfigError, CutawayError

if TYPE_CHECKING:
    from cutaway.config import LookConfig, Study
    from cutaway.store import Store
    from cutaway.study import StudyTable

FOLDER = "looks"
"""Of a study's shared files."""

_PATHS = ("file", "decoders", "prior")
"""Of a look's answer: paths of this machine say nothing elsewhere."""


def looks_folder(store: Store, study: str) -> Path:
    """Where the looks of a study with an id lie."""
    return store.folder / "studies" / study / FOLDER


def check_looks(study: Study) -> None:
    """Refuse what is no look before anything is trained.

    Raises:
        ConfigError: there is no such look, or it has no such option.
    """
    for look in study.look:
        words = _words(look)
        if words[0] not in LOOKS:
            raise ConfigError(f'look "{look.file}": there is no look {words[0]}. See: cutaway look --help')
        try:
            app.parse_args(
                _command(words, "last", Path("looks.npz"), Path()), exit_on_error=False, print_error=False
            )
        except CycloptsError as error:
            told = " ".join(str(error).split())
            raise ConfigError(f'look "{look.file}": {told} See: cutaway look {words[0]} --help') from None


def make_looks(study: Study, table: StudyTable, store: Store) -> None:
    """Make all looks of a study that are not there: arrays, numbers and a picture of each.

    A look that fails is told, and the others are made.

    Raises:
        CutawayError: some failed.
    """
    folder = looks_folder(store, table.id)
    failed = []
    for look, run in _runs(study, table):
        if not run:
            failed.append(look.file)
            note(f"look {look.file}: no trial of {look.of or 'the base'} has ended, so there is no net.")
            continue
        told = {"look": look.look, "run": run}
        path = folder / f"{look.file}.npz"
        if _is_there(path, told):
            continue
        note(f"look {look.file}: {look.look}")
        try:
            _make(look, run, path, store, told)
        except CutawayError as error:
            failed.append(look.file)
            note(f"look {look.file}: {error}")
    if failed:
        raise CutawayError(f"{len(failed)} of {len(study.look)} looks were not made: {', '.join(failed)}.")


def _runs(study: Study, table: StudyTable) -> Iterator[tuple[LookConfig, str]]:
    """Each look and the run that it looks into; none where nothing was trained."""
    from cutaway.study import TrialStatus

    rows = {row.variant.name: row for row in (table.base, *table.rows)}
    for look in study.look:
        row = rows[look.of] if look.of else table.base
        ended = (TrialStatus.FINISHED, TrialStatus.PLATEAU, TrialStatus.EARLY)
        yield look, next((trial.run for trial in row.trials if trial.status in ended), "")


def _make(look: LookConfig, run: str, path: Path, store: Store, told: dict[str, Any]) -> None:
    from cutaway.cli.picture import write_figure
    from cutaway.disk import write_file
    from cutaway.draw import plot

    answer = io.StringIO()
    with redirect_stdout(answer):
        app(
            _command(_words(look), run, path, store.folder),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    write_figure(plot(path), path.with_suffix(".png"))
    facts = json.loads(answer.getvalue()) | told
    for name in _PATHS:
        facts.pop(name, None)
    # Written last: a look is made when its numbers are there.
    text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
    write_file(path.with_suffix(".json"), f"{text}\n".encode())


def _is_there(path: Path, told: dict[str, Any]) -> bool:
    try:
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return path.is_file() and all(facts.get(name) == value for name, value in told.items())


def _words(look: LookConfig) -> list[str]:
    try:
        words = shlex.split(look.look)
    except ValueError as error:
        raise ConfigError(f'look "{look.file}": {error}. Write it as on the command line.') from None
    if not words:
        raise ConfigError(f'look "{look.file}" names no look. See: cutaway look --help')
    return words


def _command(words: Sequence[str], run: str, path: Path, store: Path) -> list[str]:
    return [words[0], run, *words[1:], "--output", str(path), "--store", str(store), "--json"]

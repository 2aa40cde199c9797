"""``cutaway report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cutaway.cli.console import Json, Output, StoreOption, say, say_json
from cutaway.errors import NotFoundError

if TYPE_CHECKING:
    from cutaway.store import Run, Store
    from cutaway.store.studybook import StudyRow


def report(
    run: Annotated[str, Parameter(help="a run or a study: an id, a unique prefix of one, or a study's name")],
    /,
    *,
    output: Output = None,
    store: StoreOption = StoreOption(),
    json: Json = False,
) -> None:
    """Write the report of a run or a study: one HTML file that needs nothing else.

    Parameters
    ----------
    output
        where to write; report.html in the folder of the run or study when not given
    """
    opened = store.open()
    try:
        found = opened.find(run)
    except NotFoundError:
        row = _study(opened, run)
        if row is None:
            raise
        path = _write_study_report(opened, row, output)
        facts = {"study": row.id}
    else:
        path = write_report(found, output)
        facts = {"run": found.id}
    if json:
        say_json(facts | {"report": str(path), "bytes": path.stat().st_size})
    else:
        say(path.as_uri())


def _study(store: Store, name: str) -> StudyRow | None:
    from cutaway.study import find_study

    try:
        return find_study(store, name)
    except NotFoundError:
        return None


def _write_study_report(store: Store, row: StudyRow, output: Path | None) -> Path:
    from cutaway.draw import study_report
    from cutaway.study import read_table

    page = study_report(read_table(store, row))
    return _write(output or store.folder / "studies" / row.id / "report.html", page)


def write_report(run: Run, output: Path | None) -> Path:
    """Make the report and write it; its absolute path."""
    from cutaway.draw import report_run

    return _write(output or run.folder / "report.html", report_run(run))


def _write(output: Path, page: str) -> Path:
    from cutaway.disk import make_folder, write_file

    path = output.expanduser().absolute()
    make_folder(path.parent)
    write_file(path, page.encode())
    return path

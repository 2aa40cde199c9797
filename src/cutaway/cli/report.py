"""``cutaway report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cutaway.cli.console import Json, Output, RunName, StoreOption, say, say_json

if TYPE_CHECKING:
    from cutaway.store import Run


def report(
    run: RunName,
    /,
    *,
    output: Output = None,
    store: StoreOption = StoreOption(),
    json: Json = False,
) -> None:
    """Write a run's report: one HTML file that needs nothing else.

    Parameters
    ----------
    output
        where to write; report.html in the run's folder when not given
    """
    found = store.open().find(run)
    path = write_report(found, output)
    if json:
        say_json({"run": found.id, "report": str(path), "bytes": path.stat().st_size})
    else:
        say(path.as_uri())


def write_report(run: Run, output: Path | None) -> Path:
    """Make the report and write it; its absolute path."""
    from cutaway.disk import make_folder, write_file
    from cutaway.draw import report_run

    path = (output or run.folder / "report.html").expanduser().absolute()
    make_folder(path.parent)
    write_file(path, report_run(run).encode())
    return path

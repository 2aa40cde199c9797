"""``cutaway data fetch``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cutaway.cli.console import Json, console, say, say_json


def fetch(
    name: str,
    /,
    *,
    to: Annotated[Path | None, Parameter(negative="")] = None,
    json: Json = False,
) -> None:
    """Download a dataset: from mirrors, continued where it broke off, held against SHA-256.

    Parameters
    ----------
    name
        mnist, fashion-mnist, cifar10 or cifar100
    to
        the folder for its files; data/NAME when not given
    """
    from cutaway.data.fetch import fetch as fetch_files
    from cutaway.data.mirrors import DOWNLOADS

    download = DOWNLOADS[name]
    folder = (to or Path("data", name)).expanduser()
    with FetchProgress(download.size) as progress:
        paths = fetch_files(name, folder, progress)
    use = f"cutaway train EXP --data.source {download.source} --data.path {shlex.quote(str(folder))}"
    if json:
        say_json(
            {
                "dataset": name,
                "source": download.source,
                "folder": str(folder),
                "files": [{"file": str(path), "bytes": path.stat().st_size} for path in paths],
                "use": use,
            }
        )
        return
    for path in paths:
        say(f"{path}  {path.stat().st_size:,} bytes")
    say(f"Train with it: {use}")


class FetchProgress:
    """A bar on stderr for all files of a dataset; leave it to take the bar away.

    Args:
        total: bytes of all files.
    """

    def __init__(self, total: int) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn, TransferSpeedColumn  # isort: skip

        stderr = console(stderr=True)
        self._held: dict[str, int] = {}
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=stderr,
            transient=True,
            disable=not stderr.is_terminal,
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> FetchProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, file: str, held: int, size: int) -> None:
        """Tell that ``held`` of a file's ``size`` bytes are here."""
        del size
        self._held[file] = held
        self._bar.update(self._task, description=file, completed=sum(self._held.values()))

"""A figure as a file, of the kind that the file's ending says."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from cutaway.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("png", "svg", "pdf")


def picture_kind(output: Path) -> str:
    """The kind of picture that a path's ending names.

    Raises:
        ConfigError: it names none.
    """
    kind = output.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise ConfigError(f"{output} should end in .png, .svg or .pdf.")
    return kind


def write_figure(figure: Figure, output: Path, dpi: float | None = 150) -> None:
    """Write a figure, whole or not at all; folders are made.

    Args:
        figure: what is written.
        output: where to.
        dpi: of pixel pictures; None for the figure's own.

    Raises:
        ConfigError: the path's ending names no kind of picture.
        StoreError: it can't be written.
    """
    from cutaway.disk import make_folder, write_file

    kind = picture_kind(output)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=dpi or figure.dpi)
    make_folder(output.absolute().parent)
    write_file(output.absolute(), buffer.getvalue())

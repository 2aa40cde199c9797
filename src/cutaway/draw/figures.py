"""Any result as a Matplotlib figure: each kind registers how it is drawn, in a file of its own."""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cutaway.look.archive import load_drawing

INK, FAINT = "#333333", "#8a8a8a"


@singledispatch
def plot(result: Any, **options: Any) -> Figure:
    """Draw a result of ``cutaway.look``, a run's curves, a sheet of a dataset's images, or a pyramid.

    The figure belongs to nobody's window: save it with ``figure.savefig(path)``, or return it
    from a notebook's cell.

    Args:
        result: any of ``cutaway.look``'s results, the path of a file with one, a ``Run``, ``Images`` or a
            ``Pyramid``.
        options: of the kind of result, such as ``scale="unit"`` for feature maps.

    Raises:
        TypeError: there is no picture of such a value.
        NotFoundError, DataError: there is no such file, or no result in it.
    """
    del options
    known = sorted(kind.__name__ for kind in plot.registry if kind is not object)
    raise TypeError(f"plot() draws {', '.join(known)}, not {type(result).__name__}.")


@plot.register(str)
@plot.register(Path)
def _(result: str | Path, **options: Any) -> Figure:
    if Path(result).suffix.lower() != ".npz":
        kind = type(result).__name__
        raise TypeError(f'plot() draws results, or a file of one that ends in .npz, not {kind} "{result}".')
    found, drawing = load_drawing(result)
    return plot(found, **{**drawing, **options})

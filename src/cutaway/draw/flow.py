"""What a flow diagram is put together from: a sheet to draw on, and panels where a net branches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from textwrap import wrap

from cutaway.nets import LayerPlan, Shape
from cutaway.nets.words import Block, Join

WIDTH, MIDDLE = 420, 78
"""The usual width of a drawing, and where its trunk goes down."""

_TINTS = {"conv": "conv", "dense": "dense", "pool": "pool"}
# The page's two sizes of type, and a width of letters, in sizes, that holds for wide faces too.
_SIZE, _FINE, _LETTER = 11.0, 9.5, 0.6
_MARGIN = 4.0

# In a panel: the widest block, and the room between rows, between columns and inside the edge.
_WIDEST, _BETWEEN, _ASIDE, _EDGE = 26.0, 8.0, 6.0, 8.0
_LABEL, _HEADING = _WIDEST / 2 + 5, MIDDLE + 14.0
_ROUND, _JOINT = 5.0, 6.5


@dataclass
class Sheet:
    """What is drawn so far, from back to front, and how far to the right it reaches."""

    right: float = WIDTH - _MARGIN
    panels: list[tuple[float, float]] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def panel(self, y: float, height: float) -> None:
        """A tinted ground behind all else, as wide as the sheet."""
        self.panels.append((y, height))

    def block(
        self, middle: float, y: float, width: float, height: float, *, colour: str, title: str = ""
    ) -> None:
        """A layer, centred on ``middle``; ``title`` is told when it is pointed at."""
        told = f"><title>{escape(title)}</title></rect>" if title else "/>"
        place = f'x="{middle - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        self.parts.append(f'<rect {place} rx="2" style="fill:var(--{colour})"{told}')

    def text(self, x: float, y: float, text: str, *, name: str = "", fine: bool = False) -> None:
        """A line of text, behind a name in bold."""
        bold = f'<tspan class="name">{escape(name)}</tspan>{" " if text else ""}' if name else ""
        kind = ' class="fine"' if fine else ""
        self.parts.append(f'<text{kind} x="{x:.0f}" y="{y:.1f}">{bold}{escape(text)}</text>')
        self.right = max(self.right, x + _length(f"{name} {text}".strip(), _FINE if fine else _SIZE))

    def line(self, path: str) -> None:
        """A line along a path in SVG's notation."""
        self.parts.append(f'<path d="{path}"/>')

    def plus(self, x: float, y: float) -> None:
        """A joint that adds."""
        self.parts.append(
            f'<circle class="joint" cx="{x:.0f}" cy="{y:.1f}" r="{_JOINT}" '
            'style="fill:var(--tint);stroke:var(--fine)"/>'
        )
        self.line(f"M{x - 3:.0f} {y:.1f}h6m-3 -3v6")

    def bar(self, left: float, right: float, y: float) -> None:
        """A joint that puts maps side by side."""
        place = f'x="{left:.1f}" y="{y - 2:.1f}" width="{right - left:.1f}" height="4"'
        self.parts.append(f'<rect class="joint" {place} rx="2" style="fill:var(--fine)"/>')
        self.text(right + 6, y + 3, "concat", fine=True)

    def svg(self, height: float, label: str) -> str:
        """All of it, as an element that scales to its container."""
        width = self.right + _MARGIN
        panels = (
            f'<rect class="panel" x="1" y="{y:.1f}" width="{width - 2:.1f}" height="{tall:.1f}" rx="5" '
            'style="fill:var(--tint)"/>'
            for y, tall in self.panels
        )
        return (
            f'<svg class="flow" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{label}">'
            f"{''.join(panels)}{''.join(self.parts)}</svg>"
        )


class Panels:
    """The blocks of a net: branches, side by side, that fork and join.

    The same branch has the same place in all of them.

    Args:
        rows: the net's layers.
    """

    def __init__(self, rows: Iterable[LayerPlan]) -> None:
        blocks = [row for row in rows if row.branches]
        self._largest = largest(leaf.output_shape for row in blocks for leaf in row.leaves())
        self._columns: dict[tuple[int, bool], list[float]] = {}
        for kind in {_kind(row) for row in blocks}:
            alike = (row.branches for row in blocks if _kind(row) == kind)
            reaches = [max(map(_reach, chains)) for chains in zip(*alike, strict=True)]
            self._columns[kind] = _columns(reaches, spread=kind[1])

    def draw(self, sheet: Sheet, top: float, row: LayerPlan) -> float:
        """One block; the y below it."""
        _, concat = kind = _kind(row)
        columns = self._columns[kind]
        fork = _heading(sheet, top, row)
        first = fork + _ROUND + _BETWEEN
        joint = first + max(map(_depth, row.branches)) + _ROUND + 4
        bottom = joint + _depth(row.tail) + (_JOINT + _BETWEEN if row.tail else _BETWEEN + 2)
        sheet.panel(top, bottom - top)
        sheet.line(f"M{MIDDLE} {top:.1f}V{fork:.1f}M{MIDDLE} {joint:.1f}V{bottom:.1f}")
        for middle in columns:
            sheet.line(_way(middle, fork, joint, concat))
        if concat:
            sheet.bar(min(*columns, MIDDLE) - 6, max(*columns, MIDDLE) + 6, joint)
        else:
            sheet.plus(MIDDLE, joint)
        for middle, chain in zip(columns, row.branches, strict=True):
            self._chain(sheet, middle, first, chain)
        self._chain(sheet, MIDDLE, joint + _JOINT + _BETWEEN, row.tail)
        return bottom

    def _chain(self, sheet: Sheet, middle: float, y: float, rows: Sequence[LayerPlan]) -> None:
        for row in rows:
            height, room, gist = _height(row.output_shape), _room(row), _gist(row)
            width = max(5.0, _WIDEST * math.sqrt(_size(row.output_shape) / self._largest))
            title = f"{row.name} · {row.layer.word.text()} · {told(row.output_shape, row.parameters)}"
            centre = y + room / 2
            sheet.block(middle, centre - height / 2, width, height, colour=tint(row), title=title)
            sheet.text(middle + _LABEL, centre + (-2 if gist else 4), row.layer.name)
            if gist:
                sheet.text(middle + _LABEL, centre + 9, gist, fine=True)
            y += room + _BETWEEN


def tint(row: LayerPlan) -> str:
    """The CSS variable of a layer's colour, without its dashes."""
    return _TINTS.get(row.layer.word.stem, "other")


def told(shape: Shape, parameters: int) -> str:
    """An output shape, and the parameters where there are some."""
    return "×".join(map(str, shape)) + (f" · {parameters:,} parameters" if parameters else "")


def largest(shapes: Iterable[Shape]) -> int:
    """The width of the widest maps."""
    return max(map(_size, shapes), default=1)


def _size(shape: Shape) -> int:
    return shape[2] if len(shape) == 3 else 1


def _length(text: str, size: float) -> float:
    return len(text) * _LETTER * size


def _gist(row: LayerPlan) -> str:
    """The words of a layer with a window, in short: ``3×3 ×64``."""
    word = row.layer.word
    window = word.window(row.input_shape)
    if not window:
        return ""
    size = "×".join(map(str, window.size))
    strides = [str(stride) for stride in dict.fromkeys(window.stride)]
    stride = "" if strides == ["1"] else f" stride {'×'.join(strides)}"
    if window.what == "kernel":
        return f"{size} ×{row.output_shape[0]}{stride}"
    return f"{word.text().split()[0]} {size}{stride}"


def _height(shape: Shape) -> float:
    return 4 + 1.5 * math.log2(shape[0])


def _room(row: LayerPlan) -> float:
    """The height of a layer in a branch, with its label."""
    return max(_height(row.output_shape), 22.0 if _gist(row) else 11.0)


def _depth(rows: Sequence[LayerPlan]) -> float:
    return sum(_room(row) + _BETWEEN for row in rows)


def _reach(chain: Sequence[LayerPlan]) -> float:
    """From the middle of a column to where its labels end."""
    lengths = [max(_length(row.layer.name, _SIZE), _length(_gist(row), _FINE)) for row in chain]
    return _LABEL + max(lengths) if lengths else 0.0


def _columns(reaches: list[float], spread: bool) -> list[float]:
    """The middles of the columns: over the whole width, or the first on the trunk."""
    middles = [_EDGE + _WIDEST / 2 if spread else float(MIDDLE)]
    for reach in reaches[:-1]:
        middles.append(middles[-1] + max(reach, _WIDEST / 2) + _ASIDE + _WIDEST / 2)
    free = WIDTH - _EDGE - middles[-1] - reaches[-1]
    if not spread or free < 0:
        return middles
    return [middle + place * free / len(middles) for place, middle in enumerate(middles)]


def _heading(sheet: Sheet, y: float, row: LayerPlan) -> float:
    """The name, words, shape and parameters of a block; the y where its branches fork."""
    name = row.name
    # The words follow the name on its line as far as they fit; the indent keeps its place.
    indent, letters = " " * (len(name) + 1), int((WIDTH - _EDGE - _HEADING) / (_LETTER * _SIZE))
    words = row.layer.word.text()
    for line in wrap(words, letters, initial_indent=indent, break_long_words=False, break_on_hyphens=False):
        y += 14
        sheet.text(_HEADING, y, line.strip(), name=name)
        name = ""
    sheet.text(_HEADING, y + 12, told(row.output_shape, row.parameters), fine=True)
    return y + 20


def _way(middle: float, fork: float, joint: float, concat: bool) -> str:
    """From the fork down a column to the joint, with the head of an arrow."""
    aside = middle - MIDDLE
    side, bend = math.copysign(1.0, aside), math.copysign(min(_ROUND, abs(aside)), aside)
    start = f"M{MIDDLE} {fork:.1f}H{middle - bend:.1f}q{bend:.1f} 0 {bend:.1f} {_ROUND}"
    if concat or not aside:
        return f"{start}V{joint - (3 if concat else _JOINT):.1f}m-3.5 -4l3.5 4l3.5 -4"
    back = f"V{joint - _ROUND:.1f}q0 {_ROUND} {-bend:.1f} {_ROUND}H{MIDDLE + side * _JOINT:.1f}"
    return f"{start}{back}m{side * 4:g} -3.5l{-side * 4:g} 3.5l{side * 4:g} 3.5"


def _kind(row: LayerPlan) -> tuple[int, bool]:
    """How many branches a block has, and whether they are concatenated: blocks alike in both align."""
    word = row.layer.word
    return len(row.branches), isinstance(word, Block) and word.join is Join.CONCAT

"""A net as a flow diagram: SVG that follows the page's colours."""

from __future__ import annotations

import math

from cutaway.draw.flow import MIDDLE, Panels, Sheet, largest, tint, told
from cutaway.nets import Plan, Shape

_TEXT = 168
_GAP = 13


def flow_diagram(plan: Plan) -> str:
    """The net from the image at the top to the logits at the bottom.

    A block of maps is as wide as they are, by the square root, so that 224 pixels and one fit a
    page, and grows higher with the number of channels. A vector is a bar that grows wider with
    the number of its units. Beside each stand the layer's name, its words, its output shape and its
    parameters.

    Where a net branches, a panel shows the branches side by side, on a smaller scale of their own,
    from the fork to the joint: a plus in a circle for a sum, a bar for a concatenation. A branch
    without layers is a line. A layer inside tells its shape and parameters when it is pointed at.

    Colours come from the CSS variables ``--conv``, ``--pool``, ``--dense``, ``--other``, ``--fine``
    and ``--tint`` and from ``currentColor``.

    Returns:
        an ``<svg>`` element that scales to its container.
    """
    sheet, panels = Sheet(), Panels(plan.rows)
    widest = largest([plan.input_shape, *(row.output_shape for row in plan.rows)])
    y = _layer(sheet, 4.0, plan.input_shape, widest, name="image", text="input", parameters=0, colour="other")
    for row in plan.rows:
        sheet.line(f"M{MIDDLE} {y + 1:.1f}v{_GAP - 5}m-3.5 -4l3.5 4l3.5 -4")
        y += _GAP
        if row.branches:
            y = panels.draw(sheet, y, row)
        else:
            words = {"name": row.name, "text": row.layer.word.text(), "colour": tint(row)}
            y = _layer(sheet, y, row.output_shape, widest, parameters=row.parameters, **words)
    return sheet.svg(y + 6, f"Flow diagram: {len(plan.rows)} layers, {plan.parameters:,} parameters")


def flow_file(plan: Plan) -> str:
    """The same drawing as a file of its own, with its colours for light and for dark."""
    svg = flow_diagram(plan)
    head, rest = svg.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{_COLOURS}</style>{rest}\n'


_COLOURS = """
svg { --ink: #1d2226; --fine: #5f6a72; --tint: #f3f4f4; --page: #fdfdfc;
  --conv: #5b8fc7; --pool: #a9b8c4; --dense: #d08a4e; --other: #cfd6db;
  background: var(--page); color: var(--ink); font: 11px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e4e8ea; --fine: #98a4ac; --tint: #1d2327; --page: #15191c;
  --conv: #4a7db5; --pool: #5a6a76; --dense: #b97739; --other: #3c464d; } }
text { fill: currentColor; } .name { font-weight: 600; } .fine { font-size: 9.5px; fill: var(--fine); }
path { stroke: var(--fine); fill: none; }
"""


def _layer(
    sheet: Sheet, y: float, shape: Shape, widest: int, *, name: str, text: str, parameters: int, colour: str
) -> float:
    """One layer with its label; the y below it."""
    if len(shape) == 3:
        width = max(6.0, 140 * math.sqrt(shape[2] / widest))
        height = 20 + 5 * math.log2(shape[0])
    else:
        width, height = min(140.0, 10 * math.log2(shape[0] + 1)), 14.0
    middle = y + height / 2
    sheet.block(MIDDLE, y, width, height, colour=colour)
    sheet.text(_TEXT, middle - 2, text, name=name)
    sheet.text(_TEXT, middle + 10, told(shape, parameters), fine=True)
    return y + height

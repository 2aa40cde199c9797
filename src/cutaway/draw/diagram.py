"""A net as a flow diagram: SVG that follows the page's colours."""

from __future__ import annotations

import math
from html import escape

from cutaway.nets import LayerPlan, Plan, Shape

_WIDTH, _MIDDLE, _TEXT = 420, 78, 168
_GAP = 13
_TINTS = {"conv": "conv", "dense": "dense", "pool": "pool"}


def flow_diagram(plan: Plan) -> str:
    """The net from the image at the top to the logits at the bottom.

    A block of maps is as wide as they are, by the square root, so that 224 pixels and one fit a
    page, and grows higher with the number of channels. A vector is a bar that grows wider with
    the number of its units. Beside each stand the layer's name, its words, its output shape and its
    parameters. Colours come from the CSS variables ``--conv``, ``--pool``, ``--dense``, ``--other``
    and ``currentColor``.

    Returns:
        an ``<svg>`` element that scales to its container.
    """
    shapes = [plan.input_shape, *(row.output_shape for row in plan.rows)]
    largest = max(shape[2] for shape in shapes if len(shape) == 3)
    parts: list[str] = []
    y = 4.0
    y = _block(parts, y, plan.input_shape, largest, name="image", text="input", cost="", tint="other")
    for row in plan.rows:
        parts.append(f'<path d="M{_MIDDLE} {y + 1:.1f}v{_GAP - 5}m-3.5 -4l3.5 4l3.5 -4"/>')
        y += _GAP
        tint = _TINTS.get(row.layer.word.stem, "other")
        text = row.layer.word.text()
        y = _block(parts, y, row.output_shape, largest, name=row.name, text=text, cost=_cost(row), tint=tint)
    label = f"Flow diagram: {len(plan.rows)} layers, {plan.parameters:,} parameters"
    return (
        f'<svg class="flow" viewBox="0 0 {_WIDTH} {y + 6:.0f}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg>"
    )


def _block(
    parts: list[str], y: float, shape: Shape, largest: int, *, name: str, text: str, cost: str, tint: str
) -> float:
    """One block with its label; the y below it."""
    if len(shape) == 3:
        width = max(6.0, 140 * math.sqrt(shape[2] / largest))
        height = 20 + 5 * math.log2(shape[0])
    else:
        width, height = min(140.0, 10 * math.log2(shape[0] + 1)), 14.0
    x, middle = _MIDDLE - width / 2, y + height / 2
    told = "×".join(map(str, shape)) + escape(cost)
    parts.append(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" '
        f'style="fill:var(--{tint})"/>'
        f'<text x="{_TEXT}" y="{middle - 2:.1f}"><tspan class="name">{escape(name)}</tspan> '
        f"{escape(text)}</text>"
        f'<text class="fine" x="{_TEXT}" y="{middle + 10:.1f}">{told}</text>'
    )
    return y + height


def _cost(row: LayerPlan) -> str:
    return f" · {row.parameters:,} parameters" if row.parameters else ""

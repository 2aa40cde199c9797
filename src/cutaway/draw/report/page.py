"""What every report shares: the page around it, how large it may be, the ink of its figures."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

LARGEST = 10_000_000
"""A report has at most this many bytes."""

TEMPLATES = Environment(
    loader=PackageLoader("cutaway.draw.report", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

INK_OF_PAGE = {"#000000": "currentColor", "#b0b0b0": "currentColor"}
"""Matplotlib writes colours in lower case; its black is that of axes and text."""

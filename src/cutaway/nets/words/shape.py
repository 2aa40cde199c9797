"""Shapes: what a layer takes and gives for one image."""

from __future__ import annotations

Shape = tuple[int, ...]
"""A layer's output for one image: ``(C, H, W)`` for maps, ``(F,)`` for a vector."""

Pair = tuple[int, int]
"""Height and width."""


class ShapeError(ValueError):
    """A word that can't work on its input; the message ends with the ways out.

    Args:
        problem: what does not fit, to follow the layer's name.
        ways: what would mend it.
    """

    def __init__(self, problem: str, ways: str) -> None:
        super().__init__(f"{problem}. {ways}")
        self.problem = problem
        self.ways = ways


def describe(shape: Shape) -> str:
    """A shape as a person says it: ``4×4 (500 channels)``, or ``a vector of 500``."""
    if len(shape) == 1:
        return f"a vector of {shape[0]}"
    channels = "channel" if shape[0] == 1 else "channels"
    return f"{shape[1]}×{shape[2]} ({shape[0]} {channels})"


def maps(shape: Shape) -> tuple[int, int, int]:
    """Channels, height and width; a :class:`ShapeError` for a vector."""
    if len(shape) != 3:
        raise ShapeError(f"takes maps but its input is {describe(shape)}", "Move it before the flatten.")
    return shape[0], shape[1], shape[2]

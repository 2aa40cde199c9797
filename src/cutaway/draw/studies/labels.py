"""Names beside points, where none covers another, a point or an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_DISTANCES = (5.0, 10.0, 16.0, 24.0, 34.0, 46.0, 60.0, 80.0)
_DIRECTIONS = 24


@dataclass(frozen=True)
class Box:
    """A rectangle, in points of the page; ``top`` is above ``bottom``."""

    left: float
    bottom: float
    right: float
    top: float

    def covers(self, other: Box) -> bool:
        """Whether both have some area in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def holds(self, other: Box) -> bool:
        """Whether the other one lies inside of it."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.bottom <= other.bottom
            and other.top <= self.top
        )


def place(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    taken: Sequence[Box],
    frame: Box,
) -> list[Box | None]:
    """A box for each label, as near to its anchor as there is room; None where there is none.

    Greedy: those whose anchors have the most neighbours come first. Beside the right edge is tried
    before all other directions.

    Args:
        anchors: what the labels name.
        sizes: width and height of each label.
        taken: what no label may cover, such as the marks themselves.
        frame: what all must be inside of.
    """
    found: list[Box | None] = [None] * len(anchors)
    used = list(taken)
    for at in sorted(range(len(anchors)), key=lambda at: -_neighbours(anchors, at)):
        for box in _candidates(anchors[at], sizes[at]):
            if frame.holds(box) and not any(box.covers(other) for other in used):
                found[at] = box
                used.append(box)
                break
    return found


def _neighbours(anchors: Sequence[tuple[float, float]], at: int) -> int:
    return sum(math.dist(anchors[at], other) < 60 for other in anchors)


def _candidates(anchor: tuple[float, float], size: tuple[float, float]) -> list[Box]:
    """Boxes around an anchor, the nearest first."""
    boxes = []
    for distance in _DISTANCES:
        for step in range(_DIRECTIONS):
            # 0, 1, −1, 2, −2 … from the right around both ways.
            turn = (step + 1) // 2 * (1 if step % 2 else -1) * 2 * math.pi / _DIRECTIONS
            x = anchor[0] + math.cos(turn) * (distance + size[0] / 2)
            y = anchor[1] + math.sin(turn) * (distance + size[1] / 2)
            boxes.append(Box(x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2))
    return boxes

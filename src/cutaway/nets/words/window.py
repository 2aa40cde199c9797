"""A window that moves over maps: kernels and pools."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cutaway.nets.words.shape import Pair, ShapeError


@dataclass(frozen=True)
class Window:
    """What one output value sees of its input, along height and along width.

    Args:
        size: rows and columns.
        stride: from one output value to the next.
        before: padding above and left.
        after: padding below and right.
        ceil: a last window may hang over the end, as long as it begins inside.
        what: its name in messages, "kernel" or "window".
    """

    size: Pair
    stride: Pair = (1, 1)
    before: Pair = (0, 0)
    after: Pair = (0, 0)
    ceil: bool = False
    what: str = "window"

    def count(self, height: int, width: int) -> Pair:
        """How often it fits along height and along width: ⌊(size + pads − window) / stride⌋ + 1.

        Raises:
            ShapeError: it is larger than the padded input.
        """
        padded = (height + self.before[0] + self.after[0], width + self.before[1] + self.after[1])
        if self.size[0] > padded[0] or self.size[1] > padded[1]:
            largest = times((min(padded[0], self.size[0]), min(padded[1], self.size[1])))
            same = '"same" padding' if self.what == "kernel" else "a pad"
            raise ShapeError(
                f"has a {times(self.size)} {self.what} but its input is {{input}}",
                f"Use a {self.what} of at most {largest}, {same}{{drop}}.",
            )
        return self._fits(0, height, padded[0]), self._fits(1, width, padded[1])

    def _fits(self, axis: int, size: int, padded: int) -> int:
        free, stride = padded - self.size[axis], self.stride[axis]
        if not self.ceil:
            return free // stride + 1
        count = -(-free // stride) + 1
        # A window that begins in the padding behind the end would see nothing.
        return count - 1 if (count - 1) * stride >= size + self.before[axis] else count


def same_padding(size: int, kernel: int, stride: int) -> Pair:
    """Zeros before and after that give ⌈size / stride⌉ outputs; the odd one comes after."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def times(pair: Pair) -> str:
    """``5×5``, as a person reads it."""
    return f"{pair[0]}×{pair[1]}"


def written(pair: Pair) -> str:
    """``5`` or ``5x3``, as the notation has it."""
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"


def option(name: str, value: Pair, default: Pair) -> str:
    """An option with the blank before it; nothing where it is the default."""
    return "" if value == default else f" {name} {written(value)}"

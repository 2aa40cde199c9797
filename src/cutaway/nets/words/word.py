"""A word of the notation: its arguments, its shapes, its cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from cutaway.nets.arguments import Arguments
from cutaway.nets.words.shape import Shape
from cutaway.nets.words.window import Window
from cutaway.registry import Registry

WORDS: Registry[type[Word]] = Registry("word")


@dataclass(frozen=True)
class Word(ABC):
    """One operation of a net."""

    stem: ClassVar[str] = ""
    """What unnamed layers of this word are called, before their count."""

    monotone: ClassVar[bool] = False
    """An activation that never falls: a max-pool may be computed before it."""

    @classmethod
    def parse(cls, args: Arguments) -> Word:
        """The word with the arguments that follow it in the text; most take none."""
        del args
        return cls()

    def text(self) -> str:
        """The word as it is written; parsing it gives an equal word."""
        return next(name for name in WORDS if WORDS[name] is type(self))

    @abstractmethod
    def output(self, shape: Shape) -> Shape:
        """The shape of the output for an input of ``shape``.

        Raises:
            ShapeError: the word can't work on such an input.
        """

    def parameters(self, shape: Shape) -> int:
        """The number of trained values for an input of ``shape``."""
        del shape
        return 0

    def multiply_adds(self, shape: Shape) -> int:
        """Multiplications followed by an addition, for one image; biases are not counted."""
        del shape
        return 0

    def window(self, shape: Shape) -> Window | None:
        """What one output value sees of the input's rows and columns; None for its own place alone."""
        del shape
        return None

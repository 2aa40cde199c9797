"""A layer: a named step of a net."""

from __future__ import annotations

from dataclasses import dataclass, field

from cutaway.nets.words.word import Word


@dataclass(frozen=True)
class Layer:
    """A named step of a net.

    Args:
        name: unique in the net.
        word: what it does.
        named: the person named it; otherwise the name is its word's stem and its count.
        line: the line of the text that it stands in, from 1; 0 where there is none.
        column: where in the line it begins, from 1.
    """

    name: str
    word: Word
    named: bool = False
    line: int = field(default=0, compare=False)
    column: int = field(default=1, compare=False)

    def text(self) -> str:
        """The layer as a line of the notation."""
        return f"{self.name}: {self.word.text()}" if self.named else self.word.text()

    @property
    def place(self) -> str:
        """Where it stands, for messages: ``line 7``, or ``line 1, column 30`` behind others."""
        return f"line {self.line}" + (f", column {self.column}" if self.column > 1 else "")

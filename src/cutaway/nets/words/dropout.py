"""Dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cutaway.nets.arguments import Arguments
from cutaway.nets.words.activation import Elementwise
from cutaway.nets.words.word import WORDS


@WORDS.add("dropout")
@dataclass(frozen=True)
class Dropout(Elementwise):
    """``dropout P``: in training each value is zeroed with probability P."""

    stem: ClassVar[str] = "dropout"
    probability: float

    @classmethod
    def parse(cls, args: Arguments) -> Dropout:
        return cls(args.share("the probability to drop a value"))

    def text(self) -> str:
        return f"dropout {self.probability!r}"

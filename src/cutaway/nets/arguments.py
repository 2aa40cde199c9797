"""What follows a word in the notation: tokens with their place, read one after another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cutaway.errors import ConfigError, nearest

LARGEST = 1_000_000
"""No count or size is larger; a slip of the keyboard is caught before it takes memory."""

_COUNT = re.compile(r"[0-9]{1,12}\Z")
_COUNTS = re.compile(r"([0-9]{1,12})-([0-9]{1,12})\Z")
_SIZE = re.compile(r"([0-9]{1,12})(?:x([0-9]{1,12}))?\Z")
_NUMBER = re.compile(r"[0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?\Z")


@dataclass(frozen=True)
class Token:
    """A piece of text without blanks, and the column that it starts at, from 1."""

    text: str
    column: int


class NotationError(ConfigError):
    """A mistake in a net's text: the place, what was expected, the line itself."""

    def __init__(self, line: int, column: int, problem: str, source: str) -> None:
        shown = source if len(source) <= 100 else source[:97] + "…"
        repeated = f"\n    {shown}" if shown.strip() else ""
        super().__init__(f"line {line}, column {column}: {problem}{repeated}")
        self.line = line
        self.column = column


class Arguments:
    """A cursor over the tokens behind a word.

    Args:
        tokens: what follows the word.
        line: the line's number, from 1.
        source: the line itself, to be repeated in errors.
        end: the column behind the last token.
    """

    def __init__(self, word: str, tokens: Sequence[Token], line: int, source: str, end: int) -> None:
        self._word = word
        self._tokens = list(tokens)
        self._line = line
        self._source = source
        self._end = end

    def error(self, problem: str, token: Token | None = None) -> NotationError:
        """An error that points at ``token``, or at the line's end."""
        return NotationError(self._line, token.column if token else self._end, problem, self._source)

    def count(self, what: str) -> int:
        """A whole number of at least one."""
        token = self._next(what)
        if not _COUNT.match(token.text):
            raise self.error(f'expected {what}, found "{token.text[:40]}".', token)
        return self._in_range(token, int(token.text))

    def has_count(self) -> bool:
        """Whether the next token is a number."""
        return bool(self._tokens) and self._tokens[0].text[0].isdigit()

    def counts(self, what: str) -> tuple[int, int]:
        """``96-128``: two whole numbers of at least one."""
        token = self._next(what)
        match = _COUNTS.match(token.text)
        if not match:
            raise self.error(f'expected {what}, found "{token.text[:40]}".', token)
        return self._in_range(token, int(match[1])), self._in_range(token, int(match[2]))

    def size(self, what: str) -> tuple[int, int]:
        """``5x5`` or ``5``, as height and width, each at least one."""
        token = self._next(what)
        height, width = self._pair(token, what)
        return self._in_range(token, height), self._in_range(token, width)

    def share(self, what: str, default: float | None = None, *, above: bool = False) -> float:
        """A number from 0, or above it, up to, but not including, 1."""
        if default is not None and not self._tokens:
            return default
        token = self._next(what)
        value = float(token.text) if _NUMBER.match(token.text) else -1.0
        if not 0 <= value < 1 or (above and not value):
            bounds = "above 0 and below 1" if above else "from 0 to below 1"
            raise self.error(f'expected {what}, {bounds}, found "{token.text[:40]}".', token)
        return value

    def options(self, *flags: str, sizes: Sequence[str] = ()) -> dict[str, tuple[int, int]]:
        """All that is left, as options in any order; a flag's value is ``(0, 0)``."""
        found: dict[str, tuple[int, int]] = {}
        while self._tokens:
            token = self._tokens.pop(0)
            if token.text not in (*flags, *sizes):
                known = nearest(token.text, (*flags, *sizes))
                raise self.error(f'{self._word} has no option "{token.text[:40]}".{known}', token)
            if token.text in found:
                raise self.error(f'"{token.text}" stands twice.', token)
            is_flag = token.text in flags
            found[token.text] = (0, 0) if is_flag else self._option_size(token.text)
        return found

    def at_most_one(self, options: dict[str, tuple[int, int]], *names: str) -> None:
        """Refuse options that contradict each other."""
        given = [name for name in names if name in options]
        if len(given) > 1:
            raise self.error(f'"{given[0]}" and "{given[1]}" contradict each other; keep one.')

    def positive(
        self, options: dict[str, tuple[int, int]], name: str, default: tuple[int, int] = (1, 1)
    ) -> tuple[int, int]:
        """An option's size, each number at least one."""
        value = options.get(name, default)
        if 0 in value:
            raise self.error(f"{name} is 0; it should be at least 1.")
        return value

    def odd(
        self, options: dict[str, tuple[int, int]], name: str, default: tuple[int, int]
    ) -> tuple[int, int]:
        """An option's size, each number odd, so that padding by half of it keeps a map's size."""
        value = options.get(name, default)
        if 0 in (value[0] % 2, value[1] % 2):
            raise self.error(f"{name} should be odd, such as 3 or 5.")
        return value

    def numbers(self, *names: str) -> dict[str, float]:
        """All that is left, as ``name number`` in any order, each number zero or above."""
        found: dict[str, float] = {}
        while self._tokens:
            token = self._tokens.pop(0)
            if token.text not in names:
                known = nearest(token.text, names)
                raise self.error(f'{self._word} has no option "{token.text[:40]}".{known}', token)
            if token.text in found:
                raise self.error(f'"{token.text}" stands twice.', token)
            value = self._next(f"a number for {token.text}")
            if not _NUMBER.match(value.text) or float(value.text) > LARGEST:
                raise self.error(f'expected a number for {token.text}, found "{value.text[:40]}".', value)
            found[token.text] = float(value.text)
        return found

    def finish(self) -> None:
        """Refuse what is left over."""
        if self._tokens:
            token = self._tokens[0]
            raise self.error(f'{self._word} takes nothing more, found "{token.text[:40]}".', token)

    def _option_size(self, name: str) -> tuple[int, int]:
        what = f"a number for {name}"
        token = self._next(what)
        pair = self._pair(token, what)
        if max(pair) > LARGEST:
            raise self.error(f"{name} should be at most {LARGEST:,}.", token)
        return pair

    def _next(self, what: str) -> Token:
        if not self._tokens:
            raise self.error(f"expected {what} after {self._word}, found the end of the line.")
        return self._tokens.pop(0)

    def _pair(self, token: Token, what: str) -> tuple[int, int]:
        match = _SIZE.match(token.text)
        if not match:
            ascii_x = ' Write the sign as the letter "x".' if re.search("[×хΧχХ*X]", token.text) else ""
            raise self.error(f'expected {what}, found "{token.text[:40]}".{ascii_x}', token)
        return int(match[1]), int(match[2] or match[1])

    def _in_range(self, token: Token, value: int) -> int:
        if not 1 <= value <= LARGEST:
            raise self.error(f"{token.text} is out of range; from 1 to {LARGEST:,} is possible.", token)
        return value

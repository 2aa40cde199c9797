"""The notation: a net as text, a layer a line, read and written."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from cutaway.errors import ConfigError, nearest
from cutaway.nets.arguments import Arguments, NotationError, Token
from cutaway.nets.words import WORDS, Block, Conv, Dense, Layer

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")

MOST_CHARACTERS = 200_000
MOST_LAYERS = 2_000
"""Far above any net here; a file taken for a net by mistake is refused at once."""


@dataclass(frozen=True)
class NetSpec:
    """A net as described: its layers in order, without any input shape or weights."""

    layers: tuple[Layer, ...]

    def text(self) -> str:
        """The notation, a layer a line; parsing it gives an equal net."""
        return "\n".join(layer.text() for layer in self.layers)

    def with_outputs(self, count: int) -> NetSpec:
        """The same net with ``count`` outputs: those of its last dense or conv layer.

        Raises:
            ConfigError: a block, whose outputs can't be told apart, stands behind that.
        """
        layers = list(self.layers)
        for at in reversed(range(len(layers))):
            word = layers[at].word
            if isinstance(word, Dense):
                layers[at] = replace(layers[at], word=replace(word, units=count))
                break
            if isinstance(word, Conv):
                layers[at] = replace(layers[at], word=replace(word, filters=count))
                break
            if isinstance(word, Block):
                raise ConfigError(f"{layers[at].name} is a block; end the net with: dense {count}")
        return NetSpec(tuple(layers))


def parse_net(text: str) -> NetSpec:
    """The net that a text describes.

    Lines and ``|`` separate layers, ``#`` starts a comment, ``eyes: conv 20 5x5`` names a layer.

    Raises:
        NotationError: an unknown word, a missing or wrong argument, a name used twice, no layers
            at all; the message has line, column and what was expected.
    """
    if len(text) > MOST_CHARACTERS:
        raise NotationError(1, 1, f"a net of over {MOST_CHARACTERS:,} characters; is this a net?", text[:60])
    layers: list[Layer] = []
    counts: dict[str, int] = {}
    names: dict[str, int] = {}
    for number, source in enumerate(text.splitlines(), 1):
        for at, (tokens, end) in enumerate(_pieces(source)):
            layer = _layer(tokens, number, source, end, counts)
            if at == 0:  # it begins its line, indented or not
                layer = replace(layer, column=1)
            if layer.name in names:
                raise NotationError(
                    number,
                    tokens[0].column,
                    f'there is a layer "{layer.name[:40]}" already, in line {names[layer.name]}.',
                    source,
                )
            names[layer.name] = number
            layers.append(layer)
            if len(layers) > MOST_LAYERS:
                raise NotationError(number, 1, f"more than {MOST_LAYERS:,} layers; is this a net?", source)
    if not layers:
        raise NotationError(1, 1, "a net needs at least one layer, such as: dense 10", text[:60])
    return NetSpec(tuple(layers))


def _pieces(source: str) -> list[tuple[list[Token], int]]:
    """The layers of one line, each as tokens, with the column behind its last one."""
    code = source.split("#", 1)[0]
    pieces = []
    start = 0
    for part in code.split("|"):
        # "eyes:conv" is written by some without the blank.
        found = re.finditer(r"[^\s:]+:?|:", part)
        tokens = [Token(match[0], start + match.start() + 1) for match in found]
        if tokens:
            pieces.append((tokens, tokens[-1].column + len(tokens[-1].text)))
        start += len(part) + 1
    return pieces


def _layer(tokens: list[Token], line: int, source: str, end: int, counts: dict[str, int]) -> Layer:
    name, column = "", tokens[0].column
    if tokens[0].text.endswith(":"):
        name = tokens[0].text[:-1]
        if not _NAME.match(name):
            raise NotationError(
                line,
                tokens[0].column,
                f'"{name[:40]}" is no name: use letters, digits and _, a letter first.',
                source,
            )
        tokens = tokens[1:]
        if not tokens:
            raise NotationError(
                line, end, f"expected a word after {name[:40]}:, such as conv or relu.", source
            )
    head, rest = tokens[0], tokens[1:]
    if head.text not in WORDS:
        raise NotationError(
            line, head.column, f'there is no word "{head.text[:40]}".{nearest(head.text, WORDS)}', source
        )
    arguments = Arguments(head.text, rest, line, source, end)
    word = WORDS[head.text].parse(arguments)
    arguments.finish()
    counts[word.stem] = counts.get(word.stem, 0) + 1
    return Layer(name or f"{word.stem}{counts[word.stem]}", word, bool(name), line, column)

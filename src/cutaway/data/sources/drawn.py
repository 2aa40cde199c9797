"""``drawn``: characters from the fonts that Matplotlib ships, white on black, each one jittered."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from cutaway.config import DataConfig
from cutaway.data.glyphs import Glyphs
from cutaway.data.handwriting import write
from cutaway.data.images import Images
from cutaway.data.made import make_images
from cutaway.data.sources.registry import SOURCES, Source
from cutaway.errors import ConfigError

_SIDES = (28, 28)
_PER_CLASS = 500
_SMALLEST = 8


def _load(config: DataConfig) -> Images:
    if config.path:
        raise ConfigError('The source "drawn" makes its images and reads nothing: leave data.path empty.')
    twice = [c for at, c in enumerate(config.characters) if c in config.characters[:at]]
    if twice:
        raise ConfigError(f'data.characters has "{twice[0]}" twice: each character is a class of its own.')
    sides = config.sides or _SIDES
    if min(sides) < _SMALLEST:
        raise ConfigError(
            f"Characters of {sides[0]}x{sides[1]} pixels can't be read: "
            f"set data.size to {_SMALLEST}x{_SMALLEST} or more."
        )
    glyphs = Glyphs.render(config.characters)
    return make_images(config, tuple(config.characters), _PER_CLASS, partial(_draw, glyphs, sides))


def _draw(glyphs: Glyphs, sides: tuple[int, int], character: str, count: int, seed: int) -> Tensor:
    return write(glyphs.of[character], count, sides, seed)


SOURCES.add("drawn")(Source("digits, letters, any characters, drawn from many fonts", _load))

"""``textures``: 25 textures made by formula; nothing is read from disk."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from cutaway.config import DataConfig
from cutaway.data.images import Images
from cutaway.data.made import make_images
from cutaway.data.sources.registry import SOURCES, Source
from cutaway.data.textures import SMALLEST, TEXTURES, paint
from cutaway.errors import ConfigError

_SIDES = (64, 64)
_PER_CLASS = 200


def _load(config: DataConfig) -> Images:
    if config.path:
        raise ConfigError('The source "textures" makes its images and reads nothing: leave data.path empty.')
    sides = config.sides or _SIDES
    if min(sides) < SMALLEST:
        raise ConfigError(
            f"Textures of {sides[0]}x{sides[1]} pixels can't be told apart: "
            f"set data.size to {SMALLEST}x{SMALLEST} or more."
        )
    return make_images(config, sorted(TEXTURES), _PER_CLASS, partial(_paint, sides))


def _paint(sides: tuple[int, int], name: str, count: int, seed: int) -> Tensor:
    return paint(name, count, sides, seed)


SOURCES.add("textures")(Source("25 textures of 64×64 made by formula, embedded", _load))

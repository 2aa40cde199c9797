"""25 textures by formula, each a function of a canvas; a file a family."""

from cutaway.data.textures.exposure import SMALLEST, paint
from cutaway.data.textures.registry import TEXTURES

from cutaway.data.textures import cells, grain, lines, tiles, woven  # isort: skip  # noqa: F401  importing registers them

__all__ = ["SMALLEST", "TEXTURES", "paint"]

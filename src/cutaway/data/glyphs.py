"""Characters as the fonts that Matplotlib ships draw them, before any jitter."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from cutaway.errors import ConfigError, NotFoundError

SIDE = 64
"""Side of a glyph's square, in pixels: twice what most frames need, so that turning it keeps it sharp."""

_FULL = ("DejaVuSans", "DejaVuSerif", "STIXGeneral")
"""Families that have what their tables say. DejaVu's "Display" files hold a few signs only."""

_LETTERS = ("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10")
"""Computer Modern: letters and digits stand where they should, other signs do not (``<`` is ``¡``)."""

_LARGE = 96
"""Size that glyphs are measured at, in pixels; they are then scaled to fit :data:`SIDE`."""

_NOBODY_S = "\uffff"
"""No character, by Unicode's own definition: what a font shows for it, it shows for what it lacks."""


@dataclass(frozen=True)
class Glyphs:
    """What each character looks like in each font that has it.

    Args:
        of: by character, ``(fonts, SIDE, SIDE)`` float32, ink from 0 to 1. Within a font all
            characters have one scale and one baseline: else "o" and "O" would look the same.
    """

    of: Mapping[str, Tensor]

    @classmethod
    def render(cls, characters: str) -> Glyphs:
        """Draw every character in every font.

        Raises:
            ConfigError: no font has one of them, or it leaves no ink.
            NotFoundError: Matplotlib's fonts are not there.
        """
        found: dict[str, list[Tensor]] = {character: [] for character in characters}
        for path in font_files():
            for character, glyph in _drawn(path, characters).items():
                found[character].append(glyph)
        missing = [character for character in characters if not found[character]]
        if missing:
            named = ", ".join(f'"{character}" (U+{ord(character):04X})' for character in missing)
            raise ConfigError(f"No font draws {named}: leave it out of data.characters.")
        return cls({character: torch.stack(glyphs) for character, glyphs in found.items()})


def font_files() -> list[Path]:
    """The fonts with letters and digits among those that Matplotlib ships, by name.

    Raises:
        NotFoundError: Matplotlib is not installed, or has no fonts.
    """
    # Importing Matplotlib takes longer than drawing; where it lies is all that is needed.
    spec = importlib.util.find_spec("matplotlib")
    folders = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    paths = [path for folder in folders for path in (folder / "mpl-data/fonts/ttf").glob("*.ttf")]
    chosen = [path for path in paths if path.stem.startswith(_FULL) and "Display" not in path.stem]
    chosen += [path for path in paths if path.stem in _LETTERS]
    if not chosen:
        raise NotFoundError("Matplotlib's fonts are missing. Install Matplotlib again.")
    return sorted(chosen, key=lambda path: path.stem)


def _drawn(path: Path, characters: str) -> dict[str, Tensor]:
    """The glyphs of one font, for the characters that it has, ``(SIDE, SIDE)`` each."""
    font = ImageFont.truetype(path, _LARGE, layout_engine=ImageFont.Layout.BASIC)
    if path.stem in _LETTERS:
        characters = "".join(c for c in characters if c.isascii() and c.isalnum())
    lacking = _ink(font, _NOBODY_S)
    boxes = {}
    for character in characters:
        ink = _ink(font, character)
        if ink.any() and not (ink.shape == lacking.shape and np.array_equal(ink, lacking)):
            boxes[character] = font.getbbox(character, anchor="ls")
    if not boxes:
        return {}
    top, bottom = min(box[1] for box in boxes.values()), max(box[3] for box in boxes.values())
    widest = max(box[2] - box[0] for box in boxes.values())
    size = _LARGE * SIDE / max(bottom - top, widest) * 0.98  # rounding must not cut anything off
    fitting = font.font_variant(size=size)
    middle = SIDE / 2 - (top + bottom) / 2 * size / _LARGE
    return {character: _set(fitting, character, middle) for character in boxes}


def _set(font: ImageFont.FreeTypeFont, character: str, baseline: float) -> Tensor:
    """A character in the middle of a square, standing on a baseline."""
    square = Image.new("L", (SIDE, SIDE))
    left, _, right, _ = font.getbbox(character, anchor="ls")
    ImageDraw.Draw(square).text(
        (SIDE / 2 - (left + right) / 2, baseline), character, 255, font=font, anchor="ls"
    )
    return torch.from_numpy(np.array(square, np.float32) / 255)


def _ink(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    mask = font.getmask(character)
    return np.frombuffer(bytes(mask), np.uint8).reshape(mask.size[::-1])

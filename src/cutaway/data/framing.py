"""How the training images stand in their frame, so that a new picture can be set the same way.

A net that learnt white digits of 20 pixels, centred on black, is lost on a photograph of a black
digit in a corner. What the training images have in common is measured once, saved with the run,
and applied to every picture that a person brings.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cutaway.config import DataConfig, Fit
from cutaway.data.images import Split
from cutaway.data.sizing import border, interpolated, resize
from cutaway.errors import DataError

_SAMPLE = 2000  # images looked at; the measures below are medians and shares, stable by then
_NEAR = 8  # grey levels that still count as the ground
_INK = 0.2  # share of the way from ground to figure at which ink begins
_FAINTEST = 24  # grey levels between ground and figure below which a picture counts as blank
_ALIKE = 0.25  # share by which figures of one size may be larger or smaller than the median
_NEARBY = 0.15  # of the frame's longer side: how far figures of one place may lie from the median


@dataclass(frozen=True)
class Framing:
    """What the training images have in common.

    Args:
        shape: ``(C, H, W)`` of every image.
        ground: the grey value that figures stand on, 0 to 255; −1 where images fill their frame.
        extent: the longer side of a figure, in pixels (median); 0 where all sizes and places occur.
        by_mass: figures are centred by their centre of mass rather than by their bounding box.
        centre: the row and the column that this centre lies at, in pixels (median).
        fit: how images of other proportions were brought to the shape.
        pad: pixels of border that the shape has on every side.
    """

    shape: tuple[int, int, int]
    ground: int = -1
    extent: int = 0
    by_mass: bool = False
    centre: tuple[float, float] = (0.0, 0.0)
    fit: Fit = Fit.CROP
    pad: int = 0

    @classmethod
    def of(cls, train: Split, config: DataConfig) -> Framing:
        """The framing of training images that were brought to their size as ``config`` says."""
        return replace(cls.measured(train), fit=config.fit, pad=config.pad)

    @classmethod
    def measured(cls, train: Split) -> Framing:
        """The framing that at least nine of ten grey training images share."""
        count = min(_SAMPLE, len(train))
        pixels = train.batch(torch.linspace(0, len(train) - 1, count).long()).float()
        shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
        if shape[0] != 1 or min(shape[1:]) < 3:
            return cls(shape)
        ring = _ring(pixels[:, 0])
        ground = ring.median()
        if ((ring - ground).abs() <= _NEAR).all(1).float().mean() < 0.9:
            return cls(shape)
        ink = (pixels[:, 0] - ground).abs()
        boxes = [_box(image > _INK * 255) for image in ink if (image > _INK * 255).any()]
        if not boxes:
            return cls(shape)
        sides = torch.tensor([max(b - t, r - le) for t, b, le, r in boxes])
        masses = torch.stack([_mass(image) for image in ink if (image > _INK * 255).any()])
        middles = torch.tensor([[(t + b - 1) / 2, (le + r - 1) / 2] for t, b, le, r in boxes])
        # Which of the two varies less is what figures are centred by. Where it lies is measured
        # too: MNIST's is at 14, half a pixel off the middle of 28 pixels, and half a pixel is enough
        # to set three of four digits a pixel aside.
        spreads = [
            float((found - found.median(0).values).norm(dim=1).median()) for found in (masses, middles)
        ]
        by_mass = spreads[0] < spreads[1]
        placed = masses if by_mass else middles
        row, column = placed.median(0).values.tolist()
        # Figures of many sizes in many places stay as they are: how large and where may be what tells.
        off = (placed - placed.median(0).values).norm(dim=1) / max(shape[1:])
        odd = (sides - sides.median()).abs() / sides.median()
        if (odd <= _ALIKE).float().mean() < 0.9 and (off <= _NEARBY).float().mean() < 0.9:
            return cls(shape, int(ground))
        return cls(shape, int(ground), int(sides.median()), by_mass, (row, column))

    def __call__(self, picture: Tensor) -> tuple[Tensor, tuple[str, ...]]:
        """The picture as the training images stand, and what was done to it.

        Args:
            picture: ``(C, H, W)`` uint8, any size.

        Returns:
            uint8 of :attr:`shape`, and notes such as "dark on light: inverted".

        Raises:
            DataError: the net expects a figure on a ground, and the picture is blank.
        """
        if self.ground < 0:
            return self._filled(picture)
        pixels = picture[0].float()
        ring = _ring(pixels[None])[0] if min(pixels.shape) > 2 else pixels.flatten()
        paper = ring.median()
        figure = pixels.flatten()[(pixels - paper).abs().argmax()]
        contrast = float((figure - paper).abs())
        if not self.extent:
            turned = abs(float(paper) - self.ground) > _NEAR and (figure < paper) != (self.ground > 127)
            filled, done = self._filled(picture)
            return (255 - filled, (*done, "inverted")) if turned else (filled, done)
        if contrast < _FAINTEST:
            raise DataError("there is nothing on it: a blank picture has no class")
        inverted = (figure < paper) != (self.ground > 127)
        told = "dark on light" if figure < paper else "light on dark"
        notes = [f"{told}: inverted" if inverted else told]
        if picture.shape == self.shape and not inverted and ((ring - self.ground).abs() <= _NEAR).all():
            return picture, tuple(notes)
        # 0 on the paper, 1 at the figure's darkest or brightest.
        ink = ((pixels - paper) / (figure - paper)).clamp(0, 1)
        framed = self._set(ink)
        notes.append(
            f"{pixels.shape[1]}×{pixels.shape[0]} pixels: figure set in {self.shape[2]}×{self.shape[1]}"
        )
        peak = 255.0 if self.ground <= 127 else 0.0
        return (self.ground + framed * (peak - self.ground)).round().to(torch.uint8)[None], tuple(notes)

    def _set(self, ink: Tensor) -> Tensor:
        """Crop the figure, scale its longer side to the extent, centre it: ``(H, W)`` from 0 to 1."""
        height, width = self.shape[1:]
        top, bottom, left, right = _box(ink > _INK)
        crop = ink[top:bottom, left:right]
        scale = self.extent / max(crop.shape)
        tall, wide = (max(1, round(side * scale)) for side in crop.shape)
        small = interpolated(crop[None, None], (tall, wide))[0, 0].clamp(0, 1)
        middle = _mass(small) if self.by_mass else torch.tensor([(s - 1) / 2 for s in small.shape])
        frame = torch.zeros(height, width)
        y = round(self.centre[0] - float(middle[0]))
        x = round(self.centre[1] - float(middle[1]))
        y = min(max(y, 0), height - small.shape[0])
        x = min(max(x, 0), width - small.shape[1])
        frame[y : y + small.shape[0], x : x + small.shape[1]] = small
        return frame

    def _filled(self, picture: Tensor) -> tuple[Tensor, tuple[str, ...]]:
        """The picture in the frame's size, brought there as the training images were."""
        if picture.shape == self.shape:
            return picture, ()
        height, width = (side - 2 * self.pad for side in self.shape[1:])
        sized = border(resize(picture[None], (height, width), self.fit), self.pad)[0]
        note = f"{picture.shape[2]}×{picture.shape[1]} pixels scaled to {width}×{height}"
        return sized, (note,)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Framing:
        """What :meth:`to_json` gave."""
        channels, height, width = values["shape"]
        row, column = values["centre"]
        shape = (channels, height, width)
        fit, pad = Fit(values.get("fit", Fit.CROP)), values.get("pad", 0)
        return cls(shape, values["ground"], values["extent"], values["by_mass"], (row, column), fit, pad)


def _ring(images: Tensor) -> Tensor:
    """The outermost pixels of ``(N, H, W)`` images: ``(N, 2H + 2W − 4)``."""
    sides = (images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1])
    return torch.cat(sides, dim=1)


def _box(ink: Tensor) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a mask ``(H, W)``; bottom and right are one past the last."""
    rows, columns = ink.any(1).nonzero(), ink.any(0).nonzero()
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _mass(ink: Tensor) -> Tensor:
    """The centre of mass of ``(H, W)`` weights, as row and column."""
    total = ink.sum()
    rows = (ink.sum(1) * torch.arange(ink.shape[0])).sum() / total
    columns = (ink.sum(0) * torch.arange(ink.shape[1])).sum() / total
    return torch.stack((rows, columns))

"""Maps over images: colours for signed maps and for strengths, and what shows through them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from numpy.typing import NDArray
from torch import Tensor

from cutaway.draw.figures import FAINT, INK
from cutaway.draw.palette import SIGNED
from cutaway.errors import ConfigError

Colours = NDArray[np.float64]
"""``(H, W, 3)``, from 0 to 1."""

STRENGTH = "Purples"
"""White at zero and no hue of the signed palette: a strength says how much, not for or against."""

EVIDENCE = LinearSegmentedColormap.from_list("evidence", colormaps[SIGNED](np.linspace(0.5, 1, 128)))
"""The signed palette above zero, for maps that tell only what speaks for something."""

CLIPPED = 0.005
"""The share of a map's values beyond the palette's end: a few strong pixels would leave the rest white."""

_DARK, _LIGHT = 0.78, 1.0
"""Greys that an image's darkest and lightest places become below a map: light, so that colours stay."""


class MapScale(StrEnum):
    """Which maps end their palette at the same value."""

    IMAGE = "image"
    SHARED = "shared"

    @classmethod
    def of(cls, name: str) -> MapScale:
        """The scale of that name.

        Raises:
            ConfigError: there is none.
        """
        if name not in list(cls):
            raise ConfigError(f'scale should be {" or ".join(cls)}, not "{name}".')
        return cls(name)


@dataclass(frozen=True)
class Paint:
    """How the values of a map become colours.

    Args:
        colours: from −limit to limit, or from 0 to limit.
        signed: whether zero stands in the middle.
    """

    colours: Colormap
    signed: bool

    def limits(self, limit: float) -> tuple[float, float]:
        """The palette's two ends."""
        most = limit or 1.0
        return (-most if self.signed else 0.0), most

    def told(self, limit: float, ground: float = 0.0) -> str:
        """The ends in words; of a map from which ``ground`` was taken, as they were before."""
        return f"±{limit:.3g}" if self.signed else f"{ground:.3g} to {ground + limit:.3g}"


SIGNED_PAINT = Paint(colormaps[SIGNED], signed=True)
STRENGTH_PAINT = Paint(colormaps[STRENGTH], signed=False)
EVIDENCE_PAINT = Paint(EVIDENCE, signed=False)


def limit_of(maps: Tensor) -> float:
    """The value that all but :data:`CLIPPED` of the amounts keep within; the largest where that is zero."""
    amounts = np.abs(maps.numpy()).reshape(-1)
    return float(np.quantile(amounts, 1 - CLIPPED, method="higher")) or float(amounts.max(initial=0))


def faint(image: Tensor) -> Colours:
    """An image ``(C, H, W)`` as light greys from its darkest to its lightest place, ``(H, W, 3)``."""
    values = np.asarray(image.detach().float().cpu().mean(0), np.float64)
    values = (values - values.min()) / ((values.max() - values.min()) or 1.0)
    return np.repeat((_DARK + (_LIGHT - _DARK) * values)[:, :, None], 3, 2)


def over(image: Tensor, values: Tensor, limit: float, paint: Paint) -> Colours:
    """A map ``(H, W)`` over its image ``(C, H, W)``, as colours printed on it: zero is white, thus clear."""
    low, high = paint.limits(limit)
    shares = np.clip(np.asarray(values, np.float64), low, high) / high
    colours: Colours = paint.colours(shares / 2 + 0.5 if paint.signed else shares)[:, :, :3]
    return faint(image) * colours


def draw_over(axes: Axes, image: Tensor, values: Tensor, limit: float, paint: Paint) -> None:
    """A map over its image."""
    axes.imshow(over(image, values, limit, paint), interpolation="nearest")
    axes.set_axis_off()


def draw_map(axes: Axes, values: Tensor, limit: float, paint: Paint) -> None:
    """A map alone, with a thin frame: white is zero and would have no edge."""
    low, high = paint.limits(limit)
    axes.imshow(np.asarray(values), cmap=paint.colours, vmin=low, vmax=high, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(color=FAINT, linewidth=0.4)


def entitle(axes: Axes, title: str, *, faintly: bool = False) -> None:
    """A panel's title."""
    axes.set_title(title, size=7.5, loc="left", color=FAINT if faintly else INK, parse_math=False)

"""Colours: signed values around a white zero, and grey images."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

SIGNED = "RdBu_r"
"""Blue below zero, white at zero, red above: told apart with every kind of colour blindness."""

Pixels = NDArray[np.uint8]


def signed_colours() -> Pixels:
    """256 RGB colours from −1 to 1, ``(256, 3)``; 127 and 128 are the whites around zero."""
    return (np.asarray(colormaps[SIGNED](np.arange(256)))[:, :3] * 255).round().astype(np.uint8)


def signed_indices(values: NDArray[np.float32], limit: float) -> Pixels:
    """Values as places among :func:`signed_colours`: −limit at 0, +limit at 255, clipped beyond."""
    scaled = values / limit if limit > 0 else np.zeros_like(values)
    return (np.clip(scaled, -1, 1) * 127.5 + 127.5).round().astype(np.uint8)

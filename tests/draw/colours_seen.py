"""How far apart two colours are for people who see colours in different ways."""

from __future__ import annotations

from typing import Any

import numpy as np

SEEING: dict[str, Any] = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""What linear RGB looks like: Machado, Oliveira and Fernandes, 2009, at full severity."""

_TO_XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]


def cie_lab(colour: str, seeing: str) -> Any:
    """CIE L*a*b* (D65) of a hexadecimal colour as somebody sees it, ``(3,)``."""
    srgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SEEING[seeing]) @ linear, 0, 1)
    xyz = np.array(_TO_XYZ) @ seen / [0.95047, 1.0, 1.08883]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def difference_seen(one: str, other: str) -> float:
    """The least distance of two colours, over every kind of seeing; 2.3 can just be noticed."""
    return min(float(np.linalg.norm(cie_lab(one, kind) - cie_lab(other, kind))) for kind in SEEING)

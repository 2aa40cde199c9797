"""The registry of textures."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from cutaway.data.textures.canvas import Canvas
from cutaway.errors import NotFoundError
from cutaway.registry import Registry

Texture = Callable[[Canvas], Tensor]
"""Draws on a canvas: ``(N, H, W)`` of any level and contrast, which are set afterwards."""

TEXTURES: Registry[Texture] = Registry("texture", NotFoundError)

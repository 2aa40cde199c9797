"""Convolution by Winograd's algorithm F(4×4, 3×3): a quarter of the multiplications.

A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016:

    y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

where d is a 6×6 tile of the input, g a 3×3 kernel, y a 4×4 tile of the output. Over all tiles and
channels the products ⊙ are 36 matrix products. Transforming costs memory traffic, so it pays only
where the channels are many: with 128 in and 128 out, forward and backward took 31 ms in place of
42 (two cores, 32 maps of 16×16); with 64 and 64, 15 in place of 13. The backward pass is the adjoint,
step by step, so that the gradient is cut into tiles once for maps and kernels: computed as a
convolution of its own, that of the maps made a whole training step 8 % longer (two cores of another
machine, ``cifar-alves``, 42.5 ms in place of 39.1).

Rounding errors are about 1e-5 of the largest value, ten times those of the direct sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.nets.direct import Direct
from cutaway.nets.schedule import MOST_WASTE

_B_T = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
)
_G = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
_A_T = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    dtype=torch.float64,
)
# Both sides of a tile at once: M X Mᵀ of a tile is (M ⊗ M) of its values in a column.
_INPUT = torch.kron(_B_T, _B_T).float()  # (36, 36)
_KERNEL = torch.kron(_G, _G).float()  # (36, 9)
_OUTPUT = torch.kron(_A_T, _A_T).float()  # (16, 36)


class Winograd(Direct):
    """A 3×3 convolution computed by tiles where that is faster, directly elsewhere."""

    def __call__(self, maps: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, O, H', W')``."""
        tiling = _Tiling.of(maps, int(self.conv.padding[0]))
        # Ten times the rounding errors of a type of 7 bits would be too many.
        rounded = torch.is_autocast_enabled("cpu")
        if not torch.is_grad_enabled() or maps.device.type != "cpu" or tiling.waste > MOST_WASTE or rounded:
            return super().__call__(maps)
        weight = self.conv.weight
        result: Tensor = _Function.apply(maps, weight, self.bias, tiling)  # type: ignore[no-untyped-call]
        return result


@dataclass(frozen=True)
class _Tiling:
    """How an output of ``height``×``width`` is cut into ``down``×``across`` tiles of 4×4."""

    images: int
    height: int
    width: int
    padding: int

    @classmethod
    def of(cls, maps: Tensor, padding: int) -> _Tiling:
        images, _, height, width = maps.shape
        return cls(images, height + 2 * padding - 2, width + 2 * padding - 2, padding)

    @property
    def down(self) -> int:
        return -(-self.height // 4)

    @property
    def across(self) -> int:
        return -(-self.width // 4)

    @property
    def count(self) -> int:
        return self.images * self.down * self.across

    @property
    def waste(self) -> float:
        return 16 * self.down * self.across / (self.height * self.width)


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None, tiling: _Tiling) -> Tensor:
        inputs = _tiles(maps, tiling)  # (36, T, C)
        ctx.save_for_backward(inputs, weight)
        ctx.tiling, ctx.shape, ctx.has_bias = tiling, maps.shape, bias is not None
        outputs = _laid(torch.bmm(inputs, _kernels(weight)), tiling)
        return outputs if bias is None else outputs.add_(bias.view(1, -1, 1, 1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The adjoint of every step of the forward pass."""
        inputs, weight = ctx.saved_tensors
        products = _cut(gradients[0], ctx.tiling)  # (36, T, O)
        d_weight = _weights(torch.bmm(inputs.transpose(1, 2), products)) if ctx.needs_input_grad[1] else None
        d_maps = None
        if ctx.needs_input_grad[0]:
            # Transformed kernels are made again: those of a wide net would take more than all its maps.
            back = _kernels(weight).transpose(1, 2)
            d_maps = _summed(torch.bmm(products, back), ctx.shape, ctx.tiling)
        d_bias = gradients[0].sum((0, 2, 3)) if ctx.has_bias else None
        return d_maps, d_weight, d_bias, None


def _tiles(maps: Tensor, tiling: _Tiling) -> Tensor:
    """Bᵀ d B of every overlapping 6×6 tile d: ``(N, C, H, W)`` to ``(36, T, C)``."""
    images, channels, height, width = maps.shape
    pad = tiling.padding
    below = 4 * tiling.down + 2 - height - pad
    right = 4 * tiling.across + 2 - width - pad
    padded = F.pad(maps.permute(0, 2, 3, 1), (0, 0, pad, right, pad, below)).contiguous()
    image, row, column, _ = padded.stride()
    tiles = padded.as_strided(
        (6, 6, images, tiling.down, tiling.across, channels),
        (row, column, image, 4 * row, 4 * column, 1),
    )
    return (_INPUT @ tiles.reshape(36, -1)).view(36, tiling.count, channels)


def _summed(tiles: Tensor, shape: torch.Size, tiling: _Tiling) -> Tensor:
    """The adjoint of :func:`_tiles`: B t Bᵀ of every tile t, added where tiles overlap, as maps."""
    images, channels, height, width = shape
    down, across, pad = tiling.down, tiling.across, tiling.padding
    values = (_INPUT.t() @ tiles.view(36, -1)).view(6, 6, images, down, across, channels)
    del tiles  # their room is that of the blocks
    values = values.permute(2, 3, 0, 4, 1, 5)  # (N, tile row, row in tile, tile column, column in tile, C)
    # A tile's last two rows and columns lie on the next one's first two.
    blocks = values.new_empty(images, down + 1, 4, across + 1, 4, channels)
    blocks[:, :down, :, :across] = values[:, :, :4, :, :4]
    blocks[:, down, :2] = 0
    blocks[:, :, :, across, :2] = 0
    blocks[:, 1:, :2, :across] += values[:, :, 4:, :, :4]
    blocks[:, :down, :, 1:, :2] += values[:, :, :4, :, 4:]
    blocks[:, 1:, :2, 1:, :2] += values[:, :, 4:, :, 4:]
    maps = blocks.view(images, 4 * (down + 1), 4 * (across + 1), channels)
    return maps[:, pad : pad + height, pad : pad + width].permute(0, 3, 1, 2)


def _kernels(weight: Tensor) -> Tensor:
    """G g Gᵀ of every kernel g: ``(O, C, 3, 3)`` to ``(36, C, O)``."""
    filters, channels = weight.shape[:2]
    return (_KERNEL @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(36, channels, filters)


def _weights(kernels: Tensor) -> Tensor:
    """The adjoint of :func:`_kernels`: ``(36, C, O)`` to ``(O, C, 3, 3)``."""
    _, channels, filters = kernels.shape
    return (_KERNEL.t() @ kernels.view(36, -1)).view(3, 3, channels, filters).permute(3, 2, 0, 1)


def _laid(products: Tensor, tiling: _Tiling) -> Tensor:
    """Aᵀ p A of every tile p of products ``(36, T, O)``, laid together as maps ``(N, O, H', W')``."""
    down, across, filters = tiling.down, tiling.across, products.shape[2]
    tiles = (_OUTPUT @ products.view(36, -1)).view(4, 4, tiling.images, down, across, filters)
    # (N, tile row, row in tile, tile column, column in tile, O)
    maps = tiles.permute(2, 3, 0, 4, 1, 5).reshape(tiling.images, 4 * down, 4 * across, filters)
    return (
        maps[:, : tiling.height, : tiling.width]
        .permute(0, 3, 1, 2)
        .contiguous(memory_format=torch.channels_last)
    )


def _cut(maps: Tensor, tiling: _Tiling) -> Tensor:
    """The adjoint of :func:`_laid`: A g Aᵀ of every 4×4 tile g: ``(N, O, H', W')`` to ``(36, T, O)``."""
    images, filters = maps.shape[:2]
    down, across = tiling.down, tiling.across
    right, below = 4 * across - tiling.width, 4 * down - tiling.height
    padded = F.pad(maps.permute(0, 2, 3, 1), (0, 0, 0, right, 0, below))
    tiles = padded.reshape(images, down, 4, across, 4, filters).permute(2, 4, 0, 1, 3, 5)
    return (_OUTPUT.t() @ tiles.reshape(16, -1)).view(36, tiling.count, filters)

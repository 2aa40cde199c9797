"""Convolution by Winograd's algorithm F(4×4, 3×3): a quarter of the multiplications.

A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016:

    y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

where d is a 6×6 tile of the input, g a 3×3 kernel, y a 4×4 tile of the output. Over all tiles and
channels the products ⊙ are 36 matrix products. Transforming costs memory traffic, so it pays only
where the channels are many: with 128 in and 128 out, forward and backward took 31 ms in place of
42 (two cores, 32 maps of 16×16); with 64 and 64, 15 in place of 13.

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
        inputs = _transform_maps(maps, tiling)  # (36, T, C)
        ctx.save_for_backward(inputs, weight)
        ctx.tiling, ctx.has_bias = tiling, bias is not None
        outputs = _multiply(inputs, weight, tiling)
        return outputs if bias is None else outputs.add_(bias.view(1, -1, 1, 1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradients[0]
        inputs, weight = ctx.saved_tensors
        d_maps = None
        if ctx.needs_input_grad[0]:
            # The gradient of a correlation is a correlation with the kernel turned around.
            tiling = _Tiling.of(gradient, 2 - ctx.tiling.padding)
            turned = weight.flip(2, 3).transpose(0, 1)
            d_maps = _multiply(_transform_maps(gradient, tiling), turned, tiling)
        d_weight = _weight_gradient(inputs, gradient, ctx.tiling)
        d_bias = gradient.sum((0, 2, 3)) if ctx.has_bias else None
        return d_maps, d_weight, d_bias, None


def _transform_maps(maps: Tensor, tiling: _Tiling) -> Tensor:
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


def _multiply(inputs: Tensor, weight: Tensor, tiling: _Tiling) -> Tensor:
    """Transformed tiles times transformed kernels ``(O, C, 3, 3)``, as maps ``(N, O, H', W')``."""
    filters, channels = weight.shape[:2]
    kernels = (_KERNEL @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(36, channels, filters)
    products = torch.bmm(inputs, kernels).view(36, -1)
    tiles = (_OUTPUT @ products).view(4, 4, tiling.images, tiling.down, tiling.across, filters)
    # (N, tile row, row in tile, tile column, column in tile, O)
    maps = tiles.permute(2, 3, 0, 4, 1, 5).reshape(tiling.images, 4 * tiling.down, 4 * tiling.across, filters)
    return (
        maps[:, : tiling.height, : tiling.width]
        .permute(0, 3, 1, 2)
        .contiguous(memory_format=torch.channels_last)
    )


def _weight_gradient(inputs: Tensor, gradient: Tensor, tiling: _Tiling) -> Tensor:
    """The gradient of the kernels ``(O, C, 3, 3)``: the adjoint of every step of the forward pass."""
    images, filters = gradient.shape[:2]
    below, right = 4 * tiling.down - tiling.height, 4 * tiling.across - tiling.width
    padded = F.pad(gradient.permute(0, 2, 3, 1), (0, 0, 0, right, 0, below))
    tiles = padded.reshape(images, tiling.down, 4, tiling.across, 4, filters).permute(2, 4, 0, 1, 3, 5)
    products = (_OUTPUT.t() @ tiles.reshape(16, -1)).view(36, tiling.count, filters)
    kernels = torch.bmm(inputs.transpose(1, 2), products)  # (36, C, O)
    weight = (_KERNEL.t() @ kernels.view(36, -1)).view(3, 3, inputs.shape[2], filters)
    return weight.permute(3, 2, 0, 1)

"""An image at ever smaller sizes.

P. J. Burt, E. H. Adelson, "The Laplacian pyramid as a compact image code", 1983.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SMALLEST = 4  # pixels a side; below it there is nothing to be seen
# Sixteenths: the paper's generating kernel with a = 3/8, nearly a Gaussian.
_KERNEL = (1.0, 4.0, 6.0, 4.0, 1.0)


def gaussian_pyramid(pixels: Tensor, levels: int | None = None) -> list[Tensor]:
    """An image and its halves, quarters …, each blurred before every second pixel is taken.

    Along rows and along columns, gₖ₊₁(i) = Σₘ w(m) · gₖ(2i + m) with w = (1, 4, 6, 4, 1) / 16 and m
    from −2 to 2; beyond the border the image is mirrored about its outermost pixels.

    Args:
        pixels: ``(C, H, W)``, uint8.
        levels: how many sizes at most, the image's own among them; None for as many as there are. A
            size with a side below 4 pixels is left out.

    Returns:
        the image itself, then uint8 ``(C, ⌈H/2⌉, ⌈W/2⌉)`` and so on. Each level is computed from the
        one before without rounding; only what is returned is rounded.
    """
    sizes = [pixels]
    level = pixels[None].float()
    while (levels is None or len(sizes) < levels) and (min(level.shape[2:]) + 1) // 2 >= _SMALLEST:
        level = _blur(level)[:, :, ::2, ::2]
        sizes.append(level[0].round().to(torch.uint8))
    return sizes


def _blur(images: Tensor) -> Tensor:
    """Images ``(N, C, H, W)`` blurred, of the same size."""
    # kornia's own `pyrdown` averages pixels after the blur, which the paper does not.
    from kornia.filters import filter2d_separable  # noqa: PLC0415  its import takes a quarter of a second

    kernel = torch.tensor([_KERNEL], device=images.device) / 16
    return filter2d_separable(images, kernel, kernel, "reflect")

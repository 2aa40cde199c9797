"""A first layer that begins with what its images' patches vary along."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

from cutaway.errors import ConfigError
from cutaway.nets.builder import build
from cutaway.nets.plan import Plan

CHUNK = 16 << 20
"""Bytes of patches that are laid out at once, as float32; they are copied, and once more as float64."""

LEAST = 5e-4
"""Added to each variance: directions in which nothing varies are not blown up."""


def patch_moment(planned: Plan, name: str, images: Tensor, inputs: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean of x xᵀ over all patches x that a net's first layer sees.

    Args:
        planned: the net.
        name: the layer's.
        images: ``(N, C, H, W)``.
        inputs: makes of some of them what the net is given, ``(M, C, H, W)`` floats.

    Returns:
        ``(D, D)`` float64, where D = C · height · width of the kernel.

    Raises:
        ConfigError: the layer is no conv that sees the whole image.
    """
    layer = build(planned, seed=0).get_submodule(name)
    first = planned.rows[0].name
    if name != first or not isinstance(layer, nn.Conv2d) or layer.groups > 1:
        raise ConfigError(
            f'init: "whiten" is for a conv that stands first and sees the images; {name} does not. '
            "Choose another rule for it, such as he."
        )
    size = layer.weight[0].numel()
    moment, count = torch.zeros(size, size, dtype=torch.float64), 0
    places = images[0, 0].numel()
    for part in images.split(max(1, CHUNK // (4 * size * places))):
        columns = unfold(inputs(part), layer.kernel_size, layer.dilation)
        patches = columns.transpose(1, 2).reshape(-1, size).double()
        moment += patches.T @ patches
        count += len(patches)
    return moment / count


def whitening_kernels(moment: Tensor, filters: int) -> Tensor:
    """Kernels whose answers to the patches are uncorrelated and of one size, each with its negative.

    The eigenvectors of the moment, those of the largest eigenvalues first, divided by the roots of
    these: a PCA whitening (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, 3.2).
    Behind a ReLU an eigenvector and its negative lose nothing together.

    Args:
        moment: ``(D, D)``, as :func:`patch_moment` gives it.
        filters: how many; of an odd number the last has no negative.

    Returns:
        ``(filters, D)`` float32.

    Raises:
        ConfigError: there are more filters than 2 · D.
    """
    most = 2 * len(moment)
    if filters > most:
        raise ConfigError(
            f'init: "whiten" makes at most {most} filters of patches with {len(moment)} values, '
            f"not {filters}. Take fewer, or a larger kernel."
        )
    values, vectors = torch.linalg.eigh(moment)
    # An eigenvector's sign is nobody's choice: the entry farthest from zero is made positive.
    farthest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    directions = (vectors * farthest.sign() / (values.clamp(min=0) + LEAST).sqrt()).T.flip(0)
    positive = directions[: (filters + 1) // 2]
    return torch.cat([positive, -positive[: filters // 2]]).float()

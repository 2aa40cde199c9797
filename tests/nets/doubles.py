"""Ways of computing a convolution against the direct sum in double precision."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from cutaway.nets.direct import Direct


def agree(way: Direct, maps: Tensor, tolerance: float) -> None:
    """Values and all gradients, to a share of the largest value; and that it is not the direct sum itself."""
    conv = way.conv
    twin = deepcopy(conv).double()
    maps = maps.detach().requires_grad_()
    double = maps.detach().double().requires_grad_()
    found, wanted = way(maps), twin(double)
    assert type(found.grad_fn).__name__ == "_FunctionBackward"
    _close(found, wanted, tolerance)
    weight = torch.randn_like(found)
    (found * weight).sum().backward()
    (wanted * weight.double()).sum().backward()
    _close(maps.grad, double.grad, tolerance)
    for own, other in zip(conv.parameters(), twin.parameters(), strict=True):
        _close(own.grad, other.grad, tolerance)


def _close(found: Tensor | None, wanted: Tensor | None, tolerance: float) -> None:
    assert found is not None
    assert wanted is not None
    assert found.shape == wanted.shape
    assert float(((found - wanted).abs().max() / wanted.abs().max()).detach()) < tolerance

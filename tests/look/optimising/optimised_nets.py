"""Small subjects that the tests of this folder optimise images for."""

from __future__ import annotations

import torch
from torch import nn

from cutaway import Subject

SHAPE = (1, 8, 8)


def small_subject(seed: int = 3) -> Subject:
    """Two convolutions and a dense layer, with weights of some size."""
    torch.manual_seed(seed)
    model = nn.Sequential()
    model.add_module("conv1", nn.Conv2d(1, 4, 3, padding=1))
    model.add_module("relu1", nn.ReLU())
    model.add_module("conv2", nn.Conv2d(4, 6, 3, stride=2))
    model.add_module("relu2", nn.ReLU())
    model.add_module("flatten", nn.Flatten())
    model.add_module("dense", nn.Linear(6 * 9, 3))
    return Subject(
        model.eval(), SHAPE, ("a", "b", "c"), preprocess=lambda pixels: (pixels.float() - 100) / 60
    )


def linear_subject(weight: torch.Tensor) -> Subject:
    """Logits that are sums over pixels: ``(K, C · H · W)`` weights."""
    dense = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    with torch.no_grad():
        dense.weight.copy_(weight)
    return Subject(nn.Sequential(nn.Flatten(), dense), SHAPE)


def digits(count: int, seed: int = 0) -> torch.Tensor:
    """Squares of different sizes and places: ``(count, 1, 8, 8)`` uint8."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, *SHAPE, dtype=torch.uint8)
    for image in images:
        top, left, size = torch.randint(0, 5, (3,), generator=generator).tolist()
        image[0, top : top + size % 3 + 2, left : left + size % 2 + 2] = 255
    return images

"""One small net with everything in it, in every style of writing it, with the same weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject

SHAPE = (2, 8, 8)

IMAGES = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(3)) * 2 - 0.5
"""Inputs, some of them negative."""

PIXELS = torch.randint(256, (5, *SHAPE), generator=torch.Generator().manual_seed(3)).to(torch.uint8)


class Style(nn.Module):
    """Convolutions, batch norm, a max-pool, a residual sum, branches joined, a mean-pool, a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.third = nn.Conv2d(4, 4, 3, padding=1)
        self.side = nn.Conv2d(4, 3, 1)
        self.head = nn.Linear(28, 3)
        with torch.no_grad():
            for values in (self.norm.weight, self.norm.bias, self.norm.running_mean):
                assert values is not None
                values.normal_()
            assert self.norm.running_var is not None
            self.norm.running_var.uniform_(0.5, 2)


class Modules(Style):
    """A module for everything but the sum and the joint."""

    def __init__(self) -> None:
        super().__init__()
        self.acts = nn.ModuleList([nn.ReLU() for _ in range(4)])
        self.pool = nn.MaxPool2d(2)
        self.mean = nn.AvgPool2d(2)
        self.flat = nn.Flatten()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.acts[0](self.norm(self.first(x))))
        y = self.acts[1](self.second(x))
        y = self.acts[2](self.third(y) + x)
        y = torch.cat([y, self.side(x)], 1)
        return self.head(self.drop(self.flat(self.mean(self.acts[3](y)))))  # type: ignore[no-any-return]


class Functional(Style):
    """A function for everything."""

    def forward(self, x: Tensor) -> Tensor:
        norm, side, head = self.norm, self.side, self.head
        x = F.conv2d(x, self.first.weight, self.first.bias, padding=1)
        x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        x = F.max_pool2d(F.relu(x), 2)
        y = F.relu(F.conv2d(x, self.second.weight, self.second.bias, padding=1))
        y = F.relu(torch.add(F.conv2d(y, self.third.weight, self.third.bias, padding=1), x))
        y = F.relu(torch.concat([y, F.conv2d(x, side.weight, side.bias)], dim=1))
        return F.linear(F.avg_pool2d(y, 2).flatten(1), head.weight, head.bias)


class InPlace(Style):
    """In place: a module, a function, a method and an operator."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.act(self.norm(self.first(x))), 2)
        y = F.relu(self.second(x), inplace=True)
        y = self.third(y)
        y += x
        y.relu_()
        joined = torch.empty(len(x), 7, 4, 4)
        joined[:, :4] = y
        joined[:, 4:] = self.side(x)
        torch.relu_(joined)
        return self.head(F.avg_pool2d(joined, 2).view(len(x), -1))  # type: ignore[no-any-return]


class Reused(Style):
    """One ReLU for all."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.act(self.norm(self.first(x))), kernel_size=2)
        y = self.act(x + self.third(self.act(self.second(x))))
        y = self.act(torch.cat([y, self.side(x)], 1))
        return self.head(F.adaptive_avg_pool2d(y, 2).flatten(1))  # type: ignore[no-any-return]


class Operators(Style):
    """ATen's operators, clamps in place of ReLUs, batch norm and the dense layer by arithmetic."""

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        shift = norm.bias - norm.running_mean * scale
        x = self.first(x) * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
        x = torch.ops.aten.max_pool2d(torch.ops.aten.relu(x), [2, 2])
        y = torch.clamp(self.second(x), min=0)
        y = (self.third(y) + x).clamp_min(0)
        y = torch.ops.aten.relu_.default(torch.cat((y, self.side(x)), dim=-3))
        y = y.unflatten(2, (2, 2)).unflatten(4, (2, 2)).mean((3, 5)).reshape(len(x), -1)
        found: Tensor = y @ self.head.weight.t() + self.head.bias
        return found


STYLES: list[type[Style]] = [Modules, Functional, InPlace, Reused, Operators]


class Plain(nn.Module):
    """Modules alone, none used twice: what other libraries understand."""

    def __init__(self, act: type[nn.Module] = nn.ReLU, pool: type[nn.Module] = nn.MaxPool2d) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.layers = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            act(),
            pool(2),
            nn.Conv2d(4, 5, 3),
            act(),
            nn.Flatten(),
            nn.Linear(20, 6),
            act(),
            nn.Linear(6, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


def subject_of(model: nn.Module, classes: Sequence[str] = ("a", "b", "c")) -> Subject:
    """A subject of images of this file's shape, in evaluation mode."""
    return Subject(model.eval(), SHAPE, classes, name="net")


def close(found: Tensor, wanted: Tensor, amount: float = 1e-6) -> None:
    """Equal but for a share of the largest value."""
    assert found.shape == wanted.shape
    largest = float(wanted.abs().max())
    assert largest > 0
    torch.testing.assert_close(found.double(), wanted.double(), atol=amount * largest, rtol=0)


def values(layer: nn.Module, name: str = "weight") -> Tensor:
    """A layer's weights or biases."""
    found = getattr(layer, name)
    assert isinstance(found, Tensor)
    return found

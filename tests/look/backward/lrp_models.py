"""Small nets for relevance: one for each kind of operation, and one net written in many ways."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject

SHAPE = (2, 8, 8)

IMAGES = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(1))


class Written(nn.Module):
    """Weights by name, and a function that applies them."""

    def __init__(self, forward: Callable[[Written, Tensor], Tensor], *, bias: bool, positive: bool = False):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.first = nn.Conv2d(2, 4, 3, padding=1, bias=bias)
            self.second = nn.Conv2d(4, 4, 3, padding=1, bias=bias)
            self.up = nn.ConvTranspose2d(4, 4, 2, stride=2, bias=bias)
            self.norm = nn.BatchNorm2d(4)
            self.after = nn.BatchNorm2d(4)
            self.head = nn.Linear(4 * 16, 3, bias=bias)
            self.act = nn.ReLU()
            self.acting = nn.ReLU(inplace=True)
            for norm in (self.norm, self.after):
                nn.init.normal_(norm.weight)
                nn.init.normal_(norm.bias)
                nn.init.normal_(norm.running_mean, 0.0, 0.3)  # type: ignore[arg-type]
                nn.init.uniform_(norm.running_var, 0.2, 1.0)  # type: ignore[arg-type]
        if positive:
            for parameter in self.parameters():
                parameter.data.abs_()
        self.way = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


def written(forward: Callable[[Written, Tensor], Tensor], *, bias: bool = False) -> Subject:
    """A subject that applies some weights in some way; the same weights every time."""
    return Subject(Written(forward, bias=bias), SHAPE)


def ended(m: Written, x: Tensor) -> Tensor:
    """The head, behind maps of any size."""
    return m.head(F.adaptive_avg_pool2d(x, 4).flatten(1))  # type: ignore[no-any-return]


def _in_between(step: Callable[[Tensor], Tensor]) -> Callable[[Written, Tensor], Tensor]:
    return lambda m, x: ended(m, m.second(step(m.first(x))))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "ReLU": nn.ReLU(),
    "ReLU in place": nn.ReLU(inplace=True),
    "LeakyReLU": nn.LeakyReLU(0.1),
    "ELU": nn.ELU(),
    "GELU": nn.GELU(),
    "SiLU": nn.SiLU(),
    "SELU": nn.SELU(),
    "tanh": torch.tanh,
    "sigmoid": nn.Sigmoid(),
    "hardswish": F.hardswish,
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "softplus": F.softplus,
}

STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    **ACTIVATIONS,
    "max-pool": nn.MaxPool2d(2),
    "max-pool that overlaps": nn.MaxPool2d(3, 2, padding=1),
    "max-pool with indices": lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    "max-unpool": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), (2, 2)),
    "average-pool": nn.AvgPool2d(2),
    "average-pool with padding": nn.AvgPool2d(3, 2, padding=1),
    "adaptive average-pool": nn.AdaptiveAvgPool2d(3),
    "adaptive max-pool": nn.AdaptiveMaxPool2d(3),
    "adaptive max-pool with indices": lambda x: F.adaptive_max_pool2d(x, 3, return_indices=True)[0],
    "amax": lambda x: x.amax((2, 3), keepdim=True).expand(-1, -1, 8, 8),
    "mean": lambda x: x.mean((2, 3), keepdim=True).repeat(1, 1, 4, 4),
    "sum": lambda x: x.sum(3, keepdim=True).expand_as(x),
    "dropout": nn.Dropout(0.5).eval(),
    "channel dropout": nn.Dropout2d(0.5).eval(),
    "alpha dropout": nn.AlphaDropout(0.5).eval(),
    "dropout that goes on": lambda x: F.dropout(x, 0.5, training=True),
    "identity": nn.Identity(),
    "nearest up-sampling": nn.Upsample(scale_factor=2),
    "bilinear up-sampling": nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
    "bicubic interpolation": lambda x: F.interpolate(x, (5, 7), mode="bicubic"),
    "pixel shuffle": lambda x: F.pixel_shuffle(x, 2).repeat(1, 4, 1, 1),
    "padding": lambda x: F.pad(x, (1, 2, 1, 0), mode="reflect"),
    "permute": lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    "halves": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "index": lambda x: x[:, :, 1:7:2, 2:],
    "scale": lambda x: x * 3 / 2,
    "scale from the left, in place": lambda x: (2 * x).mul_(-1),
    "negative": lambda x: -x,
    "local response norm": lambda x: F.local_response_norm(x, 2),
    "maximum": lambda x: torch.maximum(x, -2 * x),
}
"""Between two convolutions without biases: what must keep all relevance."""


def _residual(m: Written, x: Tensor) -> Tensor:
    x = m.act(m.first(x))
    return ended(m, m.act(x + m.second(x)))


def _residual_in_place(m: Written, x: Tensor) -> Tensor:
    x = m.acting(m.first(x))
    y = m.second(x)
    y += x
    return ended(m, m.acting(y))


def _overwritten(m: Written, x: Tensor) -> Tensor:
    x = m.first(x).relu_()
    y = m.second(x)
    x += y  # what the second convolution was given is gone
    return ended(m, F.relu_(x))


def _doubled(m: Written, x: Tensor) -> Tensor:
    x = m.first(x)
    x += x
    return ended(m, x)


def _less(m: Written, x: Tensor) -> Tensor:
    x = m.first(x)
    return ended(m, torch.sub(x, m.second(x), alpha=0.5).sub_(m.second(-x)))


def _set(m: Written, x: Tensor) -> Tensor:
    x = m.first(x)
    x[:, 1] = 0
    x[:, 2:].relu_()
    return ended(m, m.second(x))


def _hidden(m: Written, x: Tensor) -> Tensor:
    x = m.first(x)
    y = m.second(x)
    with torch.no_grad():
        x.zero_()  # nobody needs it any more
    return ended(m, y)


WHOLE: dict[str, Callable[[Written, Tensor], Tensor]] = {
    **{name: _in_between(step) for name, step in STEPS.items()},
    "residual": _residual,
    "residual in place": _residual_in_place,
    "an input overwritten": _overwritten,
    "a value added to itself": _doubled,
    "differences": _less,
    "parts set": _set,
    "an input wiped out": _hidden,
    "sum by keyword": lambda m, x: ended(m, torch.add(m.first(x), other=m.second(m.first(x)))),
    "concatenated": lambda m, x: ended(m, torch.cat([m.first(x)[:, :2], m.act(m.first(x))[:, 2:]], 1)),
    "stacked": lambda m, x: ended(m, torch.stack([m.first(x), m.act(m.first(x))], 1).sum(1)),
    "reused": lambda m, x: ended(m, m.act(m.second(m.act(m.second(m.act(m.first(x))))))),
    "transposed": lambda m, x: ended(m, m.up(m.act(m.first(x)))),
    "functional": lambda m, x: F.linear(
        F.max_pool2d(F.conv2d(x, m.first.weight, padding="same").relu(), 2).flatten(1), m.head.weight
    ),
    "matrix product": lambda m, x: F.max_pool2d(m.first(x), 2).flatten(1) @ m.head.weight.t(),
}

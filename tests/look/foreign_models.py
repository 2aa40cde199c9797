"""Small models in every style that people write, each telling what its steps give.

``note(address, value)`` keeps a copy of a value under the address that ``capture`` should find it at: the
reference comes from the forward pass itself, without hooks or modes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Noted(nn.Module):
    """A model that can keep what its steps give."""

    shape = (2, 9, 8)

    def __init__(self) -> None:
        super().__init__()
        self.log: dict[str, Tensor] | None = None

    def note(self, address: str, value: Tensor) -> Tensor:
        if self.log is not None and address not in self.log:
            self.log[address] = value.detach().clone()
        return value

    def notes(self, inputs: Tensor) -> dict[str, Tensor]:
        """What the steps give, in evaluation mode."""
        self.log, modes = {}, [(module, module.training) for module in self.modules()]
        with torch.no_grad():
            self.eval()(inputs)
        for module, mode in modes:
            module.training = mode
        found, self.log = self.log, None
        return found


class Functional(Noted):
    """Weights are plain parameters; every step is a function."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 2, 3, 3))
        self.second = nn.Parameter(torch.randn(5, 4, 3, 3))
        self.head = nn.Parameter(torch.randn(3, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.note("relu@1", F.relu(self.note("conv2d@1", F.conv2d(x, self.kernel, padding=1))))
        x = self.note("max_pool2d@1", F.max_pool2d(x, 2))
        x = self.note("relu@2", torch.relu(self.note("conv2d@2", F.conv2d(x, self.second))))
        x = self.note("mean@1", x.mean((2, 3)))
        return self.note("linear@1", F.linear(x, self.head))


class InPlace(Noted):
    """Everything that can be done in place is: a module, a function, a method, an operator."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.note("act", self.act(self.note("conv", self.conv(x))))
        y = self.note("last", self.last(x))
        y += x
        self.note("add@1", y)
        y.mul_(2)
        self.note("mul@1", y)
        y.relu_()
        self.note("relu@2", y)
        F.leaky_relu(y.sub_(1), 0.1, inplace=True)
        self.note("leaky_relu@1", y)
        return y.flatten(1)


class Reused(Noted):
    """One convolution and one ReLU applied three times."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.act = nn.ReLU()
        self.head = nn.Linear(2 * 72, 3)

    def forward(self, x: Tensor) -> Tensor:
        for time in (1, 2, 3):
            self.note(f"conv@{time}:input", x)
            x = self.note(f"conv@{time}", self.conv(x))
            x = self.note(f"act@{time}", self.act(x))
            self.note(f"relu@{time}", x)
        return self.note("head", self.head(x.flatten(1)))


class Branches(Noted):
    """Three ways side by side, joined by cat."""

    def __init__(self) -> None:
        super().__init__()
        self.ways = nn.ModuleList([nn.Conv2d(2, 3, size, padding=size // 2) for size in (1, 3, 5)])
        self.norm = nn.BatchNorm2d(9)

    def forward(self, x: Tensor) -> Tensor:
        ends = [self.note(f"ways.{number}", way(x)) for number, way in enumerate(self.ways)]
        joined = self.note("cat@1", torch.cat(ends, 1))
        return self.note("norm", self.norm(joined)).mean((2, 3))


class Residual(Noted):
    """A sum of two ways, the second one through a module that works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(2, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        body = self.note("body", self.body(x))
        total = self.note("add@1", body + x)
        return self.note("relu@2", F.relu(total)).sum((2, 3))


class Split(nn.Module):
    """Gives a tuple."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.chunk(2, 1)  # type: ignore[return-value]


class Pair(NamedTuple):
    low: Tensor
    rest: list[Tensor]


class Nest(nn.Module):
    """Gives a named tuple with a list in it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> Pair:
        return Pair(x, [x + 1, self.conv(x)])


class Tuples(Noted):
    """Tuples between modules, one in another."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.split = Split()
        self.nest = Nest()

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.split(self.note("conv", self.conv(x)))
        self.note("split[0]", first)
        self.note("split[1]", second)
        pair = self.nest(first)
        self.note("nest[1][0]", pair.rest[0])
        self.note("nest[1][-1]", pair.rest[1])
        whole: Tensor = pair.low + pair.rest[1] + second
        return whole.flatten(1)


class Scales(nn.Module):
    """Gives a dict with a dict in it."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(2, 3, 1)

    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"fine": self.fine(x), "more": {"low": F.avg_pool2d(x, 2), "note": "a word"}}


class Dicts(Noted):
    """Dicts between modules, and keywords."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = Scales()
        self.mix = Mix()

    def forward(self, x: Tensor) -> Tensor:
        found = self.scales(x)
        self.note('scales["fine"]', found["fine"])
        self.note("scales['more']['low']", found["more"]["low"])
        self.note("mix:input", found["fine"])
        self.note("mix:input2", found["more"]["low"])
        return self.note("mix", self.mix(found["fine"], low=found["more"]["low"]))


class Mix(nn.Module):
    """Takes a keyword."""

    def forward(self, fine: Tensor, low: Tensor) -> Tensor:
        return torch.cat([fine.mean((2, 3)), low.mean((2, 3))], 1)


class Containers(Noted):
    """A ModuleDict of ModuleLists; the order of computing is not that of the names."""

    def __init__(self) -> None:
        super().__init__()
        convs = nn.ModuleList([nn.Conv2d(2, 2, 3, padding=1) for _ in range(2)])
        self.parts = nn.ModuleDict({"late": nn.Linear(144, 3), "early": convs})

    def forward(self, x: Tensor) -> Tensor:
        early = self.parts["early"]
        for number in (1, 0):
            x = self.note(f"parts.early.{number}", early[number](x))  # type: ignore[index]
        return self.note("parts.late", self.parts["late"](x.flatten(1)))


class Unusual(Noted):
    """Depthwise, grouped, dilated and transposed convolutions, reflecting borders, group norm."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(2, 4, 3, groups=2, padding="same")
        self.grouped = nn.Conv2d(4, 6, 3, groups=2, dilation=2, padding=2, padding_mode="reflect")
        self.norm = nn.GroupNorm(3, 6)
        self.up = nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.note("depthwise", self.depthwise(x))
        x = self.note("grouped", self.grouped(x))
        x = self.note("norm", self.norm(x))
        x = self.note("gelu@1", F.gelu(x))
        return self.note("up", self.up(x)).mean((2, 3))


class Nested(Noted):
    """Modules in modules in modules."""

    def __init__(self) -> None:
        super().__init__()
        inner = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Sequential(nn.Tanh(), nn.Dropout(0.5)))
        self.trunk = nn.Sequential(inner, nn.AdaptiveAvgPool2d(2))

    def forward(self, x: Tensor) -> Tensor:
        first = self.trunk[0]
        inside = self.note("trunk.0.0", first[0](x))  # type: ignore[index]
        deep = self.note("trunk.0.1.0", first[1][0](inside))  # type: ignore[index]
        return self.note("trunk.1", self.trunk[1](deep)).flatten(1)


class Logits(Noted):
    """Returns a dict of logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.aux = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Any:
        x = self.note("conv", self.conv(x)).mean((2, 3))
        return {"logits": x, "aux": self.note("aux", self.aux(x))}


class FixedBatch(Noted):
    """Takes four images and no other number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.head = nn.Linear(3 * 42, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.note("head", self.head(self.note("conv", self.conv(x)).view(4, 126)))


class Scripted(Noted):
    """A part of it is TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        self.part = torch.jit.trace(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()), torch.ones(1, 2, 9, 8))
        self.head = nn.Linear(3 * 42, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.note("part", self.part(x))
        return self.note("head", self.head(x.flatten(1)))


class Shared(Noted):
    """Two modules with one weight, and one module under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 2, 3, padding=1)
        self.tied = nn.Conv2d(2, 2, 3, padding=1)
        self.tied.weight = self.first.weight
        self.again = self.first

    def forward(self, x: Tensor) -> Tensor:
        x = self.note("first", self.first(x))
        x = self.note("tied", self.tied(x))
        return self.note("first@2", self.again(x)).flatten(1)


class Attention(Noted):
    """Patches, self-attention that gives a tuple, layer norm: no maps behind the first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(2, 4, 3, stride=3)
        self.norm = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.note("patches", self.patches(x)).flatten(2).transpose(1, 2)
        x = self.note("norm", self.norm(x))
        mixed, weights = self.attention(x, x, x)
        self.note("attention[0]", mixed)
        self.note("attention[1]", weights)
        return self.note("head", self.head((x + mixed).mean(1)))


class Excitation(Noted):
    """A squeeze that scales channels, written with operators and a function held as an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.squeeze = nn.Linear(4, 4)
        self.gate: Callable[[Tensor], Tensor] = torch.sigmoid

    def forward(self, x: Tensor) -> Tensor:
        x = self.note("conv", self.conv(x))
        weights = self.note("sigmoid@1", self.gate(self.squeeze(x.mean((2, 3)))))
        x = self.note("mul@1", x * weights[:, :, None, None])
        return self.note("sub@1", 1 - x).amax((2, 3))


MODELS: list[type[Noted]] = [
    Functional,
    InPlace,
    Reused,
    Branches,
    Residual,
    Tuples,
    Dicts,
    Containers,
    Unusual,
    Nested,
    Logits,
    FixedBatch,
    Scripted,
    Shared,
    Attention,
    Excitation,
]


def make(kind: type[Noted]) -> Noted:
    """A model with weights and statistics of its own, in training mode."""
    torch.manual_seed(len(kind.__name__))
    model = kind()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_()
    return model.train()

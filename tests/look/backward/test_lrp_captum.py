"""Relevance against Captum's, on chains of modules, where that one is right."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.look.backward.composite import Composite
from cutaway.look.backward.lrp import lrp
from cutaway.look.backward.relevance import ZPLUS, Epsilon, Gamma, RelevanceRule

SHAPE = (2, 10, 10)

OURS: dict[str, RelevanceRule] = {"epsilon": Epsilon(1e-9), "z-plus": ZPLUS, "gamma": Gamma(0.4, 1e-9)}


class Chain(nn.Module):
    """Bias, stride, groups, pools; every module once, and the flattening a method: it refuses nn.Flatten."""

    def __init__(self, act: nn.Module, *, bias: bool) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.maps = nn.Sequential(
                *(nn.Conv2d(2, 6, 3, padding=1, bias=bias), nn.ReLU(), nn.MaxPool2d(2)),
                *(nn.Conv2d(6, 6, 3, groups=2, padding=1, bias=bias), act, nn.AvgPool2d(2)),
                *(
                    nn.Conv2d(6, 4, 2, stride=2, bias=bias),
                    nn.ReLU(),
                    nn.Dropout(0.3),
                    nn.AdaptiveAvgPool2d(1),
                ),
            )
            self.head = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x).flatten(1))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(2))


def with_captum(
    net: Chain, rule: Callable[[], object], dense: Callable[[], object], images: Tensor, target: int
) -> Tensor:
    from captum.attr import LRP

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            module.rule = rule() if isinstance(module, nn.Conv2d) else dense()  # type: ignore[assignment]
        elif isinstance(module, nn.Linear):
            module.rule = dense()  # type: ignore[assignment]
    found: Tensor = LRP(net).attribute(images.clone().requires_grad_(), target=target)
    return found.detach()


@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize("name", OURS)
def test_maps_are_captum_s(name: str, target: int, images: Tensor) -> None:
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule

    def small() -> EpsilonRule:
        return EpsilonRule(epsilon=1e-9)

    theirs: Callable[[], object] = {
        "epsilon": small,
        "z-plus": Alpha1_Beta0_Rule,
        "gamma": lambda: GammaRule(0.4),
    }[name]
    # Where it leaves biases as they are, and inputs of both signs to one kind of weights, it is not right.
    plain = name == "epsilon"
    act = nn.Tanh() if plain else nn.ReLU()
    wanted = with_captum(Chain(act, bias=plain), theirs, small, images, target)
    net = Chain(act, bias=plain)
    before = copy.deepcopy(net.state_dict())
    found = lrp(Subject(net, SHAPE), images, [target], rules=Composite(OURS[name], Epsilon(1e-9)))
    scale = float(wanted.abs().max())
    assert scale > 1e-6
    torch.testing.assert_close(found.maps[0], wanted, rtol=0, atol=1e-5 * scale)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())

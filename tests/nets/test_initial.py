"""What weights begin as: the deviation and bounds that the papers give."""

from __future__ import annotations

import math

import pytest
import torch

from cutaway.config import Experiment, InitKind, load_experiment
from cutaway.errors import ConfigError
from cutaway.nets import parse_net, plan
from cutaway.nets.builder import Net, build
from cutaway.nets.initial import initialise

# 3·5·5 inputs and 200·5·5 outputs, pooled 2×2; then 200·3·3 and 60·3·3; 60·4·4 and 500.
NET = "conv 200 5x5\nmaxpool 2\nrelu\nconv 60 3x3\nrelu\nflatten\ndense 500"
FANS = {"conv1": (75, 5000), "conv2": (1800, 540), "dense1": (960, 500)}


def _net() -> Net:
    return build(plan(parse_net(NET), (3, 16, 16)), 0)


def _made(kinds: dict[str, InitKind], seed: int = 3) -> Net:
    net = _net()
    initialise(net, kinds, seed)
    return net


@pytest.mark.parametrize("layer", FANS)
@pytest.mark.parametrize(
    ("kind", "deviation"),
    [
        (InitKind.HE, lambda n, m: math.sqrt(2 / n)),
        (InitKind.LECUN, lambda n, m: math.sqrt(1 / n)),
        (InitKind.XAVIER, lambda n, m: math.sqrt(2 / (n + m))),
        (InitKind.NORMAL, lambda n, m: 0.01),
    ],
)
def test_the_deviation_is_the_paper_s(layer: str, kind: InitKind, deviation: object) -> None:
    assert callable(deviation)
    module = _made({"*": kind}).get_submodule(layer)
    weight = module.get_parameter("weight")
    wanted = deviation(*FANS[layer])
    assert float(weight.detach().std()) == pytest.approx(wanted, rel=0.03)
    assert float(weight.detach().mean()) == pytest.approx(0, abs=0.05 * wanted)
    assert not module.get_parameter("bias").any()


def test_uniform_ones_reach_their_bounds_and_theano_s_know_the_pool() -> None:
    for kind, outputs in ((InitKind.XAVIER, 5000), (InitKind.THEANO, 1250)):
        largest = float(_made({"conv1": kind}).get_parameter("conv1.weight").detach().abs().max())
        bound = math.sqrt(6 / (75 + outputs))
        assert 0.999 * bound < largest <= bound
    # No pool follows the second one.
    theano, xavier = (_made({"conv2": kind}) for kind in (InitKind.THEANO, InitKind.XAVIER))
    assert torch.equal(theano.get_parameter("conv2.weight"), xavier.get_parameter("conv2.weight"))


def test_orthogonal_units_are_orthogonal() -> None:
    weight = _made({"*": InitKind.ORTHOGONAL}).get_parameter("conv2.weight").detach().flatten(1)
    torch.testing.assert_close(weight @ weight.T, torch.eye(60), atol=1e-5, rtol=0)


def test_layers_do_not_depend_on_each_other() -> None:
    one, all_ = _made({"conv2": InitKind.HE}), _made({"*": InitKind.HE})
    assert torch.equal(one.get_parameter("conv2.weight"), all_.get_parameter("conv2.weight"))
    assert torch.equal(one.get_parameter("conv1.weight"), _net().get_parameter("conv1.weight"))
    other = _made({"conv2": InitKind.HE}, seed=4)
    assert not torch.equal(one.get_parameter("conv2.weight"), other.get_parameter("conv2.weight"))


def test_the_last_pattern_that_fits_counts() -> None:
    net = _made({"*": InitKind.NORMAL, "conv*": InitKind.HE, "conv2": InitKind.TORCH})
    assert float(net.get_parameter("dense1.weight").detach().std()) == pytest.approx(0.01, rel=0.02)
    assert float(net.get_parameter("conv1.weight").detach().std()) == pytest.approx(
        math.sqrt(2 / 75), rel=0.02
    )
    assert torch.equal(net.get_parameter("conv2.weight"), _net().get_parameter("conv2.weight"))


def test_the_random_state_stays() -> None:
    before = torch.get_rng_state()
    _made({"*": InitKind.ORTHOGONAL})
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        _made({"conv9": InitKind.HE})
    assert str(caught.value).startswith('init: no layer with a kernel is called "conv9". Did you mean "conv')


def test_a_word_is_for_all_layers() -> None:
    assert load_experiment(Experiment(), {"init": "he"}).init == {"*": InitKind.HE}
    assert load_experiment(Experiment(), {"init": {"conv1": "theano"}}).init == {"conv1": InitKind.THEANO}
    with pytest.raises(ConfigError):
        load_experiment(Experiment(), {"init": "hee"})


def test_dirac_passes_every_input_on_and_fills_the_units_beyond_them() -> None:
    values = torch.randn(2, 3, 8, 8)
    net = build(plan(parse_net("conv 5 3x3 same"), (3, 8, 8)), seed=0)
    initialise(net, {"conv1": InitKind.DIRAC}, 3)
    out = net(values).detach()
    assert torch.equal(out[:, :3], values)
    others = net.get_parameter("conv1.weight")[3:]
    assert float(others.detach().std()) == pytest.approx(math.sqrt(1 / 27), rel=0.3)

"""Capture against forward passes written out by hand, on nets of ours and on models of others."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway.errors import ConfigError, NotFoundError
from cutaway.look import capture
from cutaway.nets import parse_net, plan
from cutaway.nets.builder import Net, build


def record(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    with capture(model, layers) as outputs:
        return outputs(inputs)


def our_net() -> Net:
    net = build(
        plan(
            parse_net(
                "conv 4 3x3 same | batchnorm | relu | maxpool 2"
                " | conv 5 3x3 | tanh | dropout 0.5 | flatten | dense 3"
            ),
            (2, 10, 8),
        ),
        seed=1,
    )
    # Statistics other than 0 and 1, so that evaluation mode makes a difference.
    norm = net.get_submodule("batchnorm1")
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    norm.running_mean.copy_(torch.linspace(-1, 1, 4))
    return net


class Block(nn.Module):
    """A residual block of the kind that others write: one ReLU, in place, applied twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.conv1(x))
        return self.act(self.conv2(out) + x)  # type: ignore[no-any-return]


class Foreign(nn.Module):
    """Nested modules, a functional call between them, and a layer that is never applied."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.stages = nn.ModuleDict({"low": Block(6), "high": Block(6)})
        self.spare = nn.Linear(6, 6)
        self.memory = nn.LSTM(6, 4, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.stages["low"](x)
        x = F.max_pool2d(x, 2)
        x = self.stages["high"](x)
        states, _ = self.memory(x.flatten(2).transpose(1, 2))
        return self.head(states[:, -1])  # type: ignore[no-any-return]


def by_hand(model: Foreign, x: Tensor) -> dict[str, Tensor]:
    """Every output from the model's weights alone, with nothing done in place."""
    weights = dict(model.named_parameters())
    norm = model.stem[1]
    assert isinstance(norm, nn.BatchNorm2d)
    values: dict[str, Tensor] = {}
    values["stem.0"] = F.conv2d(x, weights["stem.0.weight"], weights["stem.0.bias"])
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = weights["stem.1.weight"] / (variance + norm.eps).sqrt()
    values["stem.1"] = (values["stem.0"] - mean[:, None, None]) * scale[:, None, None] + weights[
        "stem.1.bias"
    ][:, None, None]
    values["stem.2"] = values["stem"] = value = values["stem.1"].clamp_min(0)
    for stage in ("low", "high"):
        name = f"stages.{stage}"
        if stage == "high":
            value = value.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
        first = F.conv2d(value, weights[f"{name}.conv1.weight"], weights[f"{name}.conv1.bias"], padding=1)
        values[f"{name}.conv1"] = first
        values[f"{name}.act"] = first.clamp_min(0)
        second = F.conv2d(
            first.clamp_min(0), weights[f"{name}.conv2.weight"], weights[f"{name}.conv2.bias"], padding=1
        )
        values[f"{name}.conv2"] = second
        values[name] = value = (second + value).clamp_min(0)
    return {name: value.detach() for name, value in values.items()}


@pytest.fixture
def foreign() -> Foreign:
    model = Foreign()
    norm = model.stem[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    norm.running_mean.copy_(torch.linspace(-0.5, 0.5, 6))
    return model


def test_every_layer_of_a_net_gives_what_applying_one_after_another_gives() -> None:
    net = our_net().train()
    inputs = torch.randn(3, 2, 10, 8, generator=torch.Generator().manual_seed(2))
    names = [name for name, _ in net.named_children()]
    found = record(net, inputs, names)
    assert list(found) == names
    value = inputs
    net.eval()
    with torch.no_grad():
        for name, module in net.named_children():
            value = module(value)
            torch.testing.assert_close(found[name], value, msg=name)


def test_every_layer_of_a_foreign_model_equals_the_one_computed_by_hand(foreign: Foreign) -> None:
    inputs = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(3))
    wanted = by_hand(foreign, inputs)
    found = record(foreign, inputs, list(wanted))
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-4, msg=name)


def test_an_operation_in_place_behind_a_layer_does_not_change_its_recorded_output() -> None:
    conv = nn.Conv2d(1, 3, 3)
    model = nn.Sequential(conv, nn.ReLU(inplace=True))
    inputs = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(4))
    wanted = F.conv2d(inputs, conv.weight, conv.bias).detach()
    assert (wanted < 0).any()
    found = record(model, inputs, ["0", "1"])
    torch.testing.assert_close(found["0"], wanted)
    torch.testing.assert_close(found["1"], wanted.clamp_min(0))


def test_an_operation_in_place_is_also_undone_inside_inference_mode() -> None:
    conv = nn.Conv2d(1, 3, 3)
    model = nn.Sequential(conv, nn.ReLU(inplace=True))
    inputs = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(4))
    wanted = F.conv2d(inputs, conv.weight, conv.bias).detach()
    with torch.inference_mode():
        found = record(model, inputs, ["0", "1"])
    torch.testing.assert_close(found["0"].clone(), wanted)


def test_of_a_layer_that_is_applied_twice_the_first_output_is_recorded() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = nn.Linear(3, 3)
            self.last = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.step(self.step(x)))  # type: ignore[no-any-return]

    model, inputs = Twice(), torch.ones(1, 3)
    first = inputs @ model.step.weight.T + model.step.bias
    torch.testing.assert_close(record(model, inputs, ["step", "last"])["step"], first.detach())


def test_outputs_come_in_the_order_asked_for_and_anew_for_each_batch() -> None:
    net = our_net()
    generator = torch.Generator().manual_seed(5)
    one, two = torch.randn(2, 1, 2, 10, 8, generator=generator)
    with capture(net, ["dense1", "conv1"]) as outputs:
        first, second = outputs(one), outputs(two)
    assert list(first) == ["dense1", "conv1"]
    torch.testing.assert_close(first["conv1"], record(net, one, ["conv1"])["conv1"])
    torch.testing.assert_close(second["conv1"], record(net, two, ["conv1"])["conv1"])
    assert not torch.equal(first["conv1"], second["conv1"])


class Trap(nn.Module):
    """Must never be applied."""

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("the forward pass went on behind the deepest layer")


def test_the_forward_pass_stops_behind_the_deepest_layer() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), Trap())
    found = record(model, torch.ones(1, 1, 5, 5), ["1", "0"])
    assert found["0"].shape == found["1"].shape == (1, 2, 3, 3)
    with pytest.raises(AssertionError, match="went on"):
        record(model, torch.ones(1, 1, 5, 5), ["1", "2"])


def test_a_model_that_catches_exceptions_is_stopped_all_the_same() -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)
            self.trap = Trap()

        def forward(self, x: Tensor) -> Tensor:
            with contextlib.suppress(Exception):
                x = self.conv(x)
            return self.trap(x)  # type: ignore[no-any-return]

    assert record(Stubborn(), torch.ones(1, 1, 5, 5), ["conv"])["conv"].shape == (1, 2, 3, 3)


def test_a_layer_that_gives_no_tensor_is_refused_by_name(foreign: Foreign) -> None:
    with pytest.raises(
        ConfigError, match=r"memory gives tuple \(memory\[0\] 1×25×4, memory\[1\] tuple\), not a tensor"
    ):
        record(foreign, torch.ones(1, 3, 12, 12), ["memory"])


def test_a_layer_that_is_not_reached_is_refused_by_name(foreign: Foreign) -> None:
    with pytest.raises(ConfigError, match=r"does not reach spare"):
        record(foreign, torch.ones(1, 3, 12, 12), ["stem.0", "spare"])


@pytest.mark.parametrize(
    # The end of the nearest name is left open where two are equally near.
    ("wrong", "near"),
    [("stem.00", "stem.0"), ("stages.low.conv", "stages.low.conv"), ("HEAD", "head")],
)
def test_an_unknown_layer_is_answered_with_the_nearest(foreign: Foreign, wrong: str, near: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        record(foreign, torch.ones(1, 3, 12, 12), [wrong])
    assert f'no layer "{wrong}"' in str(caught.value)
    assert f'Did you mean "{near}' in str(caught.value)


def test_the_model_itself_is_no_layer(foreign: Foreign) -> None:
    with pytest.raises(NotFoundError, match='no layer ""'):
        record(foreign, torch.ones(1, 3, 12, 12), [""])

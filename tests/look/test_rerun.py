"""Reruns with units replaced against whole passes of the model, one unit after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, NotFoundError
from cutaway.look.rerun import Rerun, rerun
from cutaway.nets import parse_net, plan
from cutaway.nets.builder import build
from cutaway.nets.subject import evaluating

SHAPE = (3, 10, 10)
INPUTS = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(5))


def values_for(count: int) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(6))


@contextmanager
def hooked(module: nn.Module, unit: int | None, values: Tensor, call: int = 1) -> Iterator[None]:
    """The obvious way: at one application of a module, one unit is overwritten (all for None)."""
    count = 0

    def hook(module: nn.Module, args: object, output: Tensor) -> Tensor | None:
        nonlocal count
        count += 1
        if count != call:
            return None
        changed = output.clone()
        for at in range(len(values)) if unit is None else [unit]:
            changed[:, at] = values[at]
        return changed

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def slowly(subject: Subject, inputs: Tensor, layer: str, values: Tensor, call: int = 1) -> Rerun:
    """Every unit by a whole pass."""
    module = subject.model.get_submodule(layer)
    found = []
    for unit in [*range(len(values)), None]:
        with hooked(module, unit, values, call):
            found.append(subject.logits(inputs))
    return Rerun(subject.logits(inputs), torch.stack(found[:-1]), found[-1])


def compare(
    subject: Subject, layer: str, count: int, *, call: int = 1, reason: str = "", name: str = ""
) -> None:
    """Rerun a layer's units, and hold the result against whole passes."""
    values = values_for(count)
    with evaluating(subject.model), torch.no_grad():
        wanted = slowly(subject, INPUTS, layer, values, call)
        found = rerun(subject, INPUTS, name or layer, torch.arange(count), values)
    assert (reason in found.reason) if reason else not found.reason, found.reason
    for one, other in ((found.unmodified, wanted.unmodified), (found.units, wanted.units)):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.whole, wanted.whole, atol=1e-5, rtol=1e-4)
    # Otherwise nothing was tested: units differ, from each other and from the unmodified pass.
    assert (wanted.units - wanted.unmodified).abs().amax((1, 2)).max() > 1e-3


def statistics(model: nn.Module) -> nn.Module:
    """Weights of a seed, and statistics other than 0 and 1."""
    generator = torch.Generator().manual_seed(7)
    for name, parameter in model.named_parameters():
        # Large enough for every unit to make a difference that no rounding hides.
        wide = parameter.dim() > 1
        size = (3 / parameter[0].numel()) ** 0.5 if wide else 0.3
        nn.init.normal_(parameter, 0 if wide or "bias" in name else 1, size, generator=generator)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return model


OURS = """
conv 6 3x3 same
batchnorm
relu
conv 5 3x3
batchnorm
relu
maxpool 2
lrn
residual 8 stride 2
inception 2 2-3 2-3 2
dropout 0.5
conv 4 2x2 same nobias
tanh
avgpool 2 stride 1
flatten
dense 7
sigmoid
dense 4
"""


def ours() -> Subject:
    planned = plan(parse_net(OURS), SHAPE)
    return Subject(statistics(build(planned, seed=3)), SHAPE, plan=planned)


@pytest.mark.parametrize("layer", [name for name, _ in ours().model.named_modules() if name])
def test_every_layer_of_a_net_of_ours(layer: str) -> None:
    subject = ours()
    subject.model.train()
    sizes: dict[str, int] = {}
    handles = [
        m.register_forward_hook(lambda _, args, out, n=n: sizes.update({n: out.shape[1]}))
        for n, m in subject.model.named_modules()
    ]
    with evaluating(subject.model):
        subject.model(INPUTS)
    for handle in handles:
        handle.remove()
    compare(subject, layer, sizes[layer])


class Block(nn.Module):
    """A residual block with one ReLU, in place, applied twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv1(x)))
        out = self.conv2(out)
        out += x
        return self.act(out)  # type: ignore[no-any-return]


class Foreign(nn.Module):
    """What others write: functions, in place, views, branches, gates, dicts, values written into buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.block = Block(6)
        self.left = nn.Conv2d(6, 4, 3, groups=2, padding=1)
        self.right = nn.Conv2d(6, 6, 3, padding="same", dilation=2)
        self.gate = nn.Linear(10, 10)
        self.parts = nn.ModuleDict({"norm": nn.LayerNorm(10), "head": nn.Linear(10, 5)})
        self.slope = nn.PReLU(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(self.stem(x))
        x = F.max_pool2d(F.relu(x), 2)
        branches = {"left": self.slope(self.left(x)), "right": F.relu_(self.right(x))}
        x = torch.cat([branches["left"], branches["right"]], 1)
        gate = torch.sigmoid(self.gate(x.mean((2, 3))))
        x = x * gate[:, :, None, None]
        collected = torch.zeros(len(x), 10)
        collected[:, :5] = x[:, :5].amax((2, 3))
        collected[:, 5:] += x.view(x.size(0), 10, -1).sum(-1)[:, 5:]
        x = self.parts["norm"](collected)
        return {"logits": self.parts["head"](x)}["logits"]  # type: ignore[no-any-return]


LAYERS = {
    "stem": 6,
    "stem.0": 6,
    "stem.1": 6,
    "stem.2": 6,
    "block.conv1": 6,
    "block.conv2": 6,
    "block": 6,
    "left": 4,
    "slope": 4,
    "right": 6,
    "gate": 10,
    "parts.norm": 10,
    "parts.head": 5,
}


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_of_a_foreign_model(layer: str) -> None:
    compare(Subject(statistics(Foreign()), SHAPE), layer, LAYERS[layer])


@pytest.mark.parametrize("call", [1, 2])
def test_a_module_that_is_applied_twice_is_changed_where_the_address_says(call: int) -> None:
    compare(Subject(statistics(Foreign()), SHAPE), "block.act", 6, call=call, name=f"block.act@{call}")


class Functional(nn.Module):
    """Nothing but a convolution and functions; the modules beside are the same, to be hooked."""

    def __init__(self, *, plain: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.other = nn.Conv2d(6, 6, 3)
        self.dense = nn.Linear(6 * 9, 5)
        self.acts = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.MaxPool2d(2)])
        self.plain = plain

    def forward(self, x: Tensor) -> Tensor:
        if self.plain:
            x = self.acts[1](self.other(self.acts[0](self.conv(x))))
            return self.dense(self.acts[2](x).flatten(1))  # type: ignore[no-any-return]
        x = self.conv(x).relu_()
        x = F.relu(self.other(x))
        return self.dense(torch.max_pool2d(x, 2).flatten(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("name", "layer"), [("relu@1", 0), ("relu@2", 1), ("max_pool2d@1", 2)])
def test_calls_of_functions_are_layers_too(name: str, layer: int) -> None:
    model = statistics(Functional(plain=False))
    same = statistics(Functional(plain=True))
    values = values_for(6)
    with torch.no_grad():
        wanted = slowly(Subject(same, SHAPE), INPUTS, f"acts.{layer}", values)
        found = rerun(Subject(model, SHAPE), INPUTS, name, torch.arange(6), values)
    assert not found.reason
    torch.testing.assert_close(found.units, wanted.units, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.whole, wanted.whole, atol=1e-5, rtol=1e-4)


def test_a_function_in_place_whose_result_is_dropped_is_changed_all_the_same() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            x.relu_()
            return x.amax((2, 3))

    model = statistics(Dropping())
    with torch.no_grad():
        found = rerun(Subject(model, SHAPE), INPUTS, "relu@1", torch.arange(6), torch.full((6,), 9.0))
        wanted = model(INPUTS).expand(6, -1, -1).clone()
    for unit in range(6):
        wanted[unit, :, unit] = 9
    torch.testing.assert_close(found.units, wanted)


class Escaping(nn.Module):
    """Models that leave the tensors, each by another way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv = nn.Conv2d(3, 6, 3)
        self.dense = nn.Linear(6, 4)
        self.fixed = torch.jit.script(nn.Tanh()) if way == "script" else nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).mean((2, 3))
        if self.way == "decision":
            x = x * 2 if x[0, 0] > 0.1 else x - 1
        elif self.way == "numpy":
            x = torch.from_numpy(x.numpy() * 2)
        elif self.way == "number":
            x = x + x.sum().item()
        elif self.way == "random":
            x = F.dropout(x, 0.5)
        elif self.way == "alias":
            whole = torch.zeros(len(x), 6)
            whole[:, 2:].copy_(x[:, 2:])
            x = whole + 1
        return self.dense(self.fixed(x))  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore")  # TorchScript says that it is no longer cared for
@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("decision", "__bool__"),
        ("numpy", "numpy"),
        ("number", "item"),
        ("alias", "written in place"),
        ("script", "don't give its logits again"),
    ],
)
def test_a_model_that_leaves_the_tensors_takes_whole_passes(way: str, reason: str) -> None:
    compare(Subject(statistics(Escaping(way)), SHAPE), "conv", 6, reason=reason)


def test_a_model_that_draws_random_numbers_draws_the_same_ones_in_every_pass() -> None:
    subject = Subject(statistics(Escaping("random")), SHAPE)
    values = values_for(6)
    torch.manual_seed(3)
    with torch.no_grad():
        found = rerun(subject, INPUTS, "conv", torch.arange(6), values)
        assert "don't give its logits again" in found.reason
        for unit in range(6):
            torch.manual_seed(3)
            with hooked(subject.model.get_submodule("conv"), unit, values):
                torch.testing.assert_close(found.units[unit], subject.logits(INPUTS))


def test_a_model_that_catches_exceptions_is_told_from_others_all_the_same() -> None:
    class Stubborn(Escaping):
        def forward(self, x: Tensor) -> Tensor:
            try:
                return super().forward(x)
            except Exception:  # noqa: BLE001  the point of the test
                return torch.zeros(len(x), 4)

    compare(Subject(statistics(Stubborn("decision")), SHAPE), "conv", 6, reason="__bool__")


def test_images_that_influence_each_other_are_not_mixed_between_variants() -> None:
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3)
            self.dense = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x).amax((2, 3)).tanh()
            x = x - x.mean(0)
            x = x.reshape(-1)[: x.numel()].view(x.shape[1], -1).T
            return self.dense(x.relu())  # type: ignore[no-any-return]

    compare(Subject(statistics(Centred()), SHAPE), "conv", 6)


def test_a_value_from_before_the_layer_that_is_changed_later_is_kept_as_it_was() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.early = nn.Conv2d(3, 6, 3)
            self.conv = nn.Conv2d(6, 6, 3, padding=1)
            self.dense = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            skip = self.early(x)
            x = self.conv(skip) * skip
            skip.mul_(0)
            return self.dense((x + skip).mean((2, 3)))  # type: ignore[no-any-return]

    compare(Subject(statistics(Late()), SHAPE), "conv", 6)


def test_a_part_of_a_value_is_written_from_another_part_and_by_a_view() -> None:
    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3)
            self.dense = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            x[:, 0] = x[:, 1]
            part = x[:, 2:4]
            part *= part.amax((2, 3), keepdim=True)
            return self.dense(torch.cat([x, x[:, 2:4].square()], 1).mean((2, 3)))  # type: ignore[no-any-return]

    compare(Subject(statistics(Writing()), SHAPE), "conv", 6)


def test_a_layer_that_has_no_part_in_the_logits_costs_nothing() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3)
            self.dense = nn.Linear(300, 4)

        def forward(self, x: Tensor) -> Tensor:
            self.conv(x)
            return self.dense(x.flatten(1))  # type: ignore[no-any-return]

    model = statistics(Idle())
    with torch.no_grad():
        found = rerun(Subject(model, SHAPE), INPUTS, "conv", torch.arange(6), torch.ones(6))
        torch.testing.assert_close(found.units, model(INPUTS).expand(6, -1, -1))


class FixedBatch(nn.Module):
    """Takes four images at once and no other number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.dense = nn.Linear(6 * 64, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.conv(x).relu().view(4, 6 * 64))  # type: ignore[no-any-return]


def test_a_model_of_a_fixed_batch() -> None:
    compare(Subject(statistics(FixedBatch()), SHAPE, batch=4), "conv", 6)


def test_part_of_a_tuple_and_logits_in_a_dict() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = nn.LSTM(10, 6, batch_first=True)
            self.dense = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            states, _ = self.memory(x.mean(1))
            return {"aside": states, "logits": self.dense(states.amax(1))}

    model = statistics(Nested())
    subject = Subject(model, SHAPE, output="logits")
    values = values_for(10)
    with torch.no_grad():
        found = rerun(subject, INPUTS, "memory[0]", torch.arange(10), values)
        states = model.get_submodule("memory")(INPUTS.mean(1))[0]
        for step in range(10):
            changed = states.clone()
            changed[:, step] = values[step]
            torch.testing.assert_close(
                found.units[step], model.get_submodule("dense")(changed.amax(1)), atol=1e-5, rtol=1e-4
            )


def test_mirrored_answers_are_the_mean_of_two_passes() -> None:
    subject = replace(ours(), mirror=True)
    plain = replace(subject, mirror=False)
    values = values_for(5)
    with evaluating(subject.model), torch.no_grad():
        found = rerun(subject, INPUTS, "conv2", torch.arange(5), values)
        one = slowly(plain, INPUTS, "conv2", values)
        other = slowly(plain, INPUTS.flip(3), "conv2", values)
        torch.testing.assert_close(found.unmodified, subject.logits(INPUTS))
    torch.testing.assert_close(found.units, (one.units + other.units) / 2, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.whole, (one.whole + other.whole) / 2, atol=1e-5, rtol=1e-4)


def test_variants_are_computed_in_parts_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    from cutaway.look import rerun as module

    monkeypatch.setattr("cutaway.look.rerun._ROOM", 1)
    assert module is not None
    compare(Subject(statistics(Foreign()), SHAPE), "block.conv1", 6)


def failing(layer: str) -> Callable[[], Rerun]:
    subject = Subject(statistics(Foreign()), SHAPE)
    return lambda: rerun(subject, INPUTS, layer, torch.arange(2), torch.zeros(6))


@pytest.mark.parametrize(
    ("layer", "error", "told"),
    [
        ("blokc.conv1", NotFoundError, 'Did you mean "block.conv'),
        ("block.act@3", ConfigError, "does not reach block.act@3"),
        ("left", ConfigError, r"left gives 3×4×4×4, not N×6"),
        ("stem:input", ConfigError, "stem:input is an input"),
    ],
)
def test_what_can_not_be_replaced_is_told(layer: str, error: type[Exception], told: str) -> None:
    with torch.no_grad(), pytest.raises(error, match=told):
        failing(layer)()

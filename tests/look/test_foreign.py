"""Models of others cost no edits: every style of writing one, looked into by every basic look."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, NotFoundError
from cutaway.look import capture, cell, feature_maps, kernels, layers, visible_layers

from .foreign_models import MODELS, FixedBatch, Functional, Logits, Noted, Scripted, Shared, make

INPUTS = torch.randn(4, *Noted.shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _quiet_tracing() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is on its way out
        yield


def subject_of(model: Noted) -> Subject:
    fixed = 4 if isinstance(model, FixedBatch) else None
    return Subject(model, model.shape, batch=fixed, output="logits" if isinstance(model, Logits) else None)


@pytest.mark.parametrize("kind", MODELS)
def test_every_step_is_captured_as_the_forward_pass_has_it(kind: type[Noted]) -> None:
    model = make(kind)
    wanted = model.notes(INPUTS)
    assert len(wanted) >= 2
    for asked in (list(wanted), list(wanted)[::-1], *([name] for name in wanted)):
        with capture(model, asked) as outputs:
            for _ in range(2):  # what was learnt of in-place steps in the first pass serves the second
                found = outputs(INPUTS)
                assert list(found) == asked
                for name, value in found.items():
                    torch.testing.assert_close(value, wanted[name], msg=f"{name} differs")


@pytest.mark.parametrize("kind", MODELS)
def test_all_that_is_listed_can_be_captured_and_has_the_listed_shape(kind: type[Noted]) -> None:
    model = make(kind)
    rows = layers(subject_of(model))
    names = [row.name for row in rows]
    assert len(names) == len(set(names)) >= 2
    with capture(model, names) as outputs:
        found = outputs(INPUTS)
    assert {row.name: row.shape for row in rows} == {n: tuple(v.shape[1:]) for n, v in found.items()}


@pytest.mark.parametrize("kind", MODELS)
def test_maps_kernels_and_cells_of_all_layers(kind: type[Noted]) -> None:
    model = make(kind)
    subject, wanted = subject_of(model), model.notes(INPUTS)
    maps = feature_maps(subject, INPUTS[:3])
    assert maps.layers.keys() == set(visible_layers(subject))
    for name in maps.layers.keys() & wanted.keys():
        torch.testing.assert_close(maps.layers[name], wanted[name][:3], msg=name)
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            continue
        weights = kernels(subject, [name]).layers[name]
        assert weights.numel() == module.weight.numel()
        value = cell(subject, INPUTS[:1], name, 0)
        assert value.total == pytest.approx(value.value, abs=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_a_prediction_is_the_softmax_of_the_forward_pass(kind: type[Noted]) -> None:
    model = make(kind)
    found = subject_of(model).predict(INPUTS[:3])
    with torch.no_grad():
        given = make(kind).eval()(INPUTS)
    logits = given["logits"] if isinstance(given, dict) else given
    torch.testing.assert_close(found, logits[:3].softmax(1), atol=1e-5, rtol=1e-4)


def test_modules_come_in_the_order_of_computing_each_time_they_are_applied() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.late = nn.Conv2d(2, 2, 1)
            self.early = nn.Conv2d(2, 2, 1)
            self.spare = nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.late(self.early(self.early(x)))).flatten(1)

    rows = layers(Subject(Twice(), (2, 3, 3)))
    assert [row.name for row in rows] == ["early", "early@2", "late", "relu@1"]
    assert [row.kind for row in rows] == ["Conv2d", "Conv2d", "Conv2d", "function"]


def test_calls_of_a_function_count_those_of_modules_too() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Conv2d(2, 2, 1), nn.ReLU(inplace=True))
    with capture(model, ["relu@2", "2", "relu@1", "1"]) as outputs:
        found = outputs(INPUTS)
    assert torch.equal(found["relu@2"], found["2"])
    assert torch.equal(found["relu@1"], INPUTS.clamp_min(0))
    assert (found["1"] < 0).any()


def test_a_call_that_is_not_made_is_told_with_how_often_it_is() -> None:
    with (
        pytest.raises(ConfigError, match=r"does not reach relu@3: it applies relu only 2 times\."),
        capture(make(Functional), ["relu@3"]) as outputs,
    ):
        outputs(INPUTS)
    with (
        pytest.raises(ConfigError, match=r"does not reach tanh@1; cutaway\.look\.layers"),
        capture(make(Functional), ["tanh@1"]) as outputs,
    ):
        outputs(INPUTS)


def test_what_runs_inside_a_script_is_not_reached_but_the_script_is() -> None:
    model = make(Scripted)
    assert "part" in visible_layers(Subject(model, model.shape))
    with pytest.raises(ConfigError, match=r"does not reach part\.1"), capture(model, ["part.1"]) as outputs:
        outputs(INPUTS)


def test_the_second_name_of_a_module_is_answered_with_its_calls() -> None:
    with (
        pytest.raises(NotFoundError, match=r"again is the same module as first, .*first@1, first@2"),
        capture(make(Shared), ["again"]),
    ):
        pass


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ("relu", "Functions are named by their call: relu@1"),
        ("relu@0", "calls are counted from 1"),
        ("rleu@1", 'no layer "rleu@1"'),
        ("kernel", 'no layer "kernel"'),
    ],
)
def test_a_name_that_is_none_is_told_how_names_are(layer: str, told: str) -> None:
    with pytest.raises(NotFoundError, match=re.escape(told)), capture(make(Functional), [layer]):
        pass


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (
            "split",
            "split gives tuple (split[0] 4×2×7×6, split[1] 4×2×7×6), not a tensor; choose one of its parts",
        ),
        ("split[2]", "There is no split[2]: split gives tuple (split[0]"),
        ('split["a"]', 'There is no split["a"]'),
        ("nest[1]", "nest[1] gives list (nest[1][0] 4×2×7×6, nest[1][1] 4×2×7×6), not a tensor"),
        ("conv:input2", "There is no conv:input2: conv is given 1 arguments"),
    ],
)
def test_a_part_that_is_no_tensor_is_told_with_the_parts(layer: str, told: str) -> None:
    from .foreign_models import Tuples

    with pytest.raises(ConfigError) as caught, capture(make(Tuples), [layer]) as outputs:
        outputs(INPUTS)
    assert told in str(caught.value)


def test_many_names_are_not_all_listed() -> None:
    model = nn.Sequential(*[nn.Conv2d(2, 2, 1) for _ in range(50)])
    with pytest.raises(NotFoundError) as caught, capture(model, ["cnov"]):
        pass
    assert "lists all 50" in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_dict_of_logits_is_refused_until_the_key_is_said() -> None:
    model = make(Logits)
    with pytest.raises(ConfigError) as caught:
        Subject(model, model.shape).predict(INPUTS)
    message = 'model gives dict (["logits"] 4×3, ["aux"] 4×2), not logits N×K. Say which part is: '
    assert str(caught.value) == message + 'Subject(…, output="logits").'
    with pytest.raises(ConfigError, match=r"output='lgits': model gives dict"):
        Subject(model, model.shape, output="lgits").predict(INPUTS)


def test_a_fixed_batch_is_told_and_filled() -> None:
    model = make(FixedBatch)
    for layers_asked, many in ((None, "1 image"), (["head"], "1 image")):
        with pytest.raises(ConfigError, match=rf"can't be applied to {many}: .*Subject\(…, batch=N\)"):
            feature_maps(Subject(model, model.shape), INPUTS[:3], layers_asked)
    with pytest.raises(ConfigError, match=r"can't be applied to 3 images"):
        Subject(model, model.shape).predict(INPUTS[:3])
    images = torch.cat([INPUTS, INPUTS.flip(0), INPUTS[1:2]])
    subject = Subject(model, model.shape, batch=4)
    found = feature_maps(subject, images, ["head"]).layers["head"]
    wanted = torch.cat([model.notes(part)["head"] for part in (INPUTS, INPUTS.flip(0), INPUTS[[1, 1, 1, 1]])])
    torch.testing.assert_close(found, wanted[:9])
    torch.testing.assert_close(subject.predict(images), wanted[:9].softmax(1))
    assert len(found) == 9

"""A convolution of which only the asked channels are computed gives what the whole one gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.look import Target
from cutaway.look.backward.graph import graphs
from cutaway.look.optimising import Recipe, maximize
from cutaway.look.optimising.narrow import Narrow, narrow_to

from .optimised_nets import SHAPE, small_subject

ASKED = [Target({4: 1.0}, "conv2", "sum"), Target({1: 1.0, 2: -2.0}, "conv2", "max")]


def values_and_gradients(subject: Subject, targets: list[Target], narrow: bool) -> tuple[list[Tensor], int]:
    """Of each target the value and the input's gradient; and how many channels a narrow pass computes."""
    layer = targets[0].layer
    made = narrow_to(subject.model, layer, targets) if narrow else None
    inputs = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    found = []
    with graphs(subject, [layer or ""], to_end=False) as forward:
        passed = made(forward) if made else forward
        for target in targets:
            graph = passed(inputs)
            found += [graph.value(target), *graph.back(target, graph.seed(target))]
    return found, len(made.part) if isinstance(made, Narrow) else 0


def test_values_and_gradients_are_those_of_the_whole() -> None:
    whole, _ = values_and_gradients(small_subject(), ASKED, narrow=False)
    some, channels = values_and_gradients(small_subject(), ASKED, narrow=True)
    assert channels == 3
    for one, other in zip(whole, some, strict=True):
        torch.testing.assert_close(other, one, atol=1e-6, rtol=1e-6)


def test_other_channels_are_zero_and_the_model_is_as_before() -> None:
    subject = small_subject()
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    narrow = narrow_to(subject.model, "conv2", ASKED)
    with graphs(subject, ["conv2"], to_end=False) as forward:
        maps = narrow(forward)(torch.rand(2, *SHAPE)).values["conv2"]
    assert (maps.flatten(2) != 0).any(2).any(0).tolist() == [False, True, True, False, True, False]
    assert all(torch.equal(before[name], value) for name, value in subject.model.state_dict().items())


class Twice(nn.Module):
    """One convolution that reads what it gave before."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.first = nn.Conv2d(1, 3, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.conv(self.conv(self.first(inputs)).relu()).mean((2, 3))
        return found


def test_a_convolution_that_is_called_twice_is_computed_whole() -> None:
    torch.manual_seed(0)
    subject = Subject(Twice().eval(), SHAPE)
    layer = "conv@2"
    target = Target({1: 1.0}, layer, "sum")
    whole, _ = values_and_gradients(subject, [target], narrow=False)
    narrow = narrow_to(subject.model, "conv", [target])
    assert isinstance(narrow, Narrow)
    with graphs(subject, [layer], to_end=False) as forward:
        passed = narrow(forward)
        for _ in range(2):
            graph = passed(torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(1)))
            torch.testing.assert_close(graph.value(target), whole[0])
            torch.testing.assert_close(graph.back(target, graph.seed(target))[0], whole[1])


def hooked(subject: Subject) -> None:
    subject.model.get_submodule("conv2").register_forward_hook(lambda module, inputs, output: output.flip(1))


@pytest.mark.parametrize(
    ("layer", "unit", "change"),
    [
        (None, 0, None),
        ("relu2", 0, None),
        ("dense", 0, None),
        ("conv2", 6, None),
        ("conv2", 0, hooked),
        ("nowhere", 0, None),
    ],
)
def test_where_nothing_is_saved_or_sure_passes_stay_as_they_are(
    layer: str | None, unit: int, change: Callable[[Subject], None] | None
) -> None:
    subject = small_subject()
    if change:
        change(subject)
    assert not isinstance(narrow_to(subject.model, layer, [Target({unit: 1.0}, layer, "sum")]), Narrow)
    whole = [Target({number: 1.0}, layer, "sum") for number in range(6)]
    assert not isinstance(narrow_to(subject.model, layer, whole), Narrow)


def test_images_of_some_channels_are_those_of_all() -> None:
    recipe = Recipe(12)
    every = [Target({unit: 1.0}, "conv2", "sum") for unit in range(6)]
    whole = maximize(small_subject(), every, recipe)
    some = maximize(small_subject(), [every[4], every[1]], recipe)
    torch.testing.assert_close(some.images, whole.images[[4, 1]], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(some.values, whole.values[:, [4, 1]], atol=1e-4, rtol=1e-4)


def test_unlike_images_of_a_unit_are_told_apart_by_all_channels() -> None:
    target = Target({4: 1.0}, "conv2", "sum")
    subject = small_subject()
    found = maximize(subject, [target], Recipe(8), diverse=2)
    alone = maximize(subject, [target], Recipe(8))
    assert not torch.allclose(found.images[0], found.images[1])
    assert not torch.allclose(found.images[0], alone.images[0])

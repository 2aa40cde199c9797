"""Relevance through whole nets: conserved, the same however a net is written, and as by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look.backward.composite import COMPOSITES, Composite
from cutaway.look.backward.lrp import Relevance, lrp
from cutaway.look.backward.relevance import AlphaBeta, Box, Epsilon, Flat, Gamma, Z
from cutaway.look.backward.target import Target, difference, each

from .lrp_models import IMAGES, SHAPE, WHOLE, Written, ended, written
from .lrp_reference import (
    Handed,
    alpha_beta_rule,
    box_rule,
    channel_biases,
    conv_table,
    dense_table,
    epsilon_rule,
    flat_rule,
    gamma_rule,
    maxima,
    results,
    stacked,
    vector,
)


def equal(found: Relevance, wanted: Relevance, accuracy: float = 1e-6) -> None:
    """Maps equal, in units of the largest value."""
    scale = float(wanted.maps.abs().max())
    assert scale > 1e-6
    torch.testing.assert_close(found.maps, wanted.maps, rtol=0, atol=accuracy * scale)


# Conservation


@pytest.mark.parametrize("kind", WHOLE)
def test_without_biases_relevance_by_z_adds_up_to_the_logit(kind: str) -> None:
    found = lrp(written(WHOLE[kind]), IMAGES, [0, 2], rules="z")
    assert found.gap is not None
    # Against the largest: a logit near zero is a difference of large parts, and has their rounding.
    most = float(found.values.abs().max())
    assert most > 1e-2
    assert float(found.gap.abs().max()) < 1e-5 * most
    torch.testing.assert_close(found.total(), found.values.double(), rtol=1e-5, atol=1e-5 * most)


@pytest.mark.parametrize("rules", ["z", "epsilon", "z-plus", "epsilon-plus", "epsilon-plus-flat"])
def test_every_layer_holds_all_relevance_behind_relus_without_biases(rules: str) -> None:
    layers = ["first", "act", "act@2", "second", "adaptive_avg_pool2d@1", "head"]
    subject = written(lambda m, x: ended(m, m.act(m.second(m.act(m.first(x))))))
    found = lrp(subject, IMAGES, [1], rules=rules, layers=layers)
    assert found.layers is not None
    for layer in (*layers, ""):
        torch.testing.assert_close(found.total(layer), found.values.double(), rtol=1e-3, atol=0)
    inner = found.layers["second"]
    assert inner.shape == (1, 3, 4, 8, 8)
    assert inner.dtype == torch.float32


def test_what_biases_take_is_the_gap() -> None:
    subject = written(lambda m, x: m.head(F.max_pool2d(m.first(x), 2).flatten(1)), bias=True)
    model = subject.model
    assert isinstance(model, Written)
    for rules in ("z", "epsilon"):
        found = lrp(subject, IMAGES, [0, 1, 2], rules=rules, layers=["first"])
        # Nothing bends on the way, so what a bias adds to the logit is what it takes.
        zero = model(torch.zeros(1, *SHAPE))[0]
        pooled = model.first.bias.view(1, 4, 1, 1).expand(1, 4, 4, 4).flatten(1)  # type: ignore[union-attr]
        taken = (pooled @ model.head.weight.t() + model.head.bias)[0]
        torch.testing.assert_close(zero, taken)
        assert found.gap is not None
        torch.testing.assert_close(found.gap, taken.detach()[:, None].expand(3, 3), rtol=1e-3, atol=1e-6)
        lost = found.values - found.total("first")
        torch.testing.assert_close(
            lost.float(), model.head.bias.detach()[:, None].expand(3, 3), rtol=1e-3, atol=1e-6
        )


# A whole net by hand


BY_HAND: dict[str, tuple[Handed, Handed, Handed]] = {
    "z": (epsilon_rule(0), epsilon_rule(0), epsilon_rule(0)),
    "epsilon": (epsilon_rule(1e-6), epsilon_rule(1e-6), epsilon_rule(1e-6)),
    "z-plus": (alpha_beta_rule(1, 0), alpha_beta_rule(1, 0), alpha_beta_rule(1, 0)),
    "alpha2-beta1": (alpha_beta_rule(2, 1), alpha_beta_rule(2, 1), alpha_beta_rule(2, 1)),
    "epsilon-plus": (alpha_beta_rule(1, 0), alpha_beta_rule(1, 0), epsilon_rule(1e-6)),
    "epsilon-plus-flat": (flat_rule, alpha_beta_rule(1, 0), epsilon_rule(1e-6)),
    "epsilon-alpha2-beta1": (alpha_beta_rule(2, 1), alpha_beta_rule(2, 1), epsilon_rule(1e-6)),
    "epsilon-gamma-box": (
        box_rule([0.0] * 72, [1.0] * 72, 1e-6),
        gamma_rule(0.25, 1e-6),
        epsilon_rule(1e-6),
    ),
}
"""For each preset the rules of the first convolution, of the second and of the dense layer."""


def by_hand(
    net: nn.Sequential, image: Tensor, target: int, rules: tuple[Handed, Handed, Handed]
) -> list[float]:
    """conv, ReLU, max-pool, conv, tanh, flatten, dense: forwards and back, number by number."""
    first, second, head = net[0], net[3], net[6]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(second, nn.Conv2d)
    assert isinstance(head, nn.Linear)
    w1, size1 = conv_table(first.weight, (2, 6, 6), padding=(1, 1))
    b1 = channel_biases(first.bias, size1)
    x0 = vector(image)
    x1 = [max(value, 0.0) for value in results(w1, b1, x0)]
    x2, places = maxima(x1, size1, 2)
    w2, size2 = conv_table(second.weight, (3, 3, 3))
    b2 = channel_biases(second.bias, size2)
    x3 = vector(stacked(results(w2, b2, x2)).tanh())
    w3, b3 = dense_table(head.weight), vector(head.bias)
    logits = results(w3, b3, x3)
    r3 = rules[2](w3, b3, x3, [logit if k == target else 0.0 for k, logit in enumerate(logits)])
    r2 = rules[1](w2, b2, x2, r3)
    r1 = [0.0] * len(x1)
    for place, relevance in zip(places, r2, strict=True):
        r1[place] += relevance
    return rules[0](w1, b1, x0, r1)


@pytest.fixture(scope="module")
def double() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            *(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(3, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)),
        ).double()


@pytest.mark.parametrize("name", COMPOSITES)
def test_a_preset_is_what_its_rules_give_by_hand(name: str, double: nn.Sequential) -> None:
    images = torch.rand(2, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    found = lrp(Subject(double, (2, 6, 6)), images, [0, 2], rules=name)
    for t, target in enumerate((0, 2)):
        for n in range(2):
            wanted = stacked(by_hand(double, images[n], target, BY_HAND[name]))[0]
            scale = float(wanted.abs().max())
            assert scale > 1e-6
            # The root passes through float32 logits; everything behind is float64.
            torch.testing.assert_close(found.maps[t, n].double().flatten(), wanted, rtol=0, atol=3e-7 * scale)


def test_all_presets_are_tested_by_hand() -> None:
    assert list(BY_HAND) == list(COMPOSITES)


# One net, written in many ways


def _modules(m: Written, x: Tensor) -> Tensor:
    return m.head(F.max_pool2d(m.act(m.second(m.act(m.first(x)))), 2).flatten(1))  # type: ignore[no-any-return]


def _functions(m: Written, x: Tensor) -> Tensor:
    x = F.relu(F.conv2d(x, m.first.weight, m.first.bias, padding=1))
    x = torch.relu(torch.conv2d(input=x, weight=m.second.weight, bias=m.second.bias, padding=(1, 1)))
    return F.linear(torch.max_pool2d(x, 2).view(len(x), -1), m.head.weight, m.head.bias)


def _in_place(m: Written, x: Tensor) -> Tensor:
    x = m.first(x)
    x.relu_()
    x = F.relu(m.second(x), inplace=True)
    return m.head(F.max_pool2d(torch.relu_(x), 2).flatten(1))  # type: ignore[no-any-return]


def _bias_by_hand(m: Written, x: Tensor) -> Tensor:
    assert m.first.bias is not None
    assert m.second.bias is not None
    x = (F.conv2d(x, m.first.weight, padding=1) + m.first.bias.view(4, 1, 1)).relu()
    x = F.conv2d(x, m.second.weight, None, 1, 1)
    x += m.second.bias[None, :, None, None]
    return F.max_pool2d(x.relu(), 2).flatten(1) @ m.head.weight.t() + m.head.bias


def _multiplied(m: Written, x: Tensor) -> Tensor:
    assert m.first.bias is not None
    x = F.conv2d(x, m.first.weight / 2, padding=1)
    x = m.act(m.first.bias.view(-1, 1, 1) - (-2 * x)) / 1
    x = m.act(1 - (1 - m.second(x)))
    return torch.addmm(m.head.bias, F.max_pool2d(x, 2).flatten(1), m.head.weight.t())


def _pooled_first(m: Written, x: Tensor) -> Tensor:
    x = m.act(m.first(x))
    return m.head(m.act(F.max_pool2d(m.second(x), 2)).flatten(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("way", [_functions, _in_place, _bias_by_hand, _multiplied, _pooled_first])
@pytest.mark.parametrize("rules", ["z", "epsilon-plus", "alpha2-beta1", "epsilon-gamma-box"])
def test_the_same_weights_give_the_same_map(rules: str, way: Callable[[Written, Tensor], Tensor]) -> None:
    maps = []
    for forward in (_modules, way):
        # Doubles: by z, rounding grows where sums nearly cancel, and the sums are added in other orders.
        subject = Subject(Written(forward, bias=True).double(), SHAPE)
        maps.append(lrp(subject, IMAGES.double(), [0, 1], rules=rules))
    equal(maps[1], maps[0])


def test_a_layer_used_again_is_two_layers_with_the_same_weights() -> None:
    again = written(lambda m, x: ended(m, m.acting(m.second(m.acting(m.second(m.acting(m.first(x))))))))
    copy = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    model = written(lambda m, x: x).model
    assert isinstance(model, Written)
    copy.load_state_dict(model.second.state_dict())
    apart = nn.Sequential(
        *(model.first, nn.ReLU(), model.second, nn.ReLU(), copy, nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(4), nn.Flatten(), model.head),
    )
    equal(lrp(again, IMAGES, [2]), lrp(Subject(apart, SHAPE), IMAGES, [2]))


# Batches, targets, types


@pytest.mark.parametrize("rules", COMPOSITES)
def test_batches_give_what_single_images_give(rules: str) -> None:
    subject = written(_modules, bias=True)
    together = lrp(subject, IMAGES, [0, 1], rules=rules, layers=["second"])
    assert together.layers is not None
    for number in range(len(IMAGES)):
        alone = lrp(subject, IMAGES[number : number + 1], [0, 1], rules=rules, layers=["second"])
        assert alone.layers is not None
        scale = float(alone.maps.abs().max())
        torch.testing.assert_close(together.maps[:, number], alone.maps[:, 0], rtol=0, atol=1e-5 * scale)
        torch.testing.assert_close(together.layers["second"][:, number], alone.layers["second"][:, 0])


def test_a_difference_is_the_sum_of_both_sides() -> None:
    subject = written(_modules, bias=True)
    both = lrp(subject, IMAGES, [difference(subject, 0, 2), 0, 2])
    torch.testing.assert_close(both.maps[0], both.maps[1] - both.maps[2], rtol=1e-4, atol=1e-6)
    assert both.targets[0] == "0 − 2"
    found = lrp(subject, IMAGES, each([2, 0, 1]))
    single = lrp(subject, IMAGES, [0, 1, 2])
    for number, label in enumerate((2, 0, 1)):
        torch.testing.assert_close(found.maps[0, number], single.maps[label, number])


def test_a_unit_of_a_layer_is_the_root_of_what_lies_before_it() -> None:
    whole = written(_modules, bias=True)
    model = whole.model
    assert isinstance(model, Written)
    target = Target({1: 1.0}, "second", (4, 3))
    found = lrp(whole, IMAGES, [0, target, Target({2: 2.0}, "head"), 2], layers=["first", "head"])
    alone = lrp(whole, IMAGES, [0, 2], layers=["first"])
    torch.testing.assert_close(found.maps[[0, 3]], alone.maps)
    inner = lrp(Subject(_At(model), SHAPE), IMAGES, [1])
    torch.testing.assert_close(found.maps[1], inner.maps[0])
    torch.testing.assert_close(found.values[1], inner.values[0])
    assert found.layers is not None
    assert not found.layers["head"][1].any()  # it lies behind its root
    assert found.layers["first"][1].any()


class _At(nn.Module):
    """The second convolution's units at one place."""

    def __init__(self, model: Written) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = self.model.second(self.model.act(self.model.first(x)))
        return values[:, :, 4, 3]


def test_doubles_stay_doubles_inside() -> None:
    model = Written(_modules, bias=False).double()
    found = lrp(Subject(model, SHAPE), IMAGES, [0], rules="z")
    assert found.gap is not None
    assert found.maps.dtype == torch.float32
    assert float((found.gap / found.values).abs().max()) < 1e-6


def test_bytes_are_preprocessed_and_inputs_that_ask_for_gradients_are_left_alone() -> None:
    subject = written(_modules, bias=True)
    pixels = (IMAGES * 255).round().to(torch.uint8)
    asking = (pixels.float() / 255).requires_grad_()
    equal(lrp(subject, asking, [0]), lrp(subject, pixels, [0]))
    assert asking.grad is None
    assert asking.requires_grad


# What is refused


def refused(message: str, forward: Callable[[Written, Tensor], Tensor], rules: str = "epsilon-plus") -> None:
    with pytest.raises(ConfigError, match=message):
        lrp(written(forward), IMAGES, [0], rules=rules)


@pytest.mark.parametrize(
    ("name", "forward"),
    [
        ("mul", lambda m, x: ended(m, m.first(x) * m.first(x).sigmoid())),
        ("softmax", lambda m, x: ended(m, m.first(x)).softmax(1)),
        ("layer_norm", lambda m, x: ended(m, F.layer_norm(m.first(x), (8, 8)))),
        ("matmul", lambda m, x: ended(m, m.first(x) @ m.second(m.first(x)))),
        (
            "matmul",
            lambda m, x: (
                (m.head.weight @ ended(m, m.first(x)).new_ones(64, 1) * 0).T
                + (m.head.weight @ F.max_pool2d(m.first(x), 2).flatten(1).t()).t()
            ),
        ),
        ("batch_norm", lambda m, x: ended(m, F.batch_norm(m.first(x), None, None, training=True))),
        ("div", lambda m, x: ended(m, 1 / (m.first(x) + 3))),
        ("div", lambda m, x: ended(m, m.first(x) / m.second(m.first(x)))),
        ("alpha_dropout", lambda m, x: ended(m, F.alpha_dropout(m.first(x), training=True))),
        ("pow", lambda m, x: ended(m, m.first(x) ** 2)),
        ("clamp", lambda m, x: ended(m, m.first(x).clamp(min=m.second(m.first(x))))),
        ("conv2d", lambda m, x: ended(m, F.conv2d(x, m.first.weight * x.mean(), padding=1))),
        ("linear", lambda m, x: F.linear(x.flatten(1)[:, :64], m.head.weight * x.mean())),
        ("addmm", lambda m, x: torch.addmm(torch.ones(3), x.flatten(1)[:, :64], m.head.weight.t(), beta=2)),
    ],
)
def test_an_operation_without_a_rule_is_refused_by_name(
    name: str, forward: Callable[[Written, Tensor], Tensor]
) -> None:
    refused(rf'LRP has no rule for {name}\. .*otherwise="gradient"', forward)
    found = lrp(written(forward), IMAGES, [0], otherwise="gradient")
    assert found.notes[0].startswith(f"{name} passed with the plain gradient") or name in found.notes[0]
    assert float(found.maps.abs().max()) > 0


@pytest.mark.parametrize(
    "before",
    [lambda x: x * 0.5, lambda x: 2 * x - 1, lambda x: F.avg_pool2d(x, 3, 1, 1), torch.tanh],
    ids=["scaled", "centred", "blurred", "bent"],
)
def test_z_b_is_refused_where_the_model_changes_its_input_first(before: Callable[[Tensor], Tensor]) -> None:
    refused(
        "z-B rule is for a layer that sees the input",
        lambda m, x: _modules(m, before(x)),
        "epsilon-gamma-box",
    )
    refused("z-B rule", lambda m, x: ended(m, m.first(F.pad(x, (1, 1, 1, 1)))), "epsilon-gamma-box")


def test_z_b_knows_the_range_of_inputs_that_are_flattened_or_have_channels_last() -> None:
    shift = torch.tensor([0.2, 0.5]).view(1, 2, 1, 1)

    def before(pixels: Tensor) -> Tensor:
        return (pixels.float() / 255 - shift) * 2

    model = Written(_modules, bias=True)
    pixels = (IMAGES * 255).to(torch.uint8)
    first = Subject(model, SHAPE, preprocess=before)
    last = Subject(_Last(model), SHAPE, preprocess=lambda pixels: before(pixels).permute(0, 2, 3, 1))
    found, wanted = (lrp(subject, pixels, [0], rules="epsilon-gamma-box") for subject in (last, first))
    equal(found, wanted)
    assert found.maps.shape == (1, 3, *SHAPE)

    dense = nn.Sequential(nn.Flatten(), nn.Linear(128, 3))
    flat = lrp(Subject(dense, SHAPE, preprocess=before), pixels, [1], rules="epsilon-gamma-box")
    low, high = (vector(before(torch.full((1, *SHAPE), end))) for end in (0, 255))
    x = vector(before(pixels[:1]))
    w, b = dense_table(dense[1].weight), vector(dense[1].bias)  # type: ignore[arg-type]
    logit = results(w, b, x)[1]
    hand = stacked(box_rule(low, high, 1e-6)(w, b, x, [0.0, logit, 0.0]))[0]
    torch.testing.assert_close(flat.maps[0, 0].flatten().double(), hand, rtol=1e-4, atol=1e-7)


class _Last(nn.Module):
    """A net that takes channels last."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.permute(0, 3, 1, 2))  # type: ignore[no-any-return]


def test_z_b_refuses_floats_beyond_the_range_of_pixels() -> None:
    with pytest.raises(ConfigError, match="floats beyond the range of pixels"):
        lrp(written(_modules), IMAGES * 3, [0], rules="epsilon-gamma-box")


def test_unknown_rules_classes_and_layers() -> None:
    subject = written(_modules)
    with pytest.raises(NotFoundError, match=r'LRP has no rules "epsilon-pluss"\. Did you mean'):
        lrp(subject, IMAGES, rules="epsilon-pluss")
    with pytest.raises(NotFoundError, match="There is no class 3: they are numbered from 0 to 2"):
        lrp(subject, IMAGES, 3)
    with pytest.raises(NotFoundError, match='no layer "sekond"'):
        lrp(subject, IMAGES, layers=["sekond"])


def test_nan_in_weights_is_named() -> None:
    subject = written(_modules)
    model = subject.model
    assert isinstance(model, Written)
    model.second.weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(DataError, match=r"second\.weight has 1 value that is NaN"):
        lrp(subject, IMAGES)


def test_a_map_that_is_zero_everywhere_says_so() -> None:
    found = lrp(
        written(lambda m, x: _modules(m, x) * 0 + _modules(m, -x.relu() * 0), bias=False), IMAGES[:1], [0]
    )
    assert "zero everywhere" in found.notes[0]


# Composites of one's own


def test_a_composite_of_one_s_own_has_the_rules_where_it_says(double: nn.Sequential) -> None:
    image = torch.rand(1, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    box = Box(torch.zeros(1, 2, 6, 6), torch.ones(1, 2, 6, 6), 0.1)
    for composite, rules in (
        (
            Composite(Gamma(0.5, 0.1), Epsilon(0.2), Flat()),
            (flat_rule, gamma_rule(0.5, 0.1), epsilon_rule(0.2)),
        ),
        (
            Composite(AlphaBeta(3, 2), Z, box),
            (box_rule([0.0] * 72, [1.0] * 72, 0.1), alpha_beta_rule(3, 2), epsilon_rule(0)),
        ),
    ):
        found = lrp(Subject(double, (2, 6, 6)), image, [1], rules=composite)
        wanted = stacked(by_hand(double, image[0], 1, rules))[0]
        assert found.composite == "custom"
        torch.testing.assert_close(
            found.maps[0, 0].double().flatten(), wanted, rtol=0, atol=3e-7 * float(wanted.abs().max())
        )


def test_the_first_rule_is_for_every_sum_that_sees_the_input() -> None:
    def branches(m: Written, x: Tensor) -> Tensor:
        return ended(m, m.act(m.first(x)) + m.act(m.first(x.flip(3))))

    flat = lrp(written(branches), IMAGES, [0], rules=Composite(Z, Z, Flat()))
    z = lrp(written(branches), IMAGES, [0], rules=Composite(Z, Z))
    assert not torch.allclose(flat.maps, z.maps)
    # The flat rule hands relevance to black pixels too.
    black = IMAGES.clone()
    black[:, :, 2:4] = 0
    assert (
        float(lrp(written(branches), black, [0], rules=Composite(Z, Z, Flat())).maps[..., 2:4, :].abs().max())
        > 0
    )
    assert not lrp(written(branches), black, [0], rules="z").maps[..., 2:4, :].any()

"""Judgements against the questions asked one by one, and methods that are known to be good or bad."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import gradient_input, saliency, untrained
from cutaway.look.backward import Attribution
from cutaway.look.backward.methods import METHODS, Method
from cutaway.look.backward.target import Asked, each
from cutaway.look.judging import (
    CHANCE,
    CRITERIA,
    Curves,
    Judged,
    Judgement,
    Questions,
    deletion,
    insertion,
    judge,
    max_sensitivity,
)
from cutaway.look.judging.correlation import spearman
from cutaway.look.judging.structure import ssim

SHAPE = (1, 10, 10)
IMAGES = torch.randint(256, (5, *SHAPE), generator=torch.Generator().manual_seed(3)).to(torch.uint8)
QUICK = Questions(points=10, samples=2, stages=2)
NAMES = ["saliency", "gradient-input"]


def net(activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), activation(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)
        )


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(net(), SHAPE, ("cat", "dog", "owl"), name="small")


@pytest.fixture(scope="module")
def found(subject: Subject) -> Judgement:
    return judge(subject, IMAGES, NAMES, questions=QUICK)


def heats(subject: Subject, images: Tensor = IMAGES, labels: Tensor | None = None) -> dict[str, Tensor]:
    target = each(labels if labels is not None else subject.predict(images).argmax(1))
    return {
        "saliency": saliency(subject, images, target).strength[0],
        "gradient-input": gradient_input(subject, images, target).summed[0],
    }


def test_rows_are_what_the_questions_give_one_by_one(subject: Subject, found: Judgement) -> None:
    labels = subject.predict(IMAGES).argmax(1)
    assert list(found.rows) == [*NAMES, CHANCE]
    assert (found.refused, found.images, found.subject) == ({}, 5, "small")
    assert torch.equal(found.classes, labels)
    nothing = heats(untrained(subject), IMAGES, labels)
    for name, heat in heats(subject).items():
        row = found.rows[name]
        gone = deletion(subject, IMAGES, heat, labels, fill="black", steps=10)
        come = insertion(subject, IMAGES, heat, labels, fill="blur", steps=10)
        torch.testing.assert_close(row.deletion.values, gone.values, atol=1e-6, rtol=0)
        torch.testing.assert_close(row.insertion.values, come.values, atol=1e-6, rtol=0)
        torch.testing.assert_close(row.values("deletion"), gone.areas, atol=1e-6, rtol=0)
        changes = max_sensitivity(
            lambda one, images, name=name: heats(one, images, labels)[name],  # type: ignore[misc]
            subject,
            IMAGES,
            samples=2,
        )
        torch.testing.assert_close(row.sensitivity, changes)
        wanted = spearman(heat.flatten(1), nothing[name].flatten(1)).abs()
        torch.testing.assert_close(row.values("sanity"), wanted, atol=1e-6, rtol=0)
        torch.testing.assert_close(row.structure[-1], ssim(heat, nothing[name]), atol=1e-5, rtol=0)
        assert row.correlation.shape == row.structure.shape == (2, 5)
        assert 0 < row.seconds < 1
    assert found.stages == ("4", "0")


def test_how_much_methods_agree(subject: Subject, found: Judgement) -> None:
    one, other = (heat.flatten(1) for heat in heats(subject).values())
    assert found.agreement.diagonal().tolist() == found.overlap.diagonal().tolist() == [1, 1, 1]
    assert float(found.agreement[0, 1]) == pytest.approx(float(spearman(one, other).mean()), abs=1e-6)
    shared = [
        len({*a.topk(10).indices.tolist()} & {*b.topk(10).indices.tolist()}) / 10
        for a, b in zip(one, other, strict=True)
    ]
    assert float(found.overlap[0, 1]) == pytest.approx(sum(shared) / 5)
    for matrix in (found.agreement, found.overlap):
        assert torch.equal(matrix, matrix.T)


def test_images_alone_give_what_they_give_together(subject: Subject, found: Judgement) -> None:
    for at in (1, 4):
        alone = judge(subject, IMAGES[at, None], NAMES, questions=QUICK)
        for name in NAMES:
            for criterion in CRITERIA:
                one, all_of_them = (row.rows[name].values(criterion) for row in (alone, found))
                assert float(one[0]) == pytest.approx(float(all_of_them[at]), abs=1e-5), criterion


def test_a_split_is_its_images_and_a_class_may_be_named(subject: Subject, found: Judgement) -> None:
    split = Split(IMAGES, torch.zeros(5, dtype=torch.int64), torch.arange(5))
    again = judge(subject, split, NAMES, questions=QUICK)
    assert torch.equal(again.rows["saliency"].sensitivity, found.rows["saliency"].sensitivity)
    owl, two = (judge(subject, IMAGES, ["saliency"], target, questions=QUICK) for target in ("owl", 2))
    assert owl.classes.tolist() == two.classes.tolist() == [2] * 5
    assert torch.equal(owl.rows["saliency"].deletion.values, two.rows["saliency"].deletion.values)


def test_of_a_linear_model_the_products_are_best_and_chance_is_between_them_and_their_opposite() -> None:
    dense = nn.Linear(100, 2, bias=False)
    dense.weight.data = torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    linear = Subject(nn.Sequential(nn.Flatten(), dense), SHAPE)

    def opposite(one: Subject, images: Tensor, target: Asked | Sequence[Asked] | None = None) -> Attribution:
        found = gradient_input(one, images, target)
        return Attribution(images, -found.maps, found.values, found.targets, "opposite")

    result = judge(
        linear,
        IMAGES,
        {"opposite": Method(opposite, "signed"), "good": METHODS["gradient-input"]},
        questions=Questions(ground="black", samples=1),
    )
    means = {name: [row.mean(c).mean for c in ("deletion", "insertion")] for name, row in result.rows.items()}
    assert means["good"][0] < means[CHANCE][0] - 0.05 < means["opposite"][0] - 0.1
    assert means["good"][1] > means[CHANCE][1] + 0.05 > means["opposite"][1] + 0.1
    # What goes first in one comes last in the other, so that the areas are the same.
    assert means["good"][0] == pytest.approx(means["opposite"][1], abs=1e-6)
    assert list(result.order()) == ["good", "opposite"]
    assert float(result.agreement[0, 1]) == pytest.approx(-1)


def test_chance_agrees_with_nothing(subject: Subject) -> None:
    generator = torch.Generator().manual_seed(9)
    many = torch.randint(256, (32, *SHAPE), generator=generator).to(torch.uint8)
    result = judge(subject, many, ["saliency"], questions=QUICK)
    # Spearman's correlation of P drawn pixels spreads by 1/√(P − 1); a tenth of the top is shared.
    assert abs(float(result.agreement[0, 1])) < 4 / math.sqrt(99 * 32)
    assert float(result.overlap[0, 1]) == pytest.approx(0.1, abs=4 * 0.09 / math.sqrt(32))
    row = result.rows[CHANCE]
    # The mean amount of a normal number is √(2/π) of its spread.
    assert row.mean("sanity").mean == pytest.approx(math.sqrt(2 / math.pi / 99), rel=0.5)
    # The distance of two drawn maps is √2 of their length.
    assert row.mean("sensitivity").mean == pytest.approx(math.sqrt(2), rel=0.15)


def test_a_model_of_doubles(subject: Subject, found: Judgement) -> None:
    double = Subject(net().double(), SHAPE)
    result = judge(double, IMAGES, [*NAMES, "gradcam", "guided-gradcam", "occlusion"], questions=QUICK)
    assert result.refused == {}
    for name in NAMES:
        one, other = (row.rows[name].mean("deletion").mean for row in (result, found))
        assert one == pytest.approx(other, abs=1e-4)


def test_what_refuses_the_model_is_told_with_its_reason() -> None:
    result = judge(Subject(net(nn.Tanh), SHAPE), IMAGES, ["guided", "saliency", "deconvnet"], questions=QUICK)
    assert list(result.rows) == ["saliency", CHANCE]
    assert list(result.refused) == ["guided", "deconvnet"]
    assert "guided backpropagation has no rule for tanh" in result.refused["guided"]
    assert result.agreement.shape == (2, 2)


def test_a_method_may_refuse_random_weights_alone(subject: Subject) -> None:
    def picky(one: Subject, images: Tensor, target: Asked | Sequence[Asked] | None = None) -> Attribution:
        if "random weights" in one.name:
            raise ConfigError("nothing to see.")
        return saliency(one, images, target)

    result = judge(subject, IMAGES, {"picky": Method(picky, "strength")}, questions=QUICK)
    assert result.refused == {"picky": "with random weights from 4 up: nothing to see."}
    assert list(result.rows) == [CHANCE]
    assert result.order() == {}


def constant(value: float) -> Method:
    def explain(one: Subject, images: Tensor, target: Asked | Sequence[Asked] | None = None) -> Attribution:
        found = saliency(one, images, target)
        return Attribution(images, torch.full_like(found.maps, value), found.values, found.targets, "flat")

    return Method(explain, "signed")


def test_maps_of_zeros_are_counted_and_say_nothing_of_sensitivity(subject: Subject) -> None:
    result = judge(subject, IMAGES, {"flat": constant(0.0), "one": constant(1.0)}, questions=QUICK)
    flat, one = result.rows["flat"], result.rows["one"]
    assert (flat.zero, one.zero) == (5, 0)
    assert math.isnan(flat.mean("sensitivity").mean)
    assert one.mean("sensitivity").mean == 0
    assert flat.mean("sanity").mean == one.mean("sanity").mean == 0
    assert result.ranks()["sensitivity"] == {"flat": 2, "one": 1}
    assert result.ranks()["deletion"] == {"flat": 1.5, "one": 1.5}


def test_maps_that_are_no_numbers_are_refused(subject: Subject) -> None:
    result = judge(subject, IMAGES, {"bad": constant(math.nan)}, questions=QUICK)
    assert result.refused == {"bad": "its maps have NaN or infinite values."}


def row(gone: float, come: float, change: float, left: float) -> Judged:
    shares = torch.tensor([0.0, 1.0]).double()
    one, other = (Curves(shares, torch.full((3, 2), value).double()) for value in (gone, come))
    alike = torch.full((2, 3), left).double()
    return Judged(one, other, torch.full((3,), change).double(), alike, alike, 0.1)


def test_the_order_is_that_of_the_mean_places() -> None:
    rows = {
        "a": row(0.3, 0.9, 0.2, 0.5),
        "b": row(0.2, 0.8, 0.2, 0.1),
        "c": row(0.1, 0.7, math.nan, 0.9),
        CHANCE: row(0.0, 1.0, 0.0, 0.0),
    }
    result = Judgement(rows, {}, torch.eye(4), torch.eye(4), 0.1, ("x", "y"), torch.zeros(3), ("", ""))
    assert result.ranks() == {
        "deletion": {"a": 3, "b": 2, "c": 1},
        "insertion": {"a": 1, "b": 2, "c": 3},
        "sensitivity": {"a": 1.5, "b": 1.5, "c": 3},
        "sanity": {"a": 2, "b": 1, "c": 3},
    }
    assert result.order() == {"b": 6.5 / 4, "a": 7.5 / 4, "c": 10 / 4}
    assert list(result.order()) == ["b", "a", "c"]


BROKEN = Subject(nn.Sequential(nn.Flatten(), nn.Linear(100, 2)), SHAPE)
BROKEN.model[1].weight.data[0, 3] = math.nan  # type: ignore[index]


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda s: judge(s, IMAGES, ["saliencey"]), NotFoundError, 'no method "saliencey". Did you mean'),
        (lambda s: judge(s, IMAGES, []), ConfigError, "no methods to judge"),
        (lambda s: judge(s, IMAGES, {CHANCE: constant(1)}), ConfigError, "can't be called"),
        (lambda s: judge(s, IMAGES[:0]), DataError, "no images to judge by"),
        (lambda s: judge(s, IMAGES[:, :, 1:]), ConfigError, "N×1×10×10"),
        (lambda s: judge(s, IMAGES, None, "pig"), NotFoundError, 'no class "pig"'),
        (lambda s: judge(s, IMAGES, None, 3), NotFoundError, "numbered from 0 to 2"),
        (lambda _: judge(BROKEN, IMAGES), DataError, "1.weight has 1 value that is NaN"),
        (lambda _: Questions(points=0), ConfigError, "points should be 1 or more"),
        (lambda _: Questions(samples=0), ConfigError, "samples should be 1 or more"),
        (lambda _: Questions(stages=0), ConfigError, "stages should be 1 or more"),
        (lambda _: Questions(radius=0), ConfigError, "radius should be above 0"),
        (
            lambda s: judge(s, IMAGES, NAMES, questions=Questions(removed="pink")),  # type: ignore[arg-type]
            ConfigError,
            'not "pink"',
        ),
    ],
)
def test_what_does_not_fit_is_told(
    subject: Subject, call: Callable[[Subject], object], error: type[Exception], *, told: str
) -> None:
    with pytest.raises(error, match=told.replace("(", r"\(")):
        call(subject)


def test_a_class_beyond_the_last_is_told_where_there_are_no_names() -> None:
    with pytest.raises(ConfigError, match="from 0 to 2"):
        judge(Subject(net(), SHAPE), IMAGES, NAMES, 7, questions=QUICK)


class Restless(nn.Module):
    """Whatever a judgement could disturb."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.dense = nn.Linear(256, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = nn.functional.dropout(self.norm(self.conv(x)).relu_(), 0.1)
        return self.dense(x.flatten(1))  # type: ignore[no-any-return]


def state(model: nn.Module) -> dict[str, Any]:
    return {
        **{name: value.clone() for name, value in model.state_dict().items()},
        **{f"{name} gradient": p.grad.clone() for name, p in model.named_parameters() if p.grad is not None},
        "asking": [p.requires_grad for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._forward_hooks) + len(module._backward_hooks) for module in model.modules()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "torch": torch.get_rng_state(),
        "python": str(random.getstate()),
        "switches": [torch.is_grad_enabled(), torch.is_inference_mode_enabled()],
    }


@pytest.mark.parametrize(
    "methods", [["saliency", "lrp", "gradcam"], {"bad": constant(math.nan)}, ["nothing"]]
)
def test_a_judgement_leaves_everything_as_it_was(methods: Any) -> None:
    model = Restless().train()
    model.norm.eval()
    model.dense.weight.requires_grad_(False)
    model.conv.weight.grad = torch.ones_like(model.conv.weight)
    before = state(model)
    try:
        judge(Subject(model, SHAPE), IMAGES, methods, questions=QUICK)
    except NotFoundError:
        assert methods == ["nothing"]
    after = state(model)
    assert before.keys() == after.keys()
    for name, value in before.items():
        same = torch.equal(value, after[name]) if isinstance(value, Tensor) else value == after[name]
        assert same, name

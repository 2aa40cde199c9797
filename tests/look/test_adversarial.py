"""FGSM and PGD by their formulas, against closed forms of linear models, in pixels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data.preprocess import Preprocess
from cutaway.errors import ConfigError, CutawayError, DataError, NotFoundError
from cutaway.look.adversarial import Adversarial, fgsm, pgd
from cutaway.look.ball import Ball, Norm, l2, linf
from cutaway.look.goal import Goal
from cutaway.progress import Progress, listening

SHAPE = (2, 6, 6)
PREPROCESS = Preprocess((100.0, 120.0), (50.0, 70.0))


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(64, 3),
    )
    return Subject(model, SHAPE, classes=("a", "b", "c"), preprocess=PREPROCESS)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(256, (4, *SHAPE), generator=torch.Generator().manual_seed(2)).to(torch.uint8)


def linear(weights: Tensor) -> Subject:
    """Two classes, a and b: the logit of b is w · pixels, that of a 0."""
    dense = nn.Linear(weights.numel(), 2, bias=False)
    with torch.no_grad():
        dense.weight.copy_(torch.stack([torch.zeros(weights.numel()), weights.flatten()]))
    return Subject(
        nn.Sequential(nn.Flatten(), dense), SHAPE, ("a", "b"), preprocess=lambda pixels: pixels.float()
    )


def slow_gradient(subject: Subject, pixels: Tensor, label: int) -> Tensor:
    """∂ cross-entropy / ∂ pixels of one image, through preprocessing written out."""
    shift, scale = (torch.tensor(values).view(2, 1, 1) for values in (PREPROCESS.shift, PREPROCESS.scale))
    leaf = pixels.clone().requires_grad_()
    logits = subject.model.eval()(((leaf - shift) / scale)[None])
    F.cross_entropy(logits, torch.tensor([label])).backward()
    subject.model.zero_grad()
    assert leaf.grad is not None
    return leaf.grad


def probabilities(subject: Subject, pixels: Tensor) -> Tensor:
    shift, scale = (torch.tensor(values).view(2, 1, 1) for values in (PREPROCESS.shift, PREPROCESS.scale))
    with torch.no_grad():
        found: Tensor = subject.model.eval()((pixels - shift) / scale).softmax(1)
    return found


def refuse_wrong(subject: Subject, found: Adversarial, images: Tensor) -> None:
    """What holds of every attack on pixels."""
    assert torch.equal(found.images, images.float())
    assert found.images.dtype == found.changed.dtype == torch.float32
    assert float(found.changed.min()) >= 0
    assert float(found.changed.max()) <= 255
    norms = [float((new - old).abs().max()) for new, old in zip(found.changed, found.images, strict=True)]
    lengths = [
        float((new - old).square().sum().sqrt()) for new, old in zip(found.changed, found.images, strict=True)
    ]
    torch.testing.assert_close(found.linf, torch.tensor(norms))
    torch.testing.assert_close(found.l2, torch.tensor(lengths))
    assert max(norms if found.norm == "linf" else lengths) <= found.eps * (1 + 1e-5) + 1e-4
    torch.testing.assert_close(found.before, probabilities(subject, found.images), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.after, probabilities(subject, found.changed), atol=1e-5, rtol=1e-4)
    hit = [
        (int(row.argmax()) == int(number)) == found.targeted
        for row, number in zip(found.after, found.classes, strict=True)
    ]
    assert found.success.tolist() == hit
    assert found.unit == "pixel values"


@pytest.mark.parametrize("eps", [0.0, 0.5, 7.0, 300.0])
@pytest.mark.parametrize("toward", [None, [1, 2, 0, 2]])
def test_fgsm_is_its_formula(subject: Subject, images: Tensor, eps: float, toward: list[int] | None) -> None:
    labels = [0, 1, 2, 0]
    found = fgsm(subject, images, eps, labels, toward=toward)
    refuse_wrong(subject, found, images)
    sign = 1 if toward is None else -1
    for number, image in enumerate(images.float()):
        slope = slow_gradient(subject, image, (toward or labels)[number])
        wanted = (image + sign * eps * slope.sign()).clamp(0, 255)
        torch.testing.assert_close(found.changed[number], wanted)
    if eps == 0:
        assert torch.equal(found.changed, found.images)
        assert torch.equal(found.success, found.already)


def test_fgsm_in_length(subject: Subject, images: Tensor) -> None:
    found = fgsm(subject, images, 40.0, [0, 1, 2, 0], norm="l2")
    refuse_wrong(subject, found, images)
    for number, image in enumerate(images.float()):
        slope = slow_gradient(subject, image, [0, 1, 2, 0][number])
        wanted = (image + 40.0 * slope / slope.norm()).clamp(0, 255)
        torch.testing.assert_close(found.changed[number], wanted, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_follows_its_formula_step_by_step(subject: Subject, images: Tensor, norm: Any) -> None:
    labels, eps, step, steps = [0, 1, 2, 0], (9.0 if norm == "linf" else 50.0), 4.0, 4
    found = pgd(subject, images, eps, labels, norm=norm, step=step, steps=steps, start="image")
    refuse_wrong(subject, found, images)
    for number, image in enumerate(images.float()):
        x, label = image, labels[number]
        visited = [x]
        for _ in range(steps):
            slope = slow_gradient(subject, x, label)
            change = x + step * (slope.sign() if norm == "linf" else slope / slope.norm()) - image
            if norm == "linf":
                change = change.clamp(-eps, eps)
            elif change.norm() > eps:
                change = eps * change / change.norm()
            x = (image + change).clamp(0, 255)
            visited.append(x)
        leads = []
        for one in visited:
            row = probabilities(subject, one[None])[0].double().log()
            leads.append(float(max(row[other] for other in range(3) if other != label) - row[label]))
        best = max(range(len(leads)), key=leads.__getitem__)
        torch.testing.assert_close(found.changed[number], visited[best], atol=1e-2, rtol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("toward", [None, "b"])
def test_pgd_stays_in_the_ball_and_beats_fgsm(
    subject: Subject, images: Tensor, norm: Any, toward: str | None
) -> None:
    eps = 12.0 if norm == "linf" else 60.0
    labels = probabilities(subject, images.float()).argmax(1)
    strong = pgd(subject, images, eps, labels, toward=toward, norm=norm, restarts=2)
    refuse_wrong(subject, strong, images)
    weak = fgsm(subject, images, eps, labels, toward=toward, norm=norm)
    goal = Goal(strong.classes, strong.targeted)
    gains = [goal.margin(one.after.double().log()) for one in (strong, weak)]
    assert bool((gains[0] >= gains[1] - 1e-4).all())
    assert bool((gains[0] > goal.margin(strong.before.double().log())).all())


def test_a_linear_model_is_moved_by_the_dual_norm() -> None:
    """The most that w · δ can be: eps · ‖w‖₁ for L∞, eps · ‖w‖₂ for L2, if no pixel meets its end."""
    weights = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3)) / 100
    subject, images = linear(weights), torch.full((1, *SHAPE), 128, dtype=torch.uint8)
    clean = float((weights * 128).sum())
    cases: list[tuple[Norm, float, Tensor]] = [
        ("linf", 10.0, weights.abs().sum()),
        ("l2", 60.0, weights.norm()),
    ]
    for norm, eps, length in cases:
        direction = weights.sign() if norm == "linf" else weights / weights.norm()
        for found in (
            fgsm(subject, images, eps, 0, norm=norm),
            pgd(subject, images, eps, 0, norm=norm, start="image", steps=5),
        ):
            odds = float((found.after[0, 1].double() / found.after[0, 0].double()).log())
            assert odds == pytest.approx(clean + eps * float(length), rel=1e-3, abs=1e-3)
            torch.testing.assert_close(found.changed[0], 128 + eps * direction, atol=0.02, rtol=1e-4)


def test_a_net_that_is_sure_is_attacked_all_the_same() -> None:
    """Where p rounds to 1, the cross-entropy of float32 has no gradient; the attack has."""
    weights = torch.full(SHAPE, 1.0)
    subject, images = linear(weights), torch.full((1, *SHAPE), 200, dtype=torch.uint8)
    assert float(subject.predict(images)[0, 1]) == 1.0
    for attack in (fgsm, pgd):
        found = attack(subject, images, 20.0, "b")
        torch.testing.assert_close(found.changed, torch.full((1, *SHAPE), 180.0))
        assert not found.notes


def test_the_seed_is_the_gradient_of_the_cross_entropy() -> None:
    logits = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 3, 2, 1, 1])
    (slope,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), logits)
    own = logits.detach().softmax(1).gather(1, labels[:, None])
    torch.testing.assert_close(Goal(labels).seed(logits.detach()) * (1 - own), slope)
    torch.testing.assert_close(Goal(labels, towards=True).seed(logits.detach()) * (1 - own), -slope)


def test_without_labels_the_predicted_class_is_left(subject: Subject, images: Tensor) -> None:
    taken = probabilities(subject, images.float()).argmax(1)
    found = fgsm(subject, images, 3.0)
    assert torch.equal(found.classes, taken)
    assert torch.equal(found.changed, fgsm(subject, images, 3.0, taken).changed)
    assert not found.already.any()
    names = [("a", "b", "c")[number] for number in taken]
    assert torch.equal(found.changed, fgsm(subject, images, 3.0, names).changed)


@pytest.mark.parametrize("attack", [fgsm, pgd])
def test_batches_give_what_single_images_give(
    subject: Subject, images: Tensor, attack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {} if attack is fgsm else {"steps": 3}
    whole = attack(subject, images, 6.0, [0, 1, 2, 0], **steps)
    for number in range(4):
        alone = attack(subject, images[number : number + 1], 6.0, [[0, 1, 2, 0][number]], **steps)
        torch.testing.assert_close(alone.changed[0], whole.changed[number], atol=1e-3, rtol=1e-5)
    monkeypatch.setattr("cutaway.look.adversarial.AT_ONCE", 3)
    told: list[Progress] = []
    with listening(told.append):
        parts = attack(subject, images, 6.0, [0, 1, 2, 0], **steps)
    torch.testing.assert_close(parts.changed, whole.changed, atol=1e-3, rtol=1e-5)
    assert (told[0].total, [one.done for one in told]) == (4, [0, 3, 4])


def test_whole_pixels_stay_in_the_ball(subject: Subject, images: Tensor) -> None:
    for norm, eps in (("linf", 5.5), ("l2", 30.0)):
        found = pgd(subject, images, eps, [0, 1, 2, 0], norm=norm, whole=True, steps=4)  # type: ignore[arg-type]
        refuse_wrong(subject, found, images)
        assert torch.equal(found.changed, found.changed.round())
        assert float(found.linf.min()) >= 1


def test_inputs_are_changed_in_their_own_unit(subject: Subject, images: Tensor) -> None:
    inputs = subject.inputs(images).requires_grad_()
    free = fgsm(subject, inputs, 0.25, [0, 1, 2, 0])
    assert free.unit == "input values"
    assert float((free.change.abs() - 0.25).abs().max()) < 1e-5
    assert inputs.grad is None
    low, high = (float(end) for end in inputs.detach().aminmax())
    held = pgd(subject, inputs, 0.25, [0, 1, 2, 0], limits=(low, high), steps=4)
    assert low <= float(held.changed.min())
    assert float(held.changed.max()) <= high
    double = fgsm(subject, inputs.detach().double(), 0.25, [0, 1, 2, 0])
    torch.testing.assert_close(double.changed, free.changed)


def test_predictions_of_mirrored_means_are_attacked() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    pixels = torch.randint(256, (3, *SHAPE)).to(torch.uint8)
    found = fgsm(Subject(model, SHAPE, mirror=True), pixels, 4.0, [0, 1, 2])
    mirrored = Subject(model, SHAPE, mirror=True)
    torch.testing.assert_close(found.before, mirrored.predict(pixels))
    # Whatever is mirrored changes as the image does, mirrored.
    again = fgsm(mirrored, pixels.flip(3), 4.0, [0, 1, 2])
    torch.testing.assert_close(again.changed.flip(3), found.changed)


def test_a_dead_net_is_told() -> None:
    dense = nn.Linear(72, 2)
    model = nn.Sequential(nn.Flatten(), nn.Threshold(1e9, 0.0), dense)
    subject = Subject(model, SHAPE)
    pixels = torch.full((1, *SHAPE), 7, dtype=torch.uint8)
    for attack in (fgsm, pgd):
        found = attack(subject, pixels, 8.0)
        assert "gradient of image 0 is zero everywhere" in found.notes[0]
        assert torch.equal(found.changed, found.images)
        assert not found.success.any()


def numpy_way(pixels: Tensor) -> Tensor:
    return torch.from_numpy(pixels.numpy() / 255).float()


def scaled_bytes_only(pixels: Tensor) -> Tensor:
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels * 1.0


@pytest.mark.parametrize(
    ("preprocess", "told"),
    [
        (numpy_way, "its preprocessing has no gradient"),
        (lambda pixels: pixels.float().detach(), "its preprocessing has no gradient"),
        (lambda pixels: (pixels.float() / 10).round(), "its preprocessing has no gradient"),
        (lambda pixels: (pixels > 9).float(), "its preprocessing has no gradient"),
        (scaled_bytes_only, "other inputs for pixels as floats than as bytes"),
    ],
)
def test_preprocessing_without_gradient_is_refused(
    subject: Subject, images: Tensor, preprocess: Any, told: str
) -> None:
    other = Subject(subject.model, SHAPE, preprocess=preprocess)
    for attack in (fgsm, pgd):
        with pytest.raises(ConfigError, match=told) as error:
            attack(other, images, 4.0)
        assert "subject.inputs(images)" in str(error.value)
    assert fgsm(other, other.inputs(images), 0.1).success.shape == (4,)


def test_preprocessing_that_takes_each_images_mean_has_a_gradient(subject: Subject, images: Tensor) -> None:
    def centred(pixels: Tensor) -> Tensor:
        values = pixels.float()
        return (values - values.mean((1, 2, 3), keepdim=True)) / 64

    found = fgsm(Subject(subject.model, SHAPE, preprocess=centred), images, 4.0)
    assert float(found.linf.min()) == 4.0


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        ({"eps": -1.0}, ConfigError, "eps should be 0 or more, not -1"),
        ({"eps": float("nan")}, ConfigError, "eps should be 0 or more"),
        ({"norm": "l1"}, ConfigError, 'not "l1"'),
        ({"labels": [0, 1]}, ConfigError, "labels has 2 classes for 4 images"),
        ({"labels": torch.tensor([0])}, ConfigError, "labels has 1 classes for 4 images"),
        ({"toward": [0]}, ConfigError, "toward has 1 classes"),
        ({"labels": 3}, NotFoundError, "no class 3"),
        ({"toward": "d"}, NotFoundError, 'no class "d"'),
        ({"limits": (5.0, 5.0)}, ConfigError, "limits should be"),
        ({"limits": (0.0, 1000.0)}, ConfigError, "within 0 to 255"),
        ({"limits": (100.0, 110.0)}, ConfigError, "outside the limits 100 to 110"),
        ({"steps": 0}, ConfigError, "steps and restarts"),
        ({"restarts": 0}, ConfigError, "steps and restarts"),
        ({"step": 0.0}, ConfigError, "step should be above 0"),
        ({"start": "black"}, ConfigError, "start should be"),
    ],
)
def test_bad_arguments_are_refused(
    subject: Subject, images: Tensor, wrong: dict[str, Any], error: type[CutawayError], told: str
) -> None:
    with pytest.raises(error, match=told):
        pgd(subject, images, **{"eps": 4.0, **wrong})
    if not {"steps", "restarts", "step", "start"} & set(wrong):
        with pytest.raises(error, match=told):
            fgsm(subject, images, **{"eps": 4.0, **wrong})


def test_bad_images_and_models_are_refused(subject: Subject, images: Tensor) -> None:
    with pytest.raises(DataError, match="no images"):
        fgsm(subject, images[:0], 4.0)
    with pytest.raises(ConfigError, match="images should be"):
        fgsm(subject, images[:, :1], 4.0)
    with pytest.raises(DataError, match="NaN"):
        fgsm(subject, torch.full((1, *SHAPE), torch.nan), 4.0)
    with pytest.raises(ConfigError, match="float inputs"):
        fgsm(subject, subject.inputs(images), 4.0, whole=True)

    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach().flatten(1)[:, :3] + torch.zeros(3)

    with pytest.raises(ConfigError, match="can't be differentiated"):
        fgsm(Subject(Cut(), SHAPE), images, 4.0)
    single = Subject(nn.Sequential(nn.Flatten(), nn.Linear(72, 1)), SHAPE)
    with pytest.raises(ConfigError, match="two classes or more"):
        fgsm(single, images, 4.0)
    nameless = Subject(subject.model, SHAPE)
    with pytest.raises(NotFoundError, match="no class 3"):
        fgsm(nameless, images, 4.0, 3)


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_other_floats_work(images: Tensor, kind: torch.dtype) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3))
    wanted = fgsm(Subject(model, SHAPE), images, 9.0, 0)
    found = fgsm(Subject(model.to(kind), SHAPE), images, 9.0, 0)
    assert found.changed.dtype == torch.float32
    assert float((found.changed != wanted.changed).float().mean()) < 0.05
    torch.testing.assert_close(found.after, wanted.after, atol=2e-2, rtol=0)


def test_no_trace_is_left_also_after_an_error(subject: Subject, images: Tensor) -> None:
    model = subject.model.train()
    next(model.parameters()).requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    asking = [one.requires_grad for one in model.parameters()]
    kept, state = images.clone(), torch.get_rng_state()
    pgd(subject, images, 4.0, steps=3)
    with pytest.raises(NotFoundError):
        pgd(subject, images, 4.0, 3)
    with torch.inference_mode():
        fgsm(subject, images, 4.0)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, kept)
    assert [one.requires_grad for one in model.parameters()] == asking
    assert all(one.grad is None for one in model.parameters())
    assert all(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    next(model.parameters()).requires_grad_(True)


def test_steps_from_tiny_gradients_have_their_length() -> None:
    gradient = torch.tensor([1e-38, 0.0, -3e-38, 0.0]).view(1, 1, 2, 2)
    step = Ball(1.0, "l2").steepest(gradient)
    torch.testing.assert_close(step, torch.tensor([0.1, 0.0, -0.3, 0.0]).view(1, 1, 2, 2) * 10**0.5)
    assert not Ball(1.0, "l2").steepest(torch.zeros(1, 1, 2, 2)).any()


def test_random_changes_fill_the_ball() -> None:
    generator = torch.Generator().manual_seed(0)
    shape = torch.Size((4000, 1, 1, 3))
    box = Ball(2.0).random(shape, generator)
    assert float(linf(box).max()) <= 2
    assert float(box.std()) == pytest.approx(2 / 3**0.5, rel=0.02)
    ball = Ball(2.0, "l2").random(shape, generator)
    assert float(l2(ball).max()) <= 2 + 1e-6
    # In three dimensions half of the volume lies within eps · 2^(−1/3).
    assert float((l2(ball) < 2 * 0.5 ** (1 / 3)).double().mean()) == pytest.approx(0.5, abs=0.04)
    noise = Ball(2.0, "l2").noise(shape, generator)
    torch.testing.assert_close(l2(noise), torch.full((4000,), 2.0, dtype=torch.float64), atol=1e-5, rtol=0)
    assert set(Ball(2.0).noise(shape, generator).unique().tolist()) == {-2.0, 2.0}

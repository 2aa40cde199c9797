"""Occlusion against loops over windows and places, and against Captum."""

from __future__ import annotations

import importlib
from math import ceil
from typing import Any

import pytest
import torch
from captum.attr import Occlusion
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, CutawayError, DataError, NotFoundError
from cutaway.look.backward import Target, difference, each
from cutaway.look.backward.baseline import baselines
from cutaway.look.backward.occlusion import occlusion, windows
from cutaway.progress import Progress, listening


class Net(nn.Module):
    """Two convolutions in place, as models of others are; counts its images."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.deep = nn.Conv2d(4, 5, 3)
        self.dense = nn.Linear(5 * 2 * 3, 3)
        self.register_buffer("seen", torch.zeros(()))
        self.passes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.passes.append(len(x))
        self.seen += len(x)
        x = self.pool(self.act(self.conv(x)))
        return self.dense(torch.relu_(self.deep(x)).flatten(1))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def model() -> Net:
    torch.manual_seed(3)
    return Net()


@pytest.fixture(scope="module")
def subject(model: Net) -> Subject:
    return Subject(model, (2, 8, 10), classes=("a", "b", "c"))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(256, (3, 2, 8, 10), generator=torch.Generator().manual_seed(5)).to(torch.uint8)


def logits(subject: Subject, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = subject.model.eval()(inputs.clone())
    return found.double()


def slowly(
    subject: Subject,
    image: Tensor,
    weights: Tensor,
    *,
    size: tuple[int, int],
    stride: tuple[int, int],
    ground: Tensor,
) -> Tensor:
    """Place by place: the mean drop over all windows that cover it."""
    height, width = image.shape[1:]
    plain = subject.inputs(image[None])
    clean = logits(subject, plain)[0] @ weights
    tops = [n * stride[0] for n in range(ceil((height - size[0]) / stride[0]) + 1)]
    lefts = [n * stride[1] for n in range(ceil((width - size[1]) / stride[1]) + 1)]
    corners = [(top, left) for top in tops for left in lefts]
    covered = plain.repeat(len(corners), 1, 1, 1)
    for number, (top, left) in enumerate(corners):
        for row in range(top, min(top + size[0], height)):
            for column in range(left, min(left + size[1], width)):
                covered[number, :, row, column] = ground[:, row, column]
    drops = dict(zip(corners, clean - logits(subject, covered) @ weights, strict=True))
    found = torch.zeros(height, width, dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            over = [
                drop
                for (top, left), drop in drops.items()
                if top <= row < top + size[0] and left <= column < left + size[1]
            ]
            found[row, column] = torch.stack(over).mean()
    return found


@pytest.mark.parametrize(
    ("size", "stride", "baseline"),
    [
        ((2, 2), (2, 2), "black"),
        ((3, 4), (2, 3), "mean"),
        ((8, 10), (1, 1), "blur"),
        ((5, 1), (5, 1), "random"),
    ],
)
def test_every_place_equals_the_slow_reference(
    subject: Subject, images: Tensor, size: tuple[int, int], stride: tuple[int, int], baseline: Any
) -> None:
    found = occlusion(
        subject,
        images,
        [difference(subject, "a", "c"), "b"],
        size=size,
        stride=stride,
        baseline=baseline,
        seed=2,
    )
    assert found.maps.shape == (2, 3, 1, 8, 10)
    assert found.maps.dtype == torch.float32
    assert found.targets == ("a − c", "b")
    assert found.images is images
    grounds = baselines(subject, images, baseline, 2).expand(3, 2, 8, 10)
    for row, weights in enumerate([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]):
        chosen = torch.tensor(weights, dtype=torch.float64)
        clean = logits(subject, subject.inputs(images)) @ chosen
        torch.testing.assert_close(found.values[row].double(), clean, atol=1e-6, rtol=1e-5)
        for number, image in enumerate(images):
            wanted = slowly(subject, image, chosen, size=size, stride=stride, ground=grounds[number])
            torch.testing.assert_close(
                found.maps[row, number, 0].double(), wanted, atol=1e-6, rtol=1e-5, msg=f"{row} {number}"
            )


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (4, 1), (3, 3)])
def test_equals_captum(subject: Subject, images: Tensor, size: int, stride: int) -> None:
    found = occlusion(subject, images, 1, size=size, stride=stride)
    wanted = Occlusion(subject.model.eval()).attribute(
        subject.inputs(images),
        target=1,
        sliding_window_shapes=(2, size, size),
        strides=(2, stride, stride),
        baselines=0.0,
    )
    assert float(wanted.abs().max()) > 1e-3
    torch.testing.assert_close(
        found.maps[0].expand(-1, 2, -1, -1).double(), wanted.double(), atol=1e-5, rtol=1e-5
    )


def test_the_predicted_class_is_that_of_the_whole_image(subject: Subject, images: Tensor) -> None:
    classes = logits(subject, subject.inputs(images)).argmax(1).tolist()
    found = occlusion(subject, images, size=3, stride=1)
    torch.testing.assert_close(found.maps, occlusion(subject, images, each(classes), size=3, stride=1).maps)
    others = [(number + 1) % 3 for number in classes]
    assert not torch.allclose(found.maps, occlusion(subject, images, each(others), size=3, stride=1).maps)


def test_a_unit_of_a_layer_falls_at_its_own_place(model: Net, subject: Subject, images: Tensor) -> None:
    target = Target({2: 1.0}, "conv")
    found = occlusion(subject, images[:1], target, size=1, stride=1)
    with torch.no_grad():
        maps = nn.functional.conv2d(
            subject.inputs(images[:1]), model.conv.weight, model.conv.bias, padding=1
        )[0, 2]
    row, column = divmod(int(maps.argmax()), 10)
    assert float(found.values) == pytest.approx(float(maps.max()), rel=1e-5)
    # Only what lies in the unit's 3×3 field can change it at that place.
    field = torch.zeros(8, 10, dtype=torch.bool)
    field[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
    # Other numbers of images in a pass round otherwise.
    assert float(found.maps[0, 0, 0][~field].abs().max()) < 1e-6
    assert bool((found.maps[0, 0, 0][field] != 0).all())
    weights = model.conv.weight.detach()[2]
    drop = (weights[:, 1, 1] * subject.inputs(images[:1])[0, :, row, column]).sum()
    assert float(found.maps[0, 0, 0, row, column]) == pytest.approx(float(drop), rel=1e-4)


def test_a_linear_model_gives_its_weights_times_the_change() -> None:
    dense = nn.Linear(12, 2)
    model = nn.Sequential(nn.Flatten(), dense)
    values = torch.rand(2, 1, 3, 4)
    found = occlusion(Subject(model, (1, 3, 4)), values, 0, size=1, baseline=torch.full((1, 1, 3, 4), 0.25))
    wanted = dense.weight.detach()[0].view(1, 3, 4) * (values[:, 0] - 0.25)
    torch.testing.assert_close(found.maps[0, :, 0], wanted, atol=1e-6, rtol=1e-5)


def test_batches_give_what_single_images_give(
    subject: Subject, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = torch.rand(3, 2, 8, 10)
    targets = [each([0, 2, 1]), Target({1: 1.0}, "deep")]
    whole = occlusion(subject, images, targets, size=3, stride=2, baseline=own)
    for number in range(3):
        alone = occlusion(
            subject,
            images[number : number + 1],
            [target.part(number, 1) for target in targets],
            size=3,
            stride=2,
            baseline=own[number : number + 1],
        )
        torch.testing.assert_close(alone.maps[:, 0], whole.maps[:, number], atol=1e-6, rtol=1e-5)
    monkeypatch.setattr(importlib.import_module("cutaway.look.backward.occlusion"), "AT_ONCE", 7)
    again = occlusion(subject, images, targets, size=3, stride=2, baseline=own)
    torch.testing.assert_close(again.maps, whole.maps, atol=1e-6, rtol=1e-5)


def test_windows_run_in_few_passes_and_tell_how_far_they_are(
    model: Net, subject: Subject, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where patches can't be: see test_covering.py for those."""
    module = importlib.import_module("cutaway.look.backward.occlusion")
    monkeypatch.setattr(module, "covering", lambda *_: None)
    told: list[Progress] = []
    model.passes.clear()
    with listening(told.append):
        occlusion(subject, images, 0, size=2)
    assert model.passes == [3, 32, 28]  # the images, then 3 times 20 windows
    assert told[0].total == 60
    assert (told[-1].done, told[-1].unit) == (60, "windows")


def test_patches_tell_how_far_they_are_too(model: Net, subject: Subject, images: Tensor) -> None:
    told: list[Progress] = []
    model.passes.clear()
    with listening(told.append):
        occlusion(subject, images, 0, size=2)
    assert model.passes == [3, 1]  # the images, and one that is traced
    assert told[0].total == 60
    assert (told[-1].done, told[-1].unit) == (60, "windows")


def test_a_model_of_a_fixed_batch_is_given_that_many() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.dense(x.view(2, 16))  # type: ignore[no-any-return]

    torch.manual_seed(0)
    model = Two()
    images = torch.rand(3, 1, 4, 4)
    fixed = occlusion(Subject(model, (1, 4, 4), batch=2), images, 1, size=2)
    free = occlusion(Subject(nn.Sequential(nn.Flatten(), model.dense), (1, 4, 4)), images, 1, size=2)
    torch.testing.assert_close(fixed.maps, free.maps)


def test_channels_that_preprocessing_moves_to_the_end() -> None:
    torch.manual_seed(0)
    dense = nn.Linear(2 * 4 * 5, 3)

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = dense

        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[1:] == (4, 5, 2)
            return self.dense(x.permute(0, 3, 1, 2).flatten(1))  # type: ignore[no-any-return]

    images = torch.randint(256, (2, 2, 4, 5)).to(torch.uint8)
    last = Subject(Last(), (2, 4, 5), preprocess=lambda pixels: pixels.permute(0, 2, 3, 1).float() / 255)
    first = Subject(nn.Sequential(nn.Flatten(), dense), (2, 4, 5))
    for baseline in ("black", "mean"):
        found, wanted = (occlusion(one, images, 0, size=2, baseline=baseline).maps for one in (last, first))
        torch.testing.assert_close(found, wanted)


def test_a_seventh_of_the_image_when_nobody_says() -> None:
    assert len(windows((28, 28))) == 49
    assert windows((28, 28))[8] == (slice(4, 8), slice(4, 8))
    assert len(windows((3, 3))) == 9
    assert windows((5, 4), 3, 2) == [
        (slice(0, 3), slice(0, 3)),
        (slice(0, 3), slice(2, 4)),
        (slice(2, 5), slice(0, 3)),
        (slice(2, 5), slice(2, 4)),
    ]


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        ({"size": 9}, ConfigError, "size should be 1 to the image's 8×10, not 9×9"),
        ({"size": 0}, ConfigError, "size should be 1"),
        ({"size": 2, "stride": 0}, ConfigError, "stride should be 1 to the window's 2×2, not 0×0"),
        ({"size": 2, "stride": (2, 3)}, ConfigError, "uncovered"),
        ({"targets": 3}, NotFoundError, "There is no class 3"),
        ({"targets": "d"}, NotFoundError, 'no class "d"'),
        ({"targets": Target({0: 1.0}, "conv9")}, NotFoundError, "conv9"),
        ({"targets": Target({9: 1.0}, "conv")}, NotFoundError, "unit 9 in conv"),
        ({"targets": each([0, 1])}, ConfigError, "2 labels for 3 images"),
        ({"baseline": "white"}, ConfigError, "white"),
    ],
)
def test_bad_arguments_are_refused(
    subject: Subject, images: Tensor, wrong: dict[str, Any], error: type[CutawayError], told: str
) -> None:
    with pytest.raises(error, match=told):
        occlusion(subject, images, **wrong)


def test_bad_images_are_refused(subject: Subject, images: Tensor) -> None:
    with pytest.raises(DataError, match="no images"):
        occlusion(subject, images[:0])
    with pytest.raises(ConfigError, match="images should be N×2×8×10"):
        occlusion(subject, images[:, :1])
    with pytest.raises(DataError, match="NaN"):
        occlusion(subject, torch.full((1, 2, 8, 10), torch.nan))


def test_a_map_of_zeros_is_told() -> None:
    dense = nn.Linear(4, 2)
    nn.init.zeros_(dense.weight)
    found = occlusion(Subject(nn.Sequential(nn.Flatten(), dense), (1, 2, 2)), torch.rand(1, 1, 2, 2), 0)
    assert "zero everywhere" in found.notes[0]


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_other_floats_work(images: Tensor, kind: torch.dtype) -> None:
    torch.manual_seed(3)
    model = Net()
    wanted = occlusion(Subject(model, (2, 8, 10)), images, 0, size=4).maps
    found = occlusion(Subject(model.to(kind), (2, 8, 10)), images, 0, size=4).maps
    torch.testing.assert_close(found, wanted, atol=2e-2 if kind == torch.bfloat16 else 1e-6, rtol=1e-4)


def test_no_trace_is_left_also_after_an_error(images: Tensor) -> None:
    model = Net().train()
    model.act.eval()
    subject = Subject(model, (2, 8, 10))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    values = torch.rand(3, 2, 8, 10, requires_grad=True)
    kept = values.detach().clone()
    state = torch.get_rng_state()
    occlusion(subject, values, [0, Target({0: 1.0}, "conv")], size=4)
    with pytest.raises(NotFoundError):
        occlusion(subject, values, 7, size=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(values, kept)
    assert values.grad is None
    assert [module.training for module in model.modules()] == [True, True, False, True, True, True]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert all(one.requires_grad and one.grad is None for one in model.parameters())

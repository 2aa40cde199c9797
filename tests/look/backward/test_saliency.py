"""Gradients against finite differences, in every style of writing a net."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, DataError
from cutaway.look.backward import (
    Attribution,
    Target,
    deconvnet,
    deeplift,
    difference,
    each,
    gradient_input,
    guided,
    integrated_gradients,
    saliency,
    smoothgrad,
)
from cutaway.look.backward.target import Asked

from .styles import IMAGES, PIXELS, SHAPE, STYLES, Modules, Plain, Style, close, subject_of, values

Method = Callable[..., Attribution]

METHODS: dict[str, Method] = {
    "saliency": saliency,
    "gradient × input": gradient_input,
    "smoothgrad": lambda *args: smoothgrad(*args, samples=4),
    "integrated gradients": lambda *args: integrated_gradients(*args, steps=8),
    "guided": guided,
    "deconvnet": deconvnet,
    "deeplift": deeplift,
}


def differences(model: nn.Module, image: Tensor, unit: int, step: float = 1e-5) -> Tensor:
    """∂ logit / ∂ x by a small step there and back for each value, ``(C, H, W)``."""
    found = torch.zeros_like(image)
    with torch.no_grad():
        for place in range(image.numel()):
            moved = torch.zeros_like(image).view(-1)
            moved[place] = step
            ends = torch.stack([image + moved.view_as(image), image - moved.view_as(image)])
            up, down = model(ends)[:, unit]
            found.view(-1)[place] = (up - down) / (2 * step)
    return found


class Careful(nn.Module):
    """A model of float64, whose logits Cutaway takes as float32: nothing is lost before."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", STYLES)
def test_a_gradient_is_what_finite_differences_are(kind: type[Style]) -> None:
    model = Careful(Modules()).eval()
    found = saliency(subject_of(kind()), IMAGES[:1], [0, 2])
    for place, unit in enumerate((0, 2)):
        close(found.maps[place, 0], differences(model, IMAGES[0].double(), unit), 1e-5)


def test_times_the_input_is_times_what_the_model_is_given() -> None:
    subject = Subject(Plain(), SHAPE, preprocess=lambda pixels: pixels.float() / 50 - 2)
    gradient, found = saliency(subject, PIXELS, 1), gradient_input(subject, PIXELS, 1)
    close(found.maps, gradient.maps * (PIXELS.float() / 50 - 2))
    assert found.images is PIXELS
    assert (found.method, found.subject, found.targets) == ("gradient × input", "model", ("1",))


def test_smoothgrad_is_the_mean_of_the_gradients_of_noisy_copies() -> None:
    model = Plain().eval()
    found = smoothgrad(subject_of(model), IMAGES, 1, samples=40, noise=0.2, seed=9)
    for image, got in zip(IMAGES, found.maps[0], strict=True):
        draws = torch.Generator().manual_seed(9)
        total = torch.zeros_like(image)
        for _ in range(40):
            noise = torch.randn(SHAPE, generator=draws) * 0.2 * (image.max() - image.min())
            copy = (image + noise).requires_grad_()
            total += torch.autograd.grad(model(copy[None])[0, 1], copy)[0]
        close(got, total / 40, 1e-5)


def test_smoothgrad_without_noise_is_the_gradient() -> None:
    close(
        smoothgrad(subject_of(Plain()), IMAGES, noise=0).maps,
        saliency(subject_of(Plain()), IMAGES).maps,
        1e-5,
    )


@pytest.mark.parametrize("options", [{"samples": 0}, {"noise": -0.1}])
def test_smoothgrad_without_copies_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="samples should be 1 or more and noise 0 or more"):
        smoothgrad(subject_of(Plain()), IMAGES, **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", STYLES[1:])
def test_a_net_has_the_same_maps_however_it_is_written(method: str, kind: type[Style]) -> None:
    targets = [1, Target({0: 1.0, 2: -1.0}), Target({1: 1.0}, "max_pool2d@1")]
    wanted = METHODS[method](subject_of(Modules()), IMAGES, targets)
    found = METHODS[method](subject_of(kind()), IMAGES, targets)
    assert (wanted.maps[0] != 0).any()
    for place in range(len(targets)):
        close(found.maps[place], wanted.maps[place])
        torch.testing.assert_close(found.values[place], wanted.values[place], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_its_images_and_many_targets_are_each_of_them(method: str) -> None:
    subject, apply = subject_of(Modules()), METHODS[method]
    targets = [0, "c", difference(subject, "a", "b"), each([2, 0, 1, 1, 0]), Target({2: 1.0}, "second")]
    whole = apply(subject, IMAGES, targets)
    assert whole.maps.shape == (5, *IMAGES.shape)
    assert whole.targets == ("a", "c", "a − b", "label", "second unit 2")
    for number in range(len(IMAGES)):
        alone = [*targets[:3], each([[2, 0, 1, 1, 0][number]]), targets[4]]
        one = apply(subject, IMAGES[number : number + 1], alone)
        close(one.maps[:, 0], whole.maps[:, number])
        torch.testing.assert_close(one.values[:, 0], whole.values[:, number])
    for place, target in enumerate(targets):
        close(apply(subject, IMAGES, target).maps[0], whole.maps[place])


@pytest.mark.parametrize("method", METHODS)
def test_many_images_are_looked_at_a_few_at_a_time(method: str) -> None:
    many = IMAGES.repeat(8, 1, 1, 1)
    labels = each([number % 3 for number in range(40)])
    found = METHODS[method](subject_of(Plain()), many, labels).maps[0]
    for number in (0, 31, 32, 39):
        alone = METHODS[method](subject_of(Plain()), many[number : number + 1], number % 3).maps[0, 0]
        torch.testing.assert_close(found[number], alone, atol=1e-8, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_fixed_batch_is_filled_up_with_the_same_result(method: str) -> None:
    class Three(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.view(3, *SHAPE))

    fixed = Subject(Three().eval(), SHAPE, batch=3)
    for target in (1, Target({3: 1.0}, "layers.3", "sum")):
        found = METHODS[method](fixed, IMAGES, target)
        close(found.maps, METHODS[method](subject_of(Plain()), IMAGES, target).maps)


@pytest.mark.parametrize("method", METHODS)
def test_channels_may_come_last(method: str) -> None:
    class Last(Plain):
        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[1:] == (8, 8, 2)
            return super().forward(x.permute(0, 3, 1, 2))

    last = Subject(Last(), SHAPE, preprocess=lambda pixels: (pixels.float() / 255).permute(0, 2, 3, 1))
    found = METHODS[method](last, PIXELS, 1)
    wanted = METHODS[method](subject_of(Plain()), PIXELS, 1)
    if method == "smoothgrad":  # the noise is drawn in the order of the model's own axes
        assert found.maps.shape == wanted.maps.shape
    else:
        close(found.maps, wanted.maps)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("kind", "alike"), [(torch.float64, 0.999999), (torch.bfloat16, 0.95), (torch.float16, 0.99)]
)
def test_other_types_of_numbers(method: str, kind: torch.dtype, alike: float) -> None:
    wanted = METHODS[method](subject_of(Plain()), IMAGES, 1)
    found = METHODS[method](subject_of(Plain().to(kind)), IMAGES, 1)
    assert found.maps.dtype == found.values.dtype == torch.float32
    assert torch.cosine_similarity(found.maps.flatten(), wanted.maps.flatten(), 0) > alike
    images = METHODS[method](subject_of(Plain()), IMAGES.to(kind), 1)
    close(images.maps, METHODS[method](subject_of(Plain()), IMAGES.to(kind).float(), 1).maps)


@pytest.mark.parametrize("method", METHODS)
def test_inputs_that_ask_for_a_gradient_are_left_alone(method: str) -> None:
    images = IMAGES.clone().requires_grad_()
    found = METHODS[method](subject_of(Plain()), images, 1)
    assert not found.maps.requires_grad
    assert not found.values.requires_grad
    assert images.grad is None
    assert images.requires_grad
    close(found.maps, METHODS[method](subject_of(Plain()), IMAGES, 1).maps)


@pytest.mark.parametrize("method", METHODS)
def test_switched_off_gradients_change_nothing(method: str) -> None:
    subject = subject_of(Plain())
    wanted = METHODS[method](subject, PIXELS, 1).maps
    for switch in (torch.no_grad, torch.inference_mode):
        with switch():
            for images in (PIXELS, PIXELS + 0):
                assert torch.equal(METHODS[method](subject, images, 1).maps, wanted)
            assert not torch.is_grad_enabled()


@pytest.mark.parametrize("method", METHODS)
def test_numbers_that_are_none_are_named(method: str) -> None:
    images = IMAGES.repeat(8, 1, 1, 1)
    images[37, 0, 2, 2] = torch.nan
    with pytest.raises(DataError, match="Image 37 has NaN or infinite inputs"):
        METHODS[method](subject_of(Plain()), images, 1)
    model = Plain()
    values(model.layers[3]).data[0, 0, 0, 0] = torch.inf
    with pytest.raises(DataError, match=r"net: layers\.3\.weight has 1 value that is NaN or infinite"):
        METHODS[method](subject_of(model), IMAGES, 1)


@pytest.mark.parametrize("method", METHODS)
def test_wrong_shapes_and_no_images_are_refused(method: str) -> None:
    with pytest.raises(ConfigError, match="N×2×8×8, not 5×2×8×7"):
        METHODS[method](subject_of(Plain()), IMAGES[..., :7])
    with pytest.raises(DataError, match="no images to look at"):
        METHODS[method](subject_of(Plain()), IMAGES[:0])


def test_strength_and_sum_are_over_the_channels() -> None:
    found = saliency(subject_of(Plain()), IMAGES, [0, 1])
    for target in range(2):
        for number in range(5):
            one, other = found.maps[target, number]
            assert torch.equal(found.summed[target, number], one + other)
            assert torch.equal(found.strength[target, number], torch.maximum(one.abs(), other.abs()))


def test_a_model_that_changes_values_in_place_is_differentiated_though_pytorch_can_not() -> None:
    """What a sigmoid needs in order to go back is overwritten behind it."""

    class Overwriting(Plain):
        def forward(self, x: Tensor) -> Tensor:
            found = super().forward(x).sigmoid_()
            found *= 3
            return found

    class Keeping(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).sigmoid() * 3

    with pytest.raises(RuntimeError, match="inplace"):
        Overwriting()(IMAGES).sum().backward()
    found = saliency(subject_of(Overwriting()), IMAGES, [0, 1])
    close(found.maps, saliency(subject_of(Keeping()), IMAGES, [0, 1]).maps)


def test_many_targets_of_a_small_image_give_what_each_gives_alone() -> None:
    """Copies of the images go through together once; with nine targets some are idle in the end."""
    model = Plain()
    targets: list[Asked] = [0, 1, 2, 2, 1, 0, 1, 2, Target({0: 1.0, 2: -0.5})]
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    together = saliency(subject_of(model), IMAGES[:2], targets)
    assert sizes == [16]
    for place, target in enumerate(targets):
        alone = saliency(subject_of(model), IMAGES[:2], target)
        torch.testing.assert_close(together.maps[place], alone.maps[0], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(together.values[place], alone.values[0])

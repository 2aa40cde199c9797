"""A subject: any model, applied as it should be and left as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.nets.subject import Subject, evaluating


class Unsettled(nn.Module):
    """A model that gives something else in training: dropout, batch statistics, and a frozen part."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.dense = nn.Linear(4 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.drop(self.norm(self.conv(x))).flatten(1))  # type: ignore[no-any-return]


@pytest.fixture
def model() -> Unsettled:
    torch.manual_seed(0)
    return Unsettled()


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (7, 2, 6, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_probabilities_are_those_of_the_model_in_evaluation_mode(model: Unsettled, images: Tensor) -> None:
    found = Subject(model, (2, 6, 6)).predict(images)
    model.eval()
    with torch.no_grad():
        logits = model(images / 255).double()
    wanted = logits.exp() / logits.exp().sum(1, keepdim=True)
    torch.testing.assert_close(found, wanted.float())
    assert found.dtype == torch.float32


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_the_size_of_the_chunks_makes_no_difference(model: Unsettled, images: Tensor, chunk: int) -> None:
    subject = Subject(model, (2, 6, 6))
    torch.testing.assert_close(subject.predict(images, chunk), subject.predict(images, 2))


def test_with_mirror_images_logits_are_averaged(model: Unsettled, images: Tensor) -> None:
    """An image and its mirror image then have the same probabilities, which are those of the mean logits."""
    subject = Subject(model, tuple(images.shape[1:]), mirror=True)  # type: ignore[arg-type]
    found = subject.predict(images)
    assert torch.allclose(subject.predict(images.flip(3)), found, atol=1e-6)
    with torch.no_grad():
        plain, mirrored = (
            Subject(model, tuple(images.shape[1:])).predict(x).log()  # type: ignore[arg-type]
            for x in (images, images.flip(3))
        )
    assert torch.allclose(((plain + mirrored) / 2).softmax(1), found, atol=1e-6)
    assert not torch.allclose(plain.exp(), found, atol=1e-4)


def test_predicting_leaves_modes_and_statistics_as_they_were(model: Unsettled, images: Tensor) -> None:
    model.norm.eval()  # frozen, as in fine-tuning
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(123)
    random = torch.random.get_rng_state()
    Subject(model, (2, 6, 6)).predict(images)
    assert [module.training for module in model.modules()] == modes
    assert True in modes
    assert False in modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_modes_come_back_after_an_error_too(model: Unsettled) -> None:
    model.norm.eval()
    modes = [module.training for module in model.modules()]
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(RuntimeError), evaluating(model):
        model(torch.zeros(1, 3, 6, 6))  # a channel too many
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(ConfigError):
        Subject(model, (2, 6, 6)).predict(torch.zeros(1, 2, 5, 5))
    assert [module.training for module in model.modules()] == modes


def test_pixels_are_preprocessed_and_floats_are_taken_as_inputs(model: Unsettled, images: Tensor) -> None:
    subject = Subject(model, (2, 6, 6), preprocess=lambda pixels: pixels.float() - 100)
    torch.testing.assert_close(subject.inputs(images), images.float() - 100)
    assert torch.equal(subject.inputs(images.float()), images.float())


def test_without_a_preprocessing_pixels_are_divided_by_255(model: Unsettled, images: Tensor) -> None:
    inputs = Subject(model, (2, 6, 6)).inputs(images)
    assert inputs.dtype == torch.float32
    torch.testing.assert_close(inputs, images / 255)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((7, 1, 6, 6), "7×1×6×6"),
        ((7, 2, 6, 5), "7×2×6×5"),
        ((2, 6, 6), "2×6×6"),
        ((1, 7, 2, 6, 6), "1×7×2×6×6"),
    ],
)
def test_images_of_another_shape_are_refused(model: Unsettled, shape: tuple[int, ...], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Subject(model, (2, 6, 6)).predict(torch.zeros(shape))
    assert str(caught.value).startswith(f"images should be N×2×6×6, not {told}. ")
    assert "cutaway.look.fitted(subject, images)" in str(caught.value)


def test_a_model_without_weights_is_on_the_cpu() -> None:
    subject = Subject(nn.Flatten(), (1, 1, 3))
    assert subject.device == torch.device("cpu")
    found = subject.predict(torch.tensor([[[[0.0, 0.0, 0.0]]]]))
    torch.testing.assert_close(found, torch.full((1, 3), 1 / 3))

"""Views of an image, by hand: moved, mirrored, and the mean of what is made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.nets.views import Views


def moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """An image moved, its border reflected about the outermost pixels; pixel by pixel."""
    height, width = image.shape
    found = np.empty_like(image)
    for row in range(height):
        for column in range(width):
            y, x = abs(row - down), abs(column - right)
            y, x = min(y, 2 * (height - 1) - y), min(x, 2 * (width - 1) - x)
            found[row, column] = image[y, x]
    return found


@pytest.mark.parametrize(("mirror", "shift"), [(False, 0), (True, 0), (False, 1), (True, 2)])
def test_views_are_those_made_pixel_by_pixel(mirror: bool, shift: int) -> None:
    inputs = torch.rand(2, 1, 6, 5)
    image = inputs[1, 0].numpy()
    wanted = [(1.0, image)]
    if shift:
        wanted = [
            (0.5, image),
            (0.25, moved(image, -shift, -shift)),
            (0.25, moved(image, shift, shift)),
        ]
    if mirror:
        wanted = [(w / 2, one) for w, view in wanted for one in (view, view[:, ::-1])]
    found = list(Views(mirror, shift).of(inputs))
    assert len(found) == len(wanted) == Views(mirror, shift).count
    assert sum(weight for weight, _ in found) == 1
    for (weight, view), (share, pixels) in zip(found, wanted, strict=True):
        assert weight == share
        np.testing.assert_array_equal(view[1, 0].numpy(), pixels)


def test_an_image_smaller_than_the_shift_is_moved_as_far_as_it_has_pixels() -> None:
    inputs = torch.arange(4.0).reshape(1, 1, 2, 2)
    views = [view for _, view in Views(shift=2).of(inputs)]
    assert [view[0, 0].tolist() for view in views[1:]] == [[[3, 3], [3, 3]], [[0, 0], [0, 0]]]


def test_the_mean_is_of_what_is_made_of_each_view() -> None:
    inputs = torch.rand(3, 1, 4, 4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2), nn.Tanh())
    views = Views(mirror=True, shift=1)
    wanted = torch.stack([weight * model(view) for weight, view in views.of(inputs)]).sum(0)
    torch.testing.assert_close(views.mean(model, inputs), wanted)


class _Loud(nn.Module):
    """Counts its passes."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(16, 3)
        self.passes = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.passes += 1
        found: Tensor = self.dense(inputs.flatten(1))
        return found


def test_a_subject_judges_its_views_together_and_plain_the_image_alone() -> None:
    subject = Subject(_Loud().eval(), (1, 4, 4), mirror=True, shifted=1)
    inputs = torch.rand(2, 1, 4, 4)
    with torch.no_grad():
        both = subject.logits(inputs)
        assert subject.model.passes == 6
        alone = subject.plain.logits(inputs)
        assert subject.model.passes == 7
        wanted = [weight * subject.plain.logits(view) for weight, view in Views(True, 1).of(inputs)]
    torch.testing.assert_close(both, torch.stack(wanted).sum(0))
    assert not torch.allclose(both, alone)

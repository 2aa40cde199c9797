"""The stream: every image once, in order, and what is wrong is named."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look.stream import chosen_layers, images_at_once, stream
from cutaway.progress import Progress, listening


class Odd(nn.Module):
    """A layer that gives a row an image, one that gives a single number, and one that mixes the images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.total = nn.Identity()
        self.mixed = nn.Identity()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        self.total(x.sum())
        self.mixed(x.flatten(0, 1))
        return self.drop(x)  # type: ignore[no-any-return]


@pytest.fixture
def subject() -> Subject:
    torch.manual_seed(0)
    return Subject(Odd().train(), (1, 6, 6), name="odd")


def pixels(count: int) -> Tensor:
    noise = torch.randint(256, (count, 1, 6, 6), generator=torch.Generator().manual_seed(1))
    return noise.to(torch.uint8)


@pytest.mark.parametrize("at_once", [None, 1, 4, 100])
def test_every_image_is_seen_once_and_in_order(subject: Subject, at_once: int | None) -> None:
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []

    def see(given: Tensor, found: Mapping[str, Tensor]) -> None:
        assert len(given) == len(found["conv"]) <= (at_once or 128)
        inputs.append(given)
        outputs.append(found["conv"])

    told: list[Progress] = []
    with listening(told.append):
        stream(subject, pixels(10), ["conv"], see, at_once)
    torch.testing.assert_close(torch.cat(inputs), pixels(10) / 255)
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(outputs), subject.model.get_submodule("conv")(pixels(10) / 255))
    assert (told[-1].done, told[-1].total) == (10, 10)


def test_as_many_images_run_at_once_as_their_outputs_have_room(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert images_at_once(subject, pixels(3), ["conv"]) == 128
    # An image takes 36 values and its maps 2·16, of 4 bytes each.
    monkeypatch.setattr("cutaway.look.stream._ROOM", 5 * 4 * (36 + 32))
    assert images_at_once(subject, pixels(3), ["conv"]) == 5
    monkeypatch.setattr("cutaway.look.stream._ROOM", 1)
    assert images_at_once(subject, pixels(3), ["conv"]) == 1


def test_layers_are_those_asked_for_once_each_and_all_otherwise(subject: Subject) -> None:
    assert chosen_layers(subject, ["mixed", "conv", "mixed"]) == ["mixed", "conv"]
    assert "conv" in chosen_layers(subject, None)
    with pytest.raises(ConfigError, match="odd has no layers"):
        chosen_layers(subject, [])


def test_what_is_wrong_is_named(subject: Subject) -> None:
    def see(inputs: Tensor, outputs: Mapping[str, Tensor]) -> None:
        raise AssertionError("nothing should be shown")

    with pytest.raises(DataError, match="no images"):
        stream(subject, pixels(0), ["conv"], see)
    with pytest.raises(NotFoundError, match='no layer "cnov"'):
        stream(subject, pixels(2), ["cnov"], see)
    with pytest.raises(ConfigError, match="total gives a single number for 2 images"):
        stream(subject, pixels(2), ["total"], see)
    with pytest.raises(ConfigError, match="mixed gives 4×4×4 for 2 images"):
        stream(subject, pixels(2), ["conv", "mixed"], see)
    bad = pixels(3) / 255
    bad[1, 0, 2, 2] = torch.nan
    with pytest.raises(DataError, match="Image 1 has NaN"):
        stream(subject, bad, ["conv"], see)

"""What people bring that can't work is told in the same words by every look; what can work does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import cell, feature_maps, fitted, probe, rank, retention, similarity

SHAPE = (2, 6, 6)


def pixels(count: int = 24, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    noise = torch.randint(256, (count, *shape), generator=torch.Generator().manual_seed(1))
    return noise.to(torch.uint8)


def split(images: Tensor) -> Split:
    return Split(images, torch.arange(len(images)) % 3, torch.arange(len(images)))


class Net(nn.Module):
    """Dropout that would be noticed, in training mode, and more than one output."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv2d(2, 4, 3)
        self.act = nn.ReLU()
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = self.drop(self.act(self.conv(x)))
        return {"logits": self.head(found.flatten(1)), "maps": found}


class Fixed(Net):
    """Takes 5 images at a time and nothing else."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return super().forward(x.view(5, 2, 6, 6))


def subject(model: nn.Module | None = None, batch: int | None = None) -> Subject:
    return Subject(model or Net().train(), SHAPE, ("a", "b", "c"), output="logits", batch=batch, name="net")


Look = Callable[[Subject, Tensor, Sequence[str] | None], Any]

LOOKS: dict[str, Look] = {
    "maps": lambda s, x, layers: feature_maps(s, x, layers).layers,
    "cell": lambda s, x, layers: cell(s, x[:1], layers[0] if layers else "head", 1).value,
    "probe": lambda s, x, layers: {
        name: torch.tensor([reading.wrong, reading.strength])
        for name, reading in probe(s, split(x), split(x), layers, random=s).layers.items()
    },
    "similarity": lambda s, x, layers: similarity(s, x, layers).values,
    "rank": lambda s, x, layers: {n: f.eigenvalues for n, f in rank(s, x, layers).layers.items()},
    "retention": lambda s, x, layers: retention(s, split(x), split(x), layers, random=s).reconstructions,
}
ALL = pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)


def same(one: Any, other: Any) -> None:
    torch.testing.assert_close(
        dict(one) if isinstance(one, dict) else one, dict(other) if isinstance(other, dict) else other
    )


@ALL
def test_a_layer_that_is_not_there_is_answered_with_the_nearest(look: Look) -> None:
    with pytest.raises(NotFoundError, match=r'no layer "haed"\..*Did you mean "head"'):
        look(subject(), pixels(), ["haed"])


@ALL
@pytest.mark.parametrize("shape", [(2, 7, 6), (2, 6, 5), (3, 6, 6), (1, 6, 6)])
def test_another_size_or_number_of_channels_is_refused_with_both_shapes(
    look: Look, shape: tuple[int, int, int]
) -> None:
    told = rf"N×2×6×6, not \d+×{shape[0]}×{shape[1]}×{shape[2]}\. .*fitted\(subject, images\)"
    with pytest.raises(ConfigError, match=told):
        look(subject(), pixels(shape=shape), ["conv"])


@ALL
def test_images_are_resized_where_that_is_asked_for(look: Look) -> None:
    one = replace(subject(), input_shape=(2, 6, 6))
    look(one, fitted(one, pixels(shape=(2, 9, 5))), ["head"])


@ALL
def test_weights_that_are_no_numbers_are_named(look: Look) -> None:
    model = Net()
    model.head.weight.data[1, 2] = torch.nan
    with pytest.raises(DataError, match=r"net: head\.weight has 1 value that is NaN or infinite"):
        look(subject(model), pixels(), ["head"])


@ALL
def test_images_that_are_no_numbers_are_named(look: Look) -> None:
    images = pixels().float()
    images[0, 1, 3, 3] = torch.inf
    with pytest.raises(DataError, match="Image 0 has NaN or infinite inputs"):
        look(subject(), images, ["head"])


@ALL
def test_an_empty_dataset_is_told(look: Look) -> None:
    with pytest.raises(
        (DataError, ConfigError), match=r"no images|no training images|too few|one image|0 images"
    ):
        look(subject(), pixels(0), ["head"])


@ALL
def test_a_model_in_training_mode_is_looked_at_without_its_dropout_and_left_training(look: Look) -> None:
    busy, calm = subject(Net().train()), subject(Net().eval())
    same(look(busy, pixels(), ["head"]), look(calm, pixels(), ["head"]))
    assert all(module.training for module in busy.model.modules())


@ALL
def test_a_model_that_gives_a_dict_is_looked_into_by_its_layers(look: Look) -> None:
    look(replace(subject(), output=None), pixels(), ["conv"])


@ALL
def test_a_fixed_batch_is_told_or_filled_with_the_same_result(look: Look) -> None:
    with pytest.raises(ConfigError, match=r"can't be applied to 1 image: .*Subject\(…, batch=N\)"):
        look(subject(Fixed()), pixels(), None)
    fixed, free = subject(Fixed(), batch=5), subject(Net())
    same(look(fixed, pixels(), ["conv"]), look(free, pixels(), ["conv"]))


def test_a_fixed_batch_smaller_than_what_similarity_needs_is_gathered() -> None:
    class Two(Net):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return super().forward(x.view(2, 2, 6, 6))

    one, free, other = subject(Two(), batch=2), subject(Net()), subject(Fixed(), batch=5)
    for batch in (8, 9, 128):
        wanted = similarity(free, pixels(), ["conv", "head"], batch=batch)
        for side in (None, free, other):
            found = similarity(
                one, pixels(), ["conv", "head"], other=side, other_layers=["conv", "head"], batch=batch
            )
            assert (found.images, found.batch) == (wanted.images, wanted.batch)
            torch.testing.assert_close(found.values, wanted.values, atol=1e-6, rtol=1e-6)


@ALL
def test_no_layers_at_all_are_refused(look: Look) -> None:
    if look is LOOKS["cell"]:
        pytest.skip("a cell is of one layer")
    with pytest.raises(ConfigError, match="no layers to look at"):
        look(subject(), pixels(), [])


@pytest.mark.parametrize("count", [0, -5])
def test_counts_below_one_are_refused(count: int) -> None:
    train = split(pixels())
    for look, names in (
        (probe, ("images", "test_images", "features")),
        (retention, ("images", "test_images", "features", "examples")),
    ):
        for name in names:
            options: dict[str, Any] = {name: count}
            with pytest.raises(ConfigError, match=rf"should be 1 or more, not {count}\."):
                look(subject(), train, train, ["head"], **options)


def test_more_than_there_is_is_all_that_there_is() -> None:
    train = split(pixels())
    found = probe(
        subject(), train, train, ["head"], random=subject(), images=999, test_images=999, features=9**9
    )
    assert (found.train_images, found.pixels.images, found.pixels.features) == (24, 24, 72)
    kept = retention(subject(), train, train, ["head"], random=subject(), images=999, examples=999)
    assert (kept.train_images, len(kept.originals)) == (24, 24)


def test_what_weights_alone_come_to_is_no_layer() -> None:
    """A value with one row for one image may have one for a thousand too."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1, 2, 1, 1))
            self.conv = nn.Conv2d(2, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x * torch.add(self.scale, 1))  # type: ignore[no-any-return]

    found = feature_maps(Subject(Scaled(), SHAPE), pixels(4)).layers
    assert list(found) == ["mul@1", "conv"]

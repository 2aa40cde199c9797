"""Decoders, the generator, walks and caricatures."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError
from cutaway.look import Target, untrained
from cutaway.look.optimising import (
    Blur,
    Clip,
    Decoders,
    Generator,
    Recipe,
    caricature,
    decode,
    generate,
    invert,
    maximize,
    train_decoders,
    train_generator,
    walk_images,
    walk_units,
)
from cutaway.look.optimising.generator import GeneratorCanvas
from cutaway.look.optimising.upconv import UpConv

from .optimised_nets import SHAPE, digits, small_subject


def split(count: int, seed: int = 0) -> Split:
    return Split(digits(count, seed), torch.zeros(count, dtype=torch.int64), torch.arange(count))


@pytest.fixture(scope="module")
def decoders() -> Decoders:
    return train_decoders(small_subject(), split(200), ["relu1", "dense"], steps=60)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return train_generator(split(200), steps=150, code=6)


@pytest.mark.parametrize("given", [(5,), (3, 2, 2), (4, 7, 9), (6, 20, 20)])
@pytest.mark.parametrize("image", [(1, 8, 8), (3, 13, 18)])
def test_an_up_convolutional_net_gives_images_whatever_it_is_given(
    given: tuple[int, ...], image: tuple[int, int, int]
) -> None:
    net = UpConv(given, image, 4).eval()
    found = net(torch.randn(2, *given))
    assert found.shape == (2, *image)
    assert 0 <= float(found.detach().min()) <= float(found.detach().max()) <= 1


def test_decoders_learn_and_early_layers_give_more_back(decoders: Decoders) -> None:
    for losses in decoders.losses.values():
        assert losses.shape == (60,)
        assert float(losses[-5:].mean()) < 0.5 * float(losses[:3].mean())
    found = decode(small_subject(), decoders, digits(10, seed=9))
    assert float(found.pixel_error["relu1"].mean()) < float(found.pixel_error["dense"].mean())
    error = [
        math.sqrt(
            sum((a - b) ** 2 for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)) / 64
        )
        for x, y in zip(found.layers["dense"], digits(10, seed=9) / 255, strict=True)
    ]
    assert found.pixel_error["dense"].tolist() == pytest.approx(error, rel=1e-4)


def test_decoders_are_the_same_for_the_same_seed_and_can_be_stopped() -> None:
    first, again = (train_decoders(small_subject(), split(50), ["dense"], steps=3, seed=4) for _ in range(2))
    assert torch.equal(first.losses["dense"], again.losses["dense"])
    stopped = train_decoders(
        small_subject(),
        split(50),
        ["dense"],
        steps=9,
        watch=lambda step, errors: step == 2 and "dense" in errors,
    )
    assert stopped.stopped
    assert len(stopped.losses["dense"]) == 2


def test_decoders_of_other_weights_are_refused(decoders: Decoders) -> None:
    trained_further = small_subject()
    with torch.no_grad():
        trained_further.model.get_parameter("dense.bias")[0] += 1e-3
    with pytest.raises(ConfigError, match="trained for other weights than model has"):
        decode(trained_further, decoders, digits(2))
    assert decoders.fit(small_subject())
    assert not decoders.fit(trained_further)


def test_decoders_of_another_net_are_refused(decoders: Decoders) -> None:
    wider = small_subject()
    wider.model.conv1 = torch.nn.Conv2d(1, 5, 3, padding=1)
    wider.model.conv2 = torch.nn.Conv2d(5, 6, 3, stride=2)
    with pytest.raises(ConfigError, match="trained for other weights"):
        decode(wider, decoders, digits(2))


def test_a_generator_learns_and_gives_what_looks_like_its_images(generator: Generator) -> None:
    assert float(generator.losses[-10:].mean()) < 0.5 * float(generator.losses[:5].mean())
    canvas = GeneratorCanvas(generator, 2, seed=3)
    assert canvas.images().shape == (2, *SHAPE)
    canvas.values += 100.0
    canvas.settle()
    assert float(canvas.values.norm(dim=1).max()) == pytest.approx(1.5 * math.sqrt(6), rel=1e-4)


def test_maximising_a_code_stays_nearer_to_the_images_than_maximising_pixels(generator: Generator) -> None:
    subject, images = small_subject(), digits(200).float().flatten(1) / 255

    def nearest(found: torch.Tensor) -> float:
        return float(torch.cdist(found.flatten(1), images).min(1).values.mean())

    targets = [0, 1, 2]
    coded = maximize(subject, targets, Recipe(30, 0.1), generator=generator, dataset=split(200))
    assert coded.generated
    free = maximize(subject, targets, Recipe(30, 0.1))
    assert nearest(coded.images) < 0.7 * nearest(free.images)
    assert bool((coded.reached > coded.values[0]).all())


def test_a_generator_shows_images_of_codes_drawn_at_random(generator: Generator) -> None:
    found = generate(generator, 5, seed=2, subject="net")
    assert found.images.shape == (5, *SHAPE)
    assert found.losses.equal(generator.losses)
    assert found.images.equal(generate(generator, 5, seed=2).images)
    assert not found.images.equal(generate(generator, 5, seed=3).images)
    assert not found.images[0].equal(found.images[1])
    with pytest.raises(ConfigError, match="count should be 1 or more, not 0"):
        generate(generator, 0)


def test_few_are_shown_of_images_whose_errors_are_all_told(decoders: Decoders) -> None:
    found = decode(small_subject(), decoders, digits(3))
    shown = found.only(2)
    assert [len(images) for images in (shown.originals, *shown.layers.values())] == [2, 2, 2]
    assert shown.layers["dense"].equal(found.layers["dense"][:2])
    assert shown.pixel_error["dense"].equal(found.pixel_error["dense"])
    assert shown.originals.untyped_storage().nbytes() == 2 * found.originals[0].numel() * 4
    with pytest.raises(ConfigError, match="shown should be 1 or more, not -1"):
        found.only(-1)


def test_a_generator_of_other_data_is_refused(generator: Generator) -> None:
    with pytest.raises(ConfigError, match="trained on other data"):
        generator.refuse_other(split(200, seed=1))
    generator.refuse_other(split(200))


def test_a_generator_of_other_sizes_is_refused(generator: Generator) -> None:
    subject = Subject(small_subject().model, (1, 9, 9))
    with pytest.raises(ConfigError, match="another size"):
        maximize(subject, 0, generator=generator)


def test_no_images_no_training() -> None:
    with pytest.raises(DataError, match="no images"):
        train_generator(split(0))
    with pytest.raises(DataError, match="no images"):
        train_decoders(small_subject(), split(0))
    with pytest.raises(ConfigError, match="steps should be"):
        train_decoders(small_subject(), split(2), steps=0)


def test_a_walk_between_units_begins_and_ends_at_them() -> None:
    subject, recipe = small_subject(), Recipe(6)
    ends = [Target({unit: 1.0}, "conv2", "sum") for unit in (1, 4)]
    found = walk_units(subject, ends[0], ends[1], recipe, images=3)
    alone = maximize(subject, ends, recipe)
    torch.testing.assert_close(found.images[[0, 2]], alone.images, atol=1e-5, rtol=1e-4)
    assert found.amounts.tolist() == [0.0, 0.5, 1.0]
    middle = maximize(subject, Target({1: 0.5, 4: 0.5}, "conv2", "sum"), recipe)
    torch.testing.assert_close(found.images[1], middle.images[0], atol=1e-5, rtol=1e-4)


def test_a_walk_between_images_passes_through_the_features_between() -> None:
    subject, images = small_subject(), digits(2, seed=5)
    found = walk_images(
        subject, images[:1], images[1:], "conv1", Recipe(150, 0.1, schedule="cosine"), images=3
    )
    with torch.no_grad():
        ends = subject.model[0]((images.float() - 100) / 60)  # type: ignore[index]
        features = subject.model[0]((found.images * 255 - 100) / 60)  # type: ignore[index]
    for place, wanted in enumerate((ends[0], ends.mean(0), ends[1])):
        assert float((features[place] - wanted).norm() / wanted.norm()) < 0.02


def test_what_walks_refuse() -> None:
    subject = small_subject()
    with pytest.raises(ConfigError, match="two units of one layer"):
        walk_units(subject, 0, Target({1: 1.0}, "conv2"))
    with pytest.raises(ConfigError, match="2 images or more"):
        walk_units(subject, 0, 1, images=1)


def test_a_caricature_has_more_of_the_same() -> None:
    subject, images = small_subject(), digits(3, seed=6) // 4 + 96  # black and white could go no further
    found = caricature(subject, images, ["relu1"], Recipe(15, 0.02))
    with torch.no_grad():
        before = subject.model[:2]((images.float() - 100) / 60).flatten(1)  # type: ignore[index]
        behind = subject.model[:2]((found.layers["relu1"] * 255 - 100) / 60).flatten(1)  # type: ignore[index]
    torch.testing.assert_close(found.strength["relu1"], behind.norm(dim=1) / before.norm(dim=1))
    torch.testing.assert_close(found.likeness["relu1"], torch.cosine_similarity(before, behind))
    assert bool(((before * behind).sum(1) > (before * before).sum(1)).all())
    with pytest.raises(ConfigError, match="power of 0 or more"):
        caricature(subject, images, ["relu1"], power=-1.0)


def test_a_generator_s_images_of_one_target_are_kept_unlike(generator: Generator) -> None:
    found = maximize(small_subject(), [0, 1], Recipe(6, 0.1), diverse=3, generator=generator)
    assert len(found.images) == 6
    for first in (0, 3):
        one, two, three = found.images[first : first + 3]
        assert min(float((a - b).abs().max()) for a, b in ((one, two), (two, three), (one, three))) > 0.05
    # Each target begins with the same codes, and one alone with that which it always had.
    alone = maximize(small_subject(), 0, Recipe(6, 0.1), generator=generator)
    single = maximize(small_subject(), [0, 1], Recipe(6, 0.1), generator=generator)
    torch.testing.assert_close(alone.images[0], single.images[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("prior", [Blur(0.7), Clip()])
def test_priors_that_change_pixels_do_not_go_with_a_generator(generator: Generator, prior: Any) -> None:
    with pytest.raises(ConfigError, match="do not go with a generator"):
        maximize(small_subject(), 0, Recipe(4, priors=[prior]), generator=generator)


def test_decode_takes_pixels_alone(decoders: Decoders) -> None:
    with pytest.raises(ConfigError, match="takes uint8 pixels"):
        decode(small_subject(), decoders, torch.rand(2, *SHAPE))


def test_a_model_of_a_fixed_batch_is_inverted_and_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    free = small_subject()

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = free.model

        def forward(self, x: Tensor) -> Tensor:
            if len(x) != 2:
                raise RuntimeError("two images at once")
            found: Tensor = self.inner(x)
            return found

    fixed = Subject(Fixed(), free.input_shape, preprocess=free.preprocess, batch=2)
    images = digits(5)
    recipe = Recipe(5, 0.1)
    wanted, found = (
        invert(one, images, [name], recipe) for one, name in ((free, "conv2"), (fixed, "inner.conv2"))
    )
    torch.testing.assert_close(found.layers["inner.conv2"], wanted.layers["conv2"], atol=1e-4, rtol=1e-3)
    walks = [
        walk_images(one, images[:1], images[1:2], name, recipe, images=5)
        for one, name in ((free, "conv2"), (fixed, "inner.conv2"))
    ]
    torch.testing.assert_close(walks[1].images, walks[0].images, atol=1e-4, rtol=1e-3)


def test_whoever_is_in_inference_mode_gets_the_same(generator: Generator) -> None:
    del generator
    subject, images = small_subject(), split(60)
    made: list[tuple[Any, ...]] = []
    for inference in (False, True):
        with torch.inference_mode(inference):
            made.append(
                (
                    train_decoders(subject, images, ["conv1"], steps=2).losses["conv1"],
                    train_generator(images, steps=2).losses,
                    maximize(subject, 0, Recipe(3)).images,
                    *dict(untrained(subject).model.named_parameters()).values(),
                )
            )
    for plain, inside in zip(*made, strict=True):
        assert torch.equal(plain, inside)
        assert not inside.is_inference()

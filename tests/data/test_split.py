"""The splits: exact counts, every class in proportion, no image twice, the same choice each time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway.config import DataConfig
from cutaway.data import Images, Split, divide
from cutaway.data.images import make_split
from cutaway.errors import ConfigError, NotFoundError

COUNTS = (400, 250, 150, 97, 3)


def _images(counts: Sequence[int] = COUNTS, seed: int = 0) -> Images:
    """A dataset with so many images of each class, shuffled; a pixel says where an image stood."""
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    numbers = torch.arange(len(labels))
    pixels = torch.stack((numbers // 256, numbers % 256), 1).to(torch.uint8).view(-1, 1, 1, 2)
    train = make_split(pixels, labels, len(counts), "here")
    test = make_split(pixels[:5], labels[:5], len(counts), "here")
    return Images(tuple(map(str, range(len(counts)))), {"train": train, "test": test})


def _where(split: Split) -> set[int]:
    """Where a split's images stood, read from their pixels, against their index and label."""
    numbers = (split.pixels[:, 0, 0, 0].long() * 256 + split.pixels[:, 0, 0, 1]).tolist()
    assert numbers == split.index.tolist()
    assert len(set(numbers)) == len(split)
    return set(numbers)


CASES = [(0, 0), (90, 0), (0.1, 0), (0.0005, 0), (0.5, 100), (899, 0), (1, 1), (45, 5), (0, 7)]


@pytest.mark.parametrize(("validation", "train_images"), CASES)
def test_counts_are_exact_and_no_image_is_in_two_splits(validation: float, train_images: int) -> None:
    images = _images()
    found = divide(images, DataConfig(validation=validation, train_images=train_images))
    held_back = round(validation * 900) if validation < 1 else int(validation)
    assert len(found.split("train")) == (train_images or 900 - held_back)
    assert ("validation" in found.splits) == (held_back > 0)
    train = _where(found.split("train"))
    if held_back:
        assert len(found.split("validation")) == held_back
        assert not train & _where(found.split("validation"))
    assert found.split("test") is images.split("test")
    original = images.split("train").labels
    for split in list(found.splits.values())[:-1]:
        assert torch.equal(split.labels, original[split.index])


@pytest.mark.parametrize(
    "fields", [{"validation": 90}, {"validation": 0.1}, {"validation": 0, "train_images": 90}]
)
def test_every_class_gives_its_share(fields: dict[str, float]) -> None:
    found = divide(_images(), DataConfig.model_validate(fields))
    taken = found.split("validation" if fields["validation"] else "train").labels.bincount(minlength=5)
    for count, total in zip(taken.tolist(), COUNTS, strict=True):
        assert abs(count - total / 10) <= 1


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=8),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 99),
)
def test_any_classes_give_their_shares(counts: list[int], share: float, seed: int) -> None:
    total = sum(counts)
    wanted = int(share * total)
    found = divide(_images(counts), DataConfig(validation=wanted, split_seed=seed))
    if not wanted:
        assert "validation" not in found.splits
        return
    assert len(found.split("validation")) == wanted
    taken = found.split("validation").labels.bincount(minlength=len(counts)).tolist()
    # A class is rounded by up to a half; making the total exact moves the threshold a little more.
    slack = 1 + len(counts) / 2 * max(counts) / total
    for count, size in zip(taken, counts, strict=True):
        assert abs(count - size * wanted / total) <= slack


def _chosen(images: Images, **fields: int | float) -> list[int]:
    config = DataConfig.model_validate({"validation": 90, **fields})
    return divide(images, config).split("validation").index.tolist()


def test_the_choice_is_the_seed_s_alone() -> None:
    images = _images()
    assert _chosen(images) == _chosen(images)
    assert _chosen(images, validation=0.1) == _chosen(images)
    assert _chosen(images, train_images=50) == _chosen(images)
    assert _chosen(images, split_seed=1) != _chosen(images)
    torch.manual_seed(123)
    random = torch.random.get_rng_state()
    _chosen(images)
    assert torch.equal(torch.random.get_rng_state(), random)
    torch.rand(5)
    assert _chosen(images) == _chosen(_images())


def test_a_thinned_training_split_is_the_seed_s_too_and_keeps_the_validation_split_apart() -> None:
    config = DataConfig(validation=90, train_images=60)
    first, second = (divide(_images(), config).split("train").index for _ in range(2))
    assert torch.equal(first, second)
    other = divide(_images(), DataConfig(validation=90, train_images=60, split_seed=1)).split("train").index
    assert not torch.equal(first, other)


def test_the_choice_is_spread_over_the_images() -> None:
    """Not the first images of each class, nor the last: of 90 each third has some 30 (σ = 4.5)."""
    thirds = torch.tensor(_chosen(_images())).div(300, rounding_mode="floor").bincount(minlength=3)
    assert int(thirds.min()) > 12


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"validation": 900}, "data.validation takes 900 of 900 training images; leave some to train on."),
        ({"validation": 5000}, "data.validation takes 5,000 of 900 training images; leave some to train on."),
        ({"validation": 0.9999}, "data.validation takes 900 of 900 training images; leave some to train on."),
        ({"validation": 100, "train_images": 801}, "data.train_images is 801, but 800 are left."),
    ],
)
def test_splits_that_can_t_be_made_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        divide(_images(), DataConfig.model_validate(fields))
    assert str(caught.value) == message


def _without_test(counts: Sequence[int] = COUNTS) -> Images:
    images = _images(counts)
    return Images(images.classes, {"train": images.split("train")}, (("a.png", "it is no image"),))


@pytest.mark.parametrize(
    ("test", "validation"), [(0.2, 0.1), (100, 90), (0, 0.1), (0.5, 0), (0, 0), (1, 898)]
)
def test_splits_that_a_source_has_not_are_taken_from_its_training_split(
    test: float, validation: float
) -> None:
    """The test split first; validation is a share of what is left."""
    images = _without_test()
    found = divide(images, DataConfig(test=test, validation=validation))
    tested = int(test) if test >= 1 else round(test * 900)
    validated = int(validation) if validation >= 1 else round(validation * (900 - tested))
    wanted = {"train": 900 - tested - validated, "validation": validated, "test": tested}
    assert {name: len(split) for name, split in found.splits.items()} == {
        name: count for name, count in wanted.items() if count
    }
    assert list(found.splits) == [name for name, count in wanted.items() if count]
    places = [place for split in found.splits.values() for place in _where(split)]
    assert sorted(places) == list(range(900))
    original = images.split("train").labels
    for split in found.splits.values():
        assert torch.equal(split.labels, original[split.index])
        assert split.store is images.split("train").store
    assert found.skipped == images.skipped
    assert found.classes == images.classes


def test_every_class_gives_its_share_for_testing_and_for_validation() -> None:
    found = divide(_without_test(), DataConfig(test=0.2, validation=0.1))
    for name, share in (("test", 0.2), ("validation", 0.08)):
        taken = found.split(name).labels.bincount(minlength=5).tolist()
        for count, total in zip(taken, COUNTS, strict=True):
            assert abs(count - total * share) <= 1.5  # the second choice is of what the first one left


def test_the_test_split_does_not_depend_on_what_else_is_asked_for() -> None:
    base = DataConfig(test=0.2)
    wanted = divide(_without_test(), base).split("test").index
    for fields in ({"validation": 0}, {"validation": 300}, {"train_images": 5}, {"preprocess": "unit"}):
        config = DataConfig.model_validate({"test": 0.2, **fields})
        assert torch.equal(divide(_without_test(), config).split("test").index, wanted)
    other = divide(_without_test(), DataConfig(test=0.2, split_seed=1)).split("test").index
    assert not torch.equal(other, wanted)


def test_the_two_choices_are_not_one() -> None:
    tested = divide(_without_test(), DataConfig(test=90, validation=0)).split("test").index
    validated = divide(_without_test(), DataConfig(test=0, validation=90)).split("validation").index
    assert not torch.equal(tested, validated)


def test_a_source_s_own_splits_are_left_alone() -> None:
    images = _images()
    train, test = images.split("train"), images.split("test")
    config = DataConfig(test=0.2, validation=0.1)
    own = divide(Images(images.classes, {"validation": test, "train": train}), config)
    assert own.split("validation") is test
    assert {name: len(split) for name, split in own.splits.items()} == {
        "train": 720,
        "validation": 5,
        "test": 180,
    }
    both = divide(Images(images.classes, {"test": test, "validation": test, "train": train}), config)
    assert list(both.splits) == ["train", "validation", "test"]
    assert all(both.split(name) is images.split(name) for name in ("train", "test"))
    assert both.split("validation") is test


def test_few_images_of_a_class_stay_to_train_on() -> None:
    found = divide(_without_test((1, 1, 2, 96)), DataConfig(test=0.2, validation=0.1))
    assert found.split("train").labels.unique().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"test": 900}, "data.test takes 900 of 900 training images; leave some to train on."),
        (
            {"test": 800, "validation": 100},
            "data.validation takes 100 of 100 training images; leave some to train on.",
        ),
        ({"test": 800, "validation": 50, "train_images": 51}, "data.train_images is 51, but 50 are left."),
    ],
)
def test_splits_for_testing_that_can_t_be_made_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        divide(_without_test(), DataConfig.model_validate(fields))
    assert str(caught.value) == message


@pytest.mark.parametrize(("share", "wanted"), [(0.5, 405), (0.1, 81), (0.0001, 1), (1, 1), (810, 810)])
def test_the_training_split_is_thinned_to_a_count_or_a_share(share: float, wanted: int) -> None:
    found = divide(_images(), DataConfig(validation=90, train_images=share))
    assert len(found.split("train")) == wanted
    assert not _where(found.split("train")) & _where(found.split("validation"))


def test_an_unknown_split_is_answered_with_the_known_ones() -> None:
    with pytest.raises(NotFoundError) as caught:
        _images().split("tset")
    assert str(caught.value) == 'There is no split "tset". Did you mean "test"? Known: test, train.'

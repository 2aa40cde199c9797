"""Probes: what can be read is read, what is not there is not, and an independent probe agrees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import capture, probe
from cutaway.look.interval import wilson
from cutaway.store import Run


class Readable(nn.Module):
    """The class stands in the first three pixels; layers keep it, mix it, and lose it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.keep = nn.Linear(16, 16)
        self.mix = nn.Linear(16, 24)
        self.lose = nn.Linear(24, 4)
        self.head = nn.Linear(4, 3)
        with torch.no_grad():
            self.keep.weight.copy_(torch.eye(16))
            self.lose.weight.zero_()

    def forward(self, x: Tensor) -> Tensor:
        x = self.keep(x.flatten(1))
        return self.head(self.lose(self.mix(x)))  # type: ignore[no-any-return]


CLASSES = ("a", "b", "c")


def some_split(count: int, seed: int = 0) -> Split:
    """Noise with a bright pixel that tells the class; classes in shares of 2, 1, 1."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(100, (count, 1, 4, 4), generator=generator)
    labels = torch.tensor([0, 0, 1, 2]).repeat(count)[:count]
    pixels[torch.arange(count), 0, 0, labels] = 255
    return Split(pixels.to(torch.uint8), labels, torch.arange(count))


@pytest.fixture
def subject() -> Subject:
    return Subject(Readable().train(), (1, 4, 4), CLASSES, name="readable")


def test_what_can_be_separated_is_read_without_an_error(subject: Subject) -> None:
    found = probe(subject, some_split(200), some_split(100, 1))
    assert list(found.layers) == list(found.random) == ["keep", "mix", "lose", "head"]
    for reading in (found.pixels, found.layers["keep"], found.random["keep"], found.layers["mix"]):
        assert (reading.wrong, reading.error, reading.images) == (0, 0, 100)
        assert reading.interval == wilson(0, 100)
    assert (found.pixels.features, found.layers["mix"].features) == (16, 24)
    assert found.train_images == 200
    assert found.subject == "readable"


def test_from_a_constant_layer_no_more_is_read_than_by_chance(subject: Subject) -> None:
    found = probe(subject, some_split(200), some_split(100, 1))
    for layer in ("lose", "head"):
        assert found.layers[layer].error == found.chance == 0.5
        assert found.layers[layer].interval == wilson(50, 100)
    # Random weights of the same layers are not zero, so something comes through.
    assert found.random["lose"].error < 0.5


def plain_guesses(train: Tensor, labels: Tensor, test: Tensor, strength: float) -> Tensor:
    """A probe written once more: standardised features, gradient descent in float64."""
    x, y = train.double().numpy(), test.double().numpy()
    mean, deviation = x.mean(0), x.std(0)
    deviation = np.maximum(deviation, 0.1 * np.sqrt((deviation**2).mean()))
    x, y = (x - mean) / deviation, (y - mean) / deviation
    hot = np.eye(3)[labels.numpy()]
    weights, bias = np.zeros((3, x.shape[1])), np.zeros(3)
    step = 1 / (0.5 * np.linalg.eigvalsh(x.T @ x / len(x))[-1] + 0.5 + strength)
    for _ in range(3000):
        logits = x @ weights.T + bias
        shares = np.exp(logits - logits.max(1, keepdims=True))
        wrong = (shares / shares.sum(1, keepdims=True) - hot) / len(x)
        weights, bias = (
            weights - step * (wrong.T @ x + strength * weights),
            bias - step * wrong.sum(0),
        )
    return torch.tensor(y @ weights.T + bias).argmax(1)


def test_its_errors_are_those_of_a_probe_written_once_more() -> None:
    """Blurred classes, so that there are errors to count."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU())
    subject = Subject(model, (1, 4, 4), CLASSES)

    def blurred(seed: int) -> Split:
        split = some_split(240, seed)
        noise = torch.randint(256, split.store.shape, generator=torch.Generator().manual_seed(seed + 50))
        return Split((split.store // 2 + noise.to(torch.uint8) // 2), split.labels, split.index)

    train, test = blurred(4), blurred(5)
    found = probe(subject, train, test, ["1", "2"])
    for layer in ("1", "2"):
        with capture(model, [layer]) as read:
            ours, theirs = (read(subject.inputs(split.pixels))[layer] for split in (train, test))
        guesses = plain_guesses(ours, train.labels, theirs, found.layers[layer].strength)
        wrong = int((guesses != test.labels).sum())
        assert 10 < wrong < 200
        assert abs(found.layers[layer].wrong - wrong) <= 1


def test_the_strength_is_the_one_that_does_best_on_what_was_held_back() -> None:
    """Few images and many features of noise: weak regularisation learns them by heart."""
    generator = torch.Generator().manual_seed(6)
    pixels = torch.randint(256, (60, 1, 20, 20), generator=generator)
    labels = torch.arange(60) % 2
    noise = Split(pixels.to(torch.uint8), labels, torch.arange(60))
    bright = Split((pixels // 4 + 150 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels, torch.arange(60))
    subject = Subject(nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(400, 2)), (1, 20, 20), ("a", "b"))
    assert probe(subject, noise, noise, ["2"]).pixels.strength == 1
    assert probe(subject, bright, bright, ["2"]).pixels.strength < 0.01


def test_random_weights_may_be_given_and_are_made_otherwise(subject: Subject) -> None:
    train, test = some_split(200), some_split(100, 1)
    given = probe(subject, train, test, ["lose"], random=subject)
    assert given.random == given.layers
    one, again, other = (probe(subject, train, test, ["lose"], seed=seed).random for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_images_are_drawn_from_large_splits_in_proportion(subject: Subject) -> None:
    found = probe(subject, some_split(400), some_split(300, 1), ["keep"], images=80, test_images=40)
    assert (found.train_images, found.pixels.images, found.layers["keep"].images) == (80, 40, 40)
    assert found.chance == 0.5


def test_a_wide_layer_is_reduced_to_the_features_asked_for() -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Flatten(), nn.Linear(128, 3))
    found = probe(Subject(model, (1, 4, 4), CLASSES), some_split(60), some_split(20), features=20)
    assert found.layers["0"].features == 8
    assert (found.pixels.features, found.layers["2"].features) == (16, 3)


def test_a_subject_without_class_names_is_probed_by_the_labels(subject: Subject) -> None:
    nameless = Subject(subject.model, (1, 4, 4))
    found = probe(nameless, some_split(100), some_split(50, 1), ["keep"])
    assert found.layers["keep"].wrong == 0


def test_a_class_that_only_the_test_images_have_counts_as_wrong(subject: Subject) -> None:
    train, test = some_split(200), some_split(100, 1)
    train = train.take((train.labels < 2).nonzero().flatten())
    found = probe(subject, train, test, ["keep"])
    assert found.layers["keep"].wrong == int((test.labels == 2).sum())


def test_a_trained_net_reads_better_with_depth(trained: Run) -> None:
    """Two short epochs: of the last layers, what was learnt tells digits apart and random weights do not."""
    data = trained.images()
    found = probe(
        trained.subject(),
        data.split("train"),
        data.split("test"),
        ["conv1", "dense1"],
        images=400,
        test_images=300,
    )
    assert found.layers["dense1"].interval[1] < found.random["dense1"].interval[0]
    assert found.layers["dense1"].error < found.pixels.error


def test_too_few_images_or_classes_are_told(subject: Subject) -> None:
    test = some_split(20, 1)
    none = test.take(torch.arange(0))
    for train, held, told in (
        (none, test, "no training images"),
        (test, none, "no test images"),
        (test.take((test.labels == 0).nonzero().flatten()), test, "of one class"),
        (test.take(torch.tensor([0, 2])), test, "2 training images are too few .* 3 classes; give 6"),
        (test.take(torch.arange(5)), test, "5 training images are too few"),
    ):
        with pytest.raises(DataError, match=told):
            probe(subject, train, held)


def test_bad_layers_images_and_weights_are_told(subject: Subject) -> None:
    train, test = some_split(20), some_split(20, 1)
    with pytest.raises(NotFoundError, match=r'no layer "keeep".*Did you mean "keep"'):
        probe(subject, train, test, ["keeep"])
    with pytest.raises(ConfigError, match="no layers"):
        probe(subject, train, test, [])
    large = Split(torch.zeros(20, 1, 5, 5, dtype=torch.uint8), train.labels, train.index)
    with pytest.raises(ConfigError, match="N×1×4×4"):
        probe(subject, large, test)
    model = subject.model
    assert isinstance(model, Readable)
    model.mix.weight.data[3, 2] = torch.nan
    with pytest.raises(DataError, match=r"mix\.weight"):
        probe(subject, train, test)

"""A Keras 3 model on PyTorch, which nobody here wrote: every look, with no edit and no trace."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, NotFoundError
from cutaway.look import cell, feature_maps, kernels, layers, probe, rank, retention, similarity, untrained

IMAGES = torch.randint(256, (24, 1, 8, 8), generator=torch.Generator().manual_seed(5)).to(torch.uint8)
NAMES = ["stem", "norm", "pool", "deep", "head"]


@pytest.fixture(scope="module")
def keras() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        import keras

        assert os.environ["KERAS_BACKEND"] == keras.backend.backend() == "torch"
        yield keras


def built(keras: Any, data_format: str) -> Subject:
    """A small net, its layers named, weights and statistics of its own."""
    keras.utils.set_random_seed(3)
    form: dict[str, Any] = {"data_format": data_format}
    first = data_format == "channels_first"
    model = keras.Sequential(
        [
            keras.Input((1, 8, 8) if first else (8, 8, 1)),
            keras.layers.Conv2D(4, 3, name="stem", activation="relu", **form),
            keras.layers.BatchNormalization(name="norm", axis=1 if first else -1),
            keras.layers.MaxPooling2D(name="pool", **form),
            keras.layers.Conv2D(5, 3, padding="same", name="deep", **form),
            keras.layers.Flatten(name="flat"),
            keras.layers.Dropout(0.5, name="drop"),
            keras.layers.Dense(3, name="head"),
        ]
    )
    model.get_layer("norm").moving_mean.assign([0.1, -0.2, 0.3, 0.0])

    def prepared(pixels: Tensor) -> Tensor:
        values = pixels.float() / 255
        return values if first else values.permute(0, 2, 3, 1)

    return Subject(model, (1, 8, 8), ("a", "b", "c"), preprocess=prepared, name="keras")


@pytest.fixture(scope="module")
def subject(keras: Any) -> Subject:
    return built(keras, "channels_first")


def steps(subject: Subject, images: Tensor) -> dict[str, Tensor]:
    """What each layer gives, one Keras layer after another, by Keras itself."""
    value, found = subject.preprocess(images), {}
    with torch.no_grad():
        for layer in subject.model.layers:  # type: ignore[union-attr]
            value = layer(value, training=False)
            found[layer.name] = value.detach().clone()
    return found


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_maps_are_what_keras_computes_layer_by_layer(keras: Any, data_format: str) -> None:
    subject = built(keras, data_format)
    found, wanted = feature_maps(subject, IMAGES), steps(subject, IMAGES)
    assert list(found.layers) == NAMES
    for name, value in found.layers.items():
        torch.testing.assert_close(value, wanted[name], atol=1e-5, rtol=1e-4, msg=name)
    assert [row.name for row in layers(subject)] == ["stem", "norm", "pool", "deep", "flat", "drop", "head"]


def test_kernels_are_keras_weights_turned_round(subject: Subject) -> None:
    """Keras keeps (h, w, in, out)."""
    for call, name in (("conv2d@1", "stem"), ("conv2d@2", "deep")):
        weights = subject.model.get_layer(name).kernel.value.detach()  # type: ignore[operator]
        assert torch.equal(kernels(subject, [call]).layers[call], weights.permute(3, 2, 0, 1))


def test_a_cell_is_the_sum_that_its_convolution_made(subject: Subject) -> None:
    deep = subject.model.get_layer("deep")  # type: ignore[operator]
    found = cell(subject, IMAGES[:1], "conv2d@2", 4, row=1, column=2)
    assert found.total == pytest.approx(found.value, abs=1e-5)
    wanted = float(steps(subject, IMAGES[:1])["deep"][0, 4, 1, 2]) - float(deep.bias.value.detach()[4])
    assert found.value == pytest.approx(wanted, abs=1e-5)


def test_a_layer_that_does_more_than_sum_is_not_explained_as_a_sum(subject: Subject) -> None:
    with pytest.raises(ConfigError, match=r"stem gives something else than .* conv2d@1"):
        cell(subject, IMAGES[:1], "stem", 0)


def test_a_layer_that_is_not_there_is_answered_with_the_nearest(subject: Subject) -> None:
    with pytest.raises(NotFoundError, match=r'no layer "stm".*Did you mean "stem"'):
        feature_maps(subject, IMAGES, ["stm"])


SPLIT = Split(IMAGES, torch.arange(24) % 3, torch.arange(24))

LOOKS: dict[str, Callable[[Subject], object]] = {
    "maps": lambda s: feature_maps(s, IMAGES),
    "kernels": lambda s: kernels(s, ["conv2d@1"]),
    "cell": lambda s: cell(s, IMAGES[:1], "conv2d@1", 0),
    "probe": lambda s: probe(s, SPLIT, SPLIT, NAMES, random=s),
    "similarity": lambda s: similarity(s, IMAGES),
    "rank": lambda s: rank(s, IMAGES),
    "retention": lambda s: retention(s, SPLIT, SPLIT, NAMES, random=s),
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_works_and_leaves_no_trace(subject: Subject, look: str) -> None:
    model = subject.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    LOOKS[look](subject)
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert before
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras copies by NumPy's older rules
def test_random_weights_leave_the_model_alone(subject: Subject) -> None:
    """Keras layers know no ``reset_parameters``: their values are put in another order."""
    before = [value.detach().clone() for value in subject.model.parameters()]
    other = untrained(subject)
    assert all(torch.equal(a, b) for a, b in zip(before, subject.model.parameters(), strict=True))
    # Without dropout's seed, which Keras draws for every copy.
    mine, theirs = (
        torch.cat([value.detach().flatten() for value in model.parameters() if value.requires_grad])
        for model in (subject.model, other.model)
    )
    assert not torch.equal(mine, theirs)
    assert torch.equal(mine.sort().values, theirs.sort().values)

"""Feature maps against one image at a time, one layer after another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.config import Experiment, load_experiment
from cutaway.errors import ConfigError, NotFoundError
from cutaway.look import feature_maps, visible_layers
from cutaway.store import Run, Store, train


def slowly(subject: Subject, images: Tensor) -> dict[str, Tensor]:
    """The outputs of a net's layers, each image alone, each layer by its own call."""
    outputs: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for image in images:
            value = subject.preprocess(image[None])
            for name, module in subject.model.named_children():
                value = module(value)
                outputs.setdefault(name, []).append(value)
    return {name: torch.cat(values) for name, values in outputs.items()}


@pytest.fixture(scope="module")
def images(trained: Run) -> Tensor:
    return trained.images().split("test").pixels[:7]


def test_every_map_equals_the_slow_reference(trained: Run, images: Tensor) -> None:
    subject = trained.subject()
    found, wanted = feature_maps(subject, images), slowly(subject, images)
    assert list(found.layers) == ["conv1", "pool1", "relu1", "conv2", "relu2", "pool2", "dense1"]
    for name, value in found.layers.items():
        torch.testing.assert_close(value, wanted[name], atol=1e-5, rtol=1e-4, msg=name)
        assert value.dtype == torch.float32
        assert value.is_contiguous()
    assert found.images is images
    assert found.subject == subject.name


def test_chunks_give_the_same_as_one_pass(
    trained: Run, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = feature_maps(trained.subject(), images)
    monkeypatch.setattr("cutaway.look.stream.MOST_AT_ONCE", 3)  # 7 images: two full chunks and a rest
    parts = feature_maps(trained.subject(), images)
    for name, value in whole.layers.items():
        torch.testing.assert_close(parts.layers[name], value, atol=1e-5, rtol=1e-4)


def test_more_images_than_a_chunk_keep_their_order(trained: Run) -> None:
    pixels = trained.images().split("test").pixels[:70]
    subject = trained.subject()
    found = feature_maps(subject, pixels, ["dense1"]).layers["dense1"]
    torch.testing.assert_close(found, slowly(subject, pixels)["dense1"], atol=1e-4, rtol=1e-4)


def test_floats_are_inputs_already_and_bytes_are_preprocessed(trained: Run, images: Tensor) -> None:
    subject = trained.subject()
    from_bytes = feature_maps(subject, images, ["conv1"]).layers["conv1"]
    from_inputs = feature_maps(subject, subject.preprocess(images), ["conv1"]).layers["conv1"]
    torch.testing.assert_close(from_inputs, from_bytes)
    assert not torch.allclose(feature_maps(subject, images.float(), ["conv1"]).layers["conv1"], from_bytes)


def test_layers_come_in_the_order_asked_for(trained: Run, images: Tensor) -> None:
    assert list(feature_maps(trained.subject(), images, ["dense1", "conv1"]).layers) == ["dense1", "conv1"]


def test_layers_that_change_no_value_are_not_shown_unless_asked_for(trained: Run, images: Tensor) -> None:
    subject = trained.subject()
    assert not {"dropout1", "flatten1"} & set(visible_layers(subject))
    asked = feature_maps(subject, images, ["dropout1"]).layers["dropout1"]
    torch.testing.assert_close(asked, feature_maps(subject, images, ["pool2"]).layers["pool2"])


def test_an_untrained_run_can_be_looked_into(small: Experiment, images: Tensor, tmp_path: Path) -> None:
    run = train(load_experiment(small, {"train": {"epochs": 0}}), store=Store(tmp_path))
    subject = run.subject()
    found, wanted = feature_maps(subject, images), slowly(subject, images)
    for name, value in found.layers.items():
        torch.testing.assert_close(value, wanted[name], atol=1e-5, rtol=1e-4, msg=name)
    assert found.layers["conv1"].std() > 0


def test_blank_units_of_a_model_made_by_hand() -> None:
    conv, dense = nn.Conv2d(1, 4, 1), nn.Linear(4 * 9, 3)
    with torch.no_grad():
        # Nothing at all; the same value everywhere; the image; the image turned round.
        conv.weight.copy_(torch.tensor([0.0, 0.0, 1.0, -2.0]).view(4, 1, 1, 1))
        conv.bias = nn.Parameter(torch.tensor([0.0, 0.5, 0.0, 1.0]))
        dense.weight.zero_()
        dense.weight[2, 18:27] = 1.0  # the sum of the third map
        dense.bias = nn.Parameter(torch.tensor([0.0, -1.0, 0.0]))
    subject = Subject(nn.Sequential(conv, nn.Flatten(), dense), (1, 3, 3))
    patterned, flat, black = torch.arange(9.0).view(1, 3, 3), torch.full((1, 3, 3), 2.0), torch.zeros(1, 3, 3)
    found = feature_maps(subject, torch.stack((patterned, flat, black)), ["0", "2"])
    assert found.blank("0").tolist() == [
        [True, True, False, False],
        [True, True, True, True],
        [True, True, True, True],
    ]
    assert found.blank("2").tolist() == [[True, False, False], [True, False, False], [True, False, True]]


def test_images_of_another_shape_are_refused_with_both_shapes(trained: Run) -> None:
    with pytest.raises(ConfigError, match=r"N×1×28×28, not 2×3×28×28"):
        feature_maps(trained.subject(), torch.zeros(2, 3, 28, 28, dtype=torch.uint8))
    with pytest.raises(ConfigError, match=r"N×1×28×28, not 1×28×28"):
        feature_maps(trained.subject(), torch.zeros(1, 28, 28, dtype=torch.uint8))


def test_an_unknown_layer_is_answered_with_the_nearest(trained: Run, images: Tensor) -> None:
    with pytest.raises(NotFoundError, match=r'"conv3".*Did you mean "conv[12]"'):
        feature_maps(trained.subject(), images, ["conv3"])

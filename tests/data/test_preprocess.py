"""Preprocessing: the same numbers as plain NumPy, in the layout that convolutions want."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from cutaway.config import PreprocessKind
from cutaway.data import Preprocess, Split, pixel_statistics


def _pixels(channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 200, (9, channels, 5, 6), generator=generator, dtype=torch.uint8)
    return pixels + torch.arange(channels, dtype=torch.uint8).mul(20).view(1, -1, 1, 1)


def _split(pixels: Tensor) -> Split:
    return Split(pixels, torch.zeros(len(pixels), dtype=torch.int64), torch.arange(len(pixels)))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_statistics_are_numpy_s(channels: int) -> None:
    pixels = _pixels(channels)
    mean, deviation = pixel_statistics(_split(pixels))
    values = pixels.numpy().astype(np.float64)
    np.testing.assert_allclose(mean, values.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(deviation, values.std((0, 2, 3)), rtol=1e-12)
    assert len(set(mean)) == channels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", PreprocessKind)
def test_inputs_are_numpy_s(kind: PreprocessKind, channels: int) -> None:
    pixels = _pixels(channels)
    train, later = pixels[:6], pixels[6:]
    found = Preprocess.fit(kind, _split(train))(later)
    values = later.numpy().astype(np.float64)
    seen = train.numpy().astype(np.float64)
    wanted = {
        PreprocessKind.STANDARDISE: (values - seen.mean((0, 2, 3), keepdims=True))
        / seen.std((0, 2, 3), keepdims=True),
        PreprocessKind.MEAN: values - seen.mean((0, 2, 3), keepdims=True),
        PreprocessKind.LENET5: values / 255 * (1.175 + 0.1) - 0.1,
        PreprocessKind.UNIT: values / 255,
        PreprocessKind.NONE: values,
    }[kind]
    assert found.dtype == torch.float32
    assert found.shape == later.shape
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_what_it_was_fitted_to_is_standardised() -> None:
    pixels = _pixels(3)
    found = Preprocess.fit(PreprocessKind.STANDARDISE, _split(pixels))(pixels).double()
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64), atol=1e-5, rtol=0)
    deviation = found.std((0, 2, 3), correction=0)
    torch.testing.assert_close(deviation, torch.ones(3, dtype=torch.float64), atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_one_value_are_not_divided_by_zero(channels: int) -> None:
    pixels = torch.full((4, channels, 3, 3), 7, dtype=torch.uint8)
    assert not Preprocess.fit(PreprocessKind.STANDARDISE, _split(pixels))(pixels).any()


def test_one_channel_has_the_strides_of_channels_last() -> None:
    """A convolution takes the usual strides of one channel for the other layout, and converts."""
    found = Preprocess((1.0,), (2.0,))(_pixels(1))
    assert found.stride() == (30, 1, 6, 1)


def test_several_channels_are_channels_last() -> None:
    found = Preprocess((1.0,) * 3, (2.0,) * 3)(_pixels(3))
    assert found.stride() == (90, 1, 18, 3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", ["sliced", "turned", "channels last", "empty"])
def test_pixels_in_any_layout(channels: int, layout: str) -> None:
    pixels = {
        "sliced": _pixels(channels)[::2, :, 1:, ::2],
        "turned": _pixels(channels).transpose(2, 3),
        "channels last": _pixels(channels).contiguous(memory_format=torch.channels_last),
        "empty": _pixels(channels)[:0],
    }[layout]
    before = pixels.clone()
    found = Preprocess((3.0,) * channels, (2.0,) * channels)(pixels)
    torch.testing.assert_close(found, (before.float() - 3) / 2)
    assert torch.equal(pixels, before)


def test_it_comes_back_from_json() -> None:
    made = Preprocess.fit(PreprocessKind.STANDARDISE, _split(_pixels(3)))
    assert Preprocess.from_json(json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.parametrize("kind", PreprocessKind)
@pytest.mark.parametrize("channels", [1, 3])
def test_undone_it_gives_the_pixels_back(kind: PreprocessKind, channels: int) -> None:
    pixels = torch.arange(256, dtype=torch.uint8).repeat(6).view(2, 3, 16, 16)[:, :channels].contiguous()
    preprocess = Preprocess.fit(kind, _split(pixels))
    assert torch.equal(preprocess.undo(preprocess(pixels)), pixels)
    beyond = preprocess.undo(torch.tensor([-1e9, 1e9]).view(2, 1, 1, 1).expand(2, channels, 1, 1))
    assert beyond.flatten(1).tolist() == [[0] * channels, [255] * channels]

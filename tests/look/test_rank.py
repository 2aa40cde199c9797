"""Rank against the singular values of the whole matrix of responses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import Spectrum, capture, rank


def make_subject() -> Subject:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 5, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(180, 40), nn.Linear(40, 3)
    )
    return Subject(model, (1, 8, 8), name="net")


def images(count: int) -> Tensor:
    noise = torch.randint(256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(2))
    return noise.to(torch.uint8)


def responses(subject: Subject, pixels: Tensor, layer: str) -> NDArray[np.float64]:
    """A row for every position of every image, a column for every unit."""
    with capture(subject.model, [layer]) as read:
        values = read(subject.inputs(pixels))[layer].double().numpy()
    if values.ndim == 2:
        return values
    return np.array([values[n, :, h, w] for n, _, h, w in np.ndindex(len(values), 1, *values.shape[2:])])


@pytest.mark.parametrize("count", [300, 30])
def test_all_measures_equal_those_of_singular_values(count: int) -> None:
    """Of 30 images a dense layer with 40 units has fewer responses than units."""
    subject, pixels = make_subject(), images(count)
    found = rank(subject, pixels)
    assert list(found.layers) == ["0", "1", "3", "4"]
    assert found.images == count
    for layer, spectrum in found.layers.items():
        rows = responses(subject, pixels, layer)
        values = np.linalg.svd(rows - rows.mean(0), compute_uv=False) ** 2 / len(rows)
        assert spectrum.units == rows.shape[1]
        assert spectrum.samples == len(rows)
        assert spectrum.limited == (layer == "3" and count == 30)
        size = min(len(values), spectrum.units)
        np.testing.assert_allclose(spectrum.eigenvalues[:size], values[:size], atol=1e-6 * values[0])
        shares = values[values > 1e-12 * values[0]] / values.sum()
        entropy = -sum(share * math.log(share) for share in shares)
        assert spectrum.effective_rank == pytest.approx(math.exp(entropy), rel=1e-5)
        assert spectrum.participation_ratio == pytest.approx(1 / (shares**2).sum(), rel=1e-5)
        held, wanted = 0.0, 0
        while held < 0.99:
            held, wanted = held + shares[wanted], wanted + 1
        assert spectrum.dimensions() == wanted
        assert spectrum.saturation == pytest.approx(wanted / rows.shape[1])


def test_parts_that_stream_by_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    subject, pixels = make_subject(), images(100)
    whole = rank(subject, pixels)
    monkeypatch.setattr("cutaway.look.stream.MOST_AT_ONCE", 7)
    for layer, spectrum in rank(subject, pixels).layers.items():
        torch.testing.assert_close(spectrum.eigenvalues, whole.layers[layer].eigenvalues)


def test_a_large_mean_costs_no_digits() -> None:
    subject = make_subject()
    conv = subject.model.get_submodule("0")
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    plain = rank(subject, images(50), ["0"]).layers["0"]
    conv.bias.data += 100
    moved = rank(subject, images(50), ["0"]).layers["0"]
    torch.testing.assert_close(moved.eigenvalues, plain.eigenvalues, rtol=1e-3, atol=1e-6)


def test_duplicated_units_add_no_rank() -> None:
    subject = make_subject()
    dense = subject.model.get_submodule("3")
    assert isinstance(dense, nn.Linear)
    with torch.no_grad():
        dense.weight[:] = dense.weight[torch.arange(40) % 2] * (1 + torch.arange(40))[:, None]
        dense.bias.zero_()
    spectrum = rank(subject, images(200), ["3"]).layers["3"]
    assert spectrum.dimensions(1 - 1e-9) == 2
    assert spectrum.effective_rank <= 2 + 1e-6
    assert spectrum.saturation <= 2 / 40


def test_equal_variances_use_all_dimensions_and_one_direction_one() -> None:
    equal, single = Spectrum(torch.full((8,), 3.0).double(), 99), Spectrum(torch.eye(8).double()[0], 99)
    assert equal.effective_rank == pytest.approx(8)
    assert equal.participation_ratio == pytest.approx(8)
    assert (equal.dimensions(), equal.saturation) == (8, 1)
    assert equal.dimensions(0.5) == 4
    assert (single.effective_rank, single.participation_ratio, single.dimensions()) == (1, 1, 1)


def test_a_constant_layer_uses_no_dimension() -> None:
    subject = make_subject()
    conv = subject.model.get_submodule("0")
    assert isinstance(conv, nn.Conv2d)
    nn.init.zeros_(conv.weight)
    for count in (100, 3):
        for spectrum in rank(subject, images(count)).layers.values():
            assert not spectrum.eigenvalues.any()
            assert (spectrum.effective_rank, spectrum.participation_ratio) == (0, 0)
            assert (spectrum.dimensions(), spectrum.saturation) == (0, 0)


def test_bad_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = make_subject()
    for count in (0, 1):
        with pytest.raises(DataError, match=rf"{count} images have no covariance; give 2"):
            rank(subject, images(count))
    with pytest.raises(NotFoundError, match='no layer "33"'):
        rank(subject, images(5), ["33"])
    with pytest.raises(ConfigError, match="N×1×8×8"):
        rank(subject, torch.zeros(5, 1, 9, 9, dtype=torch.uint8))
    monkeypatch.setitem(rank.__globals__, "WIDEST", 30)
    with pytest.raises(ConfigError, match=r"3 has 40 units; .* 30 at most"):
        rank(subject, images(60))
    assert rank(subject, images(30)).layers["3"].limited

"""Sums over a stream against NumPy over everything at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.look.moments import Covariance, Moments
from cutaway.look.responses import Responses

IMAGES, CLASSES = 40, 4


def outputs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    maps = torch.randn(IMAGES, 5, 3, 4, generator=generator).relu() + 1
    maps[:, 1] = 0.7  # constant
    maps[:, 2] = torch.arange(IMAGES)[:, None, None]  # always blank, never constant
    dense = torch.randn(IMAGES, 3, generator=generator)
    dense[:, 1] = 0  # dead
    dense[:, 2] = -2
    return {"maps": maps, "dense": dense}


LABELS = torch.arange(IMAGES) % 3  # the last class has no images


def seen(parts: Sequence[Sequence[int]], chunk: int = IMAGES) -> Moments:
    whole: Moments | None = None
    for part in parts:
        moments = Moments.empty(8, CLASSES)
        for numbers in torch.tensor(part).split(chunk):
            found = {name: output[numbers] for name, output in outputs().items()}
            none = torch.tensor([], dtype=torch.int64)
            subject = Subject(nn.Identity(), (1, 1, 1))
            moments.see(Responses(found, subject, numbers, numbers, LABELS[numbers], none))
        if whole is None:
            whole = moments
        else:
            whole.merge(moments)
    assert whole is not None
    return whole


@pytest.mark.parametrize(
    ("parts", "chunk"),
    [([range(IMAGES)], IMAGES), ([range(IMAGES)], 7), ([range(30, 40), range(11), range(11, 30)], 6)],
)
def test_all_is_as_numpy_has_it(parts: list[range], chunk: int) -> None:
    moments = seen(parts, chunk)
    maps, dense = (output.double().numpy() for output in outputs().values())
    units = [*np.moveaxis(maps, 1, 0).reshape(5, IMAGES, -1), *dense.T[..., None]]
    mean = [values.mean() for values in units]
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-6)
    assert moments.maxima.tolist() == [values.max() for values in units]
    assert moments.minima.tolist() == [values.min() for values in units]
    assert moments.constant.tolist() == [len(np.unique(values)) == 1 for values in units]
    assert moments.constant.tolist() == [False, True, False, False, False, False, True, True]
    assert moments.fired.tolist() == [int((values > 0).any(1).sum()) for values in units]
    blank = [int((np.ptp(values, 1) == 0).sum()) for values in units[:5]]
    assert moments.blank.tolist() == [*blank, *(int((values == 0).sum()) for values in units[5:])]
    assert blank[1:3] == [IMAGES, IMAGES]
    for label in range(CLASSES):
        members = LABELS.eq(label).numpy()
        if members.any():
            wanted = [values[members].mean() for values in units]
            np.testing.assert_allclose(moments.class_means[label], wanted, rtol=1e-6)
        else:
            assert moments.class_means[label].isnan().all()


def test_many_small_values_behind_a_large_one_are_not_lost() -> None:
    """In float32 a sum of 2²⁵ would stand still when ones are added."""
    moments = Moments.empty(1, 1)
    none = torch.tensor([], dtype=torch.int64)
    for value, count in ((2.0**25, 1), (1.0, 100)):
        values = torch.full((count, 1), value)
        labels = torch.zeros(count, dtype=torch.int64)
        subject = Subject(nn.Identity(), (1, 1, 1))
        moments.see(Responses({"dense": values}, subject, values, labels, labels, none))
    assert moments.class_sums.item() == 2**25 + 100


@pytest.mark.parametrize("shift", [0.0, 300.0])
def test_correlation_is_that_of_numpy_over_all_places(shift: float) -> None:
    maps = outputs()["maps"] + shift
    maps[:, 3] = 5 - 2 * maps[:, 0]
    covariance, rest = Covariance.empty(5), Covariance.empty(5)
    covariance.see(maps[:9].contiguous(memory_format=torch.channels_last).flatten(2))
    rest.see(maps[9:20].flatten(2))
    rest.see(maps[20:].flatten(2))
    covariance.merge(rest)
    found = covariance.correlation()
    rows = np.delete(np.moveaxis(maps.double().numpy(), 1, 0).reshape(5, -1), 1, 0)
    kept = [0, 2, 3, 4]
    np.testing.assert_allclose(found[kept][:, kept], np.corrcoef(rows), atol=1e-6)
    assert found[0, 3].item() == pytest.approx(-1)
    assert found[1].isnan().all()
    assert found[:, 1].isnan().all()


def test_without_values_there_is_no_correlation() -> None:
    assert Covariance.empty(2).correlation().isnan().all()

"""Linear CKA against full Gram matrices, and what it must not notice."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import capture, similarity

Array = NDArray[np.float64]


def hsic(k: Array, l: Array) -> float:  # noqa: E741  as in the paper
    """Song et al.'s unbiased estimate, term by term: K and L without their diagonals."""
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
    ones = np.ones(n)
    trace = np.trace(k @ l)
    sums = (ones @ k @ ones) * (ones @ l @ ones) / ((n - 1) * (n - 2))
    mixed = 2 / (n - 2) * (ones @ k @ l @ ones)
    return float((trace + sums - mixed) / (n * (n - 3)))


def slow_cka(x: list[Array], y: list[Array]) -> float:
    """CKA of two layers from the full Gram matrices of every batch, in float64."""
    cross = sum(hsic(a @ a.T, b @ b.T) for a, b in zip(x, y, strict=True))
    own = sum(hsic(a @ a.T, a @ a.T) for a in x)
    others = sum(hsic(b @ b.T, b @ b.T) for b in y)
    return cross / float(np.sqrt(own * others))


def make_subject(seed: int = 0) -> Subject:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 9), nn.Tanh(), nn.Linear(9, 3)
    )
    return Subject(model, (1, 8, 8), name=f"net {seed}")


def images(count: int, seed: int = 7) -> Tensor:
    noise = torch.randint(256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(seed))
    return noise.to(torch.uint8)


def outputs(subject: Subject, pixels: Tensor, layer: str) -> Array:
    with capture(subject.model, [layer]) as read:
        return read(subject.inputs(pixels))[layer].flatten(1).double().numpy()


@pytest.mark.parametrize(("count", "batch"), [(30, 30), (30, 10), (29, 8), (4, 128)])
def test_it_equals_cka_of_full_gram_matrices(count: int, batch: int) -> None:
    """Of 29 images in batches of 8 the last batch has 5."""
    subject, pixels = make_subject(), images(count)
    found = similarity(subject, pixels, batch=batch)
    assert found.rows == found.columns == ("0", "1", "3", "4", "5")
    assert (found.images, found.batch) == (count, batch)
    parts = {name: [outputs(subject, part, name) for part in pixels.split(batch)] for name in found.rows}
    for i, row in enumerate(found.rows):
        for j, column in enumerate(found.columns):
            wanted = slow_cka(parts[row], parts[column])
            assert float(found.values[i, j]) == pytest.approx(wanted, abs=1e-6)
    torch.testing.assert_close(found.values, found.values.T)
    torch.testing.assert_close(found.values.diagonal(), torch.ones(5).double())


def test_two_subjects_are_compared_layer_by_layer() -> None:
    one, two, pixels = make_subject(0), make_subject(1), images(40)
    found = similarity(one, pixels, ["1", "5"], other=two, other_layers=["5", "0", "3"], batch=20)
    assert (found.rows, found.columns) == (("1", "5"), ("5", "0", "3"))
    assert found.subjects == ("net 0", "net 1")
    for i, row in enumerate(found.rows):
        for j, column in enumerate(found.columns):
            wanted = slow_cka(
                [outputs(one, part, row) for part in pixels.split(20)],
                [outputs(two, part, column) for part in pixels.split(20)],
            )
            assert float(found.values[i, j]) == pytest.approx(wanted, abs=1e-6)


def test_rows_and_columns_of_one_subject_may_differ() -> None:
    subject, pixels = make_subject(), images(20)
    whole = similarity(subject, pixels)
    part = similarity(subject, pixels, ["5", "1"], other_layers=["3", "5", "0"])
    wanted = [[float(whole.values[whole.rows.index(r), whole.columns.index(c)]) for c in "350"] for r in "51"]
    torch.testing.assert_close(part.values, torch.tensor(wanted).double())


class Turned(nn.Module):
    """A representation, the same one rotated, scaled and moved, and one that has nothing to do with it."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.plain = nn.Linear(width, width)
        self.turned = nn.Linear(width, width)
        self.stretched = nn.Linear(width, width)
        self.other = nn.Linear(width, width)
        with torch.no_grad():
            rotation, _ = torch.linalg.qr(torch.randn(width, width))
            self.turned.weight.copy_(-40 * rotation)
            self.turned.bias.fill_(1000)
            self.stretched.weight.copy_(torch.diag(torch.logspace(0, 2, width)))
            self.plain.weight.copy_(torch.eye(width))
            self.other.weight.copy_(torch.eye(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        half = x.shape[1] // 2
        seen = self.plain(x[:, :half])
        self.turned(seen)
        self.stretched(seen)
        return self.other(x[:, half:])  # type: ignore[no-any-return]


def test_a_rotation_a_scale_and_a_shift_change_nothing_and_a_stretch_does() -> None:
    noise = torch.randn(400, 1, 2, 12, generator=torch.Generator().manual_seed(8))
    found = similarity(Subject(Turned(), (1, 2, 12)), noise, batch=50)
    values = dict(zip(found.rows, found.values[0].tolist(), strict=True))
    assert values["turned"] == pytest.approx(1, abs=1e-5)
    assert values["stretched"] < 0.9
    # Unbiased: of independent noise with 12 dimensions, plain CKA of 50 images would be about 0.2.
    assert abs(values["other"]) < 0.03


def test_the_size_of_the_batch_does_not_shift_it() -> None:
    subject, pixels = make_subject(), images(640)
    whole, small = similarity(subject, pixels, batch=128), similarity(subject, pixels, batch=16)
    torch.testing.assert_close(whole.values, small.values, atol=0.03, rtol=0)


def test_a_layer_that_gives_the_same_for_all_images_is_like_none() -> None:
    subject = make_subject()
    dense = subject.model.get_submodule("3")
    assert isinstance(dense, nn.Linear)
    nn.init.zeros_(dense.weight)
    dense.bias.data.fill_(0.1)
    values = similarity(subject, images(20)).values
    assert values[2:].isnan().all()
    assert values[:, 2:].isnan().all()
    assert values[:2, :2].isfinite().all()


def test_a_last_batch_that_is_too_small_is_left_out_and_not_counted() -> None:
    subject, pixels = make_subject(), images(23)
    found = similarity(subject, pixels, batch=10)
    assert found.images == 20
    torch.testing.assert_close(found.values, similarity(subject, pixels[:20], batch=10).values)


def test_bad_input_is_refused() -> None:
    subject = make_subject()
    with pytest.raises(DataError, match=r"3 images at a time are too few.*4 or more"):
        similarity(subject, images(3))
    with pytest.raises(DataError, match="0 images at a time"):
        similarity(subject, images(0))
    with pytest.raises(NotFoundError, match='no layer "cnov"'):
        similarity(subject, images(9), ["cnov"])
    with pytest.raises(NotFoundError, match='no layer "9"'):
        similarity(subject, images(9), other=make_subject(1), other_layers=["9"])
    with pytest.raises(ConfigError, match="N×1×8×8"):
        similarity(subject, torch.zeros(9, 1, 5, 5, dtype=torch.uint8))
    with pytest.raises(ConfigError, match="no layers"):
        similarity(subject, images(9), [])


def test_sums_are_kept_of_batches_that_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (
        Subject(nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh()), (1, 4, 4)) for _ in range(2)
    )
    images = torch.rand(43, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    wanted = [similarity(first, images, other=other, batch=8).values for other in (None, second)]
    monkeypatch.setattr(importlib.import_module("cutaway.look.similarity"), "_BATCHES", 2)
    found = [similarity(first, images, other=other, batch=8).values for other in (None, second)]
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, two)

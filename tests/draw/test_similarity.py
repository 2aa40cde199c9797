"""Similarity as a heat map: every value in its square, rows and columns under their names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

import cutaway
from cutaway.look import Similarity


def some_similarity(rows: int = 3, columns: int = 4, *, two: bool = True) -> Similarity:
    values = torch.rand(rows, columns, generator=torch.Generator().manual_seed(1)).double()
    values[0, 1] = torch.nan
    return Similarity(
        tuple(f"row{at}" for at in range(rows)),
        tuple(f"column{at}" for at in range(columns)),
        values,
        1234,
        128,
        ("one", "other" if two else "one"),
    )


def test_every_square_has_its_value_and_its_number() -> None:
    result = some_similarity()
    axes = cutaway.plot(result).axes[0]
    shown = axes.images[0].get_array()
    assert shown is not None
    np.testing.assert_array_equal(np.ma.filled(shown.astype(float), np.nan), result.values.numpy())
    assert axes.images[0].get_clim() == (0, 1)
    written = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axes.texts}
    assert written == {
        (row, column): "–" if np.isnan(value) else f"{value:.2f}"
        for (row, column), value in np.ndenumerate(result.values.numpy())
    }
    assert [t.get_text() for t in axes.get_yticklabels()] == list(result.rows)
    assert [t.get_text() for t in axes.get_xticklabels()] == list(result.columns)


def test_what_is_nothing_is_grey_and_no_colour_of_the_scale() -> None:
    axes = cutaway.plot(some_similarity()).axes[0]
    shown = axes.images[0].get_array()
    assert shown is not None
    assert np.ma.getmaskarray(shown).tolist()[0] == [False, True, False, False]
    red, green, blue, _ = to_rgba(axes.get_facecolor())
    assert red == green == blue


def test_numbers_stand_out_from_their_squares() -> None:
    axes = cutaway.plot(some_similarity(6, 6)).axes[0]
    image = axes.images[0]
    for text in axes.texts:
        if text.get_text() == "–":
            continue
        column, row = text.get_position()
        shade = image.cmap(float(image.get_array()[int(row), int(column)]))[:3]  # type: ignore[index]
        light = float(np.dot(shade, (0.2126, 0.7152, 0.0722)))
        ink = 0.0 if text.get_color() == "black" else 1.0
        assert abs(light - ink) > 0.35


def test_two_subjects_are_named_at_their_axes_and_one_in_the_title() -> None:
    both = cutaway.plot(some_similarity()).axes[0]
    assert (both.get_ylabel(), both.get_xlabel()) == ("one", "other")
    assert both.get_title(loc="left") == "linear CKA, 1,234 images"
    single = cutaway.plot(some_similarity(two=False)).axes[0]
    assert (single.get_ylabel(), single.get_xlabel()) == ("", "")
    assert single.get_title(loc="left") == "one: linear CKA, 1,234 images"


@pytest.mark.parametrize(("rows", "columns"), [(40, 40), (3, 120)])
def test_of_many_layers_the_values_are_not_written(rows: int, columns: int) -> None:
    figure = cutaway.plot(some_similarity(rows, columns))
    assert not figure.axes[0].texts
    assert max(figure.get_size_inches()) <= 24

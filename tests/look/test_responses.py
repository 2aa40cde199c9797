"""Summaries of responses against loops over every value."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.errors import ConfigError, DataError
from cutaway.look.responses import LayerSize, Responses, columns

N = 5


def outputs(last: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    maps = torch.randn(N, 3, 4, 6, generator=generator).relu()
    maps[1, 2] = 0  # blank
    maps[2, 0] = 0.1  # blank too, though not zero
    maps[3, 1, 2, 3] = maps[3, 1].amax()  # largest twice, perhaps
    dense = torch.randn(N, 4, generator=generator)
    dense[4, 1] = 0
    line = torch.randn(N, 2, 7, generator=generator).double()
    if last:
        maps = maps.contiguous(memory_format=torch.channels_last)
    return {"maps": maps, "dense": dense, "line": line}


def responses(found: dict[str, Tensor], sampled: tuple[int, ...] = (0, 3)) -> Responses:
    model = nn.Conv2d(1, 3, 1)
    inputs = torch.zeros(N, 1, 4, 6)
    numbers = torch.arange(20, 20 + N)
    labels = torch.zeros(N, dtype=torch.int64)
    return Responses(
        found, Subject(model, (1, 4, 6), name="net"), inputs, numbers, labels, torch.tensor(sampled)
    )


def maps_of(found: dict[str, Tensor], image: int) -> list[list[float]]:
    """The values of each unit of all layers, in reading order."""
    return [list(map(float, unit.float().flatten())) for output in found.values() for unit in output[image]]


@pytest.mark.parametrize("last", [False, True])
def test_every_summary_is_that_of_a_loop(last: bool) -> None:
    given = outputs(last)
    found = responses(given)
    assert found.maxima.shape == found.means.shape == found.minima.shape == (N, 9)
    for image in range(N):
        for unit, values in enumerate(maps_of(given, image)):
            assert found.maxima[image, unit] == max(values)
            assert found.minima[image, unit] == min(values)
            assert found.means[image, unit].item() == pytest.approx(math.fsum(values) / len(values), abs=1e-6)
            blank = max(values) == min(values) if len(values) > 1 else values[0] == 0
            assert found.blank[image, unit] == blank, (image, unit)
    assert found.blank.nonzero().tolist() == [[1, 2], [2, 0], [4, 4]]


@pytest.mark.parametrize("last", [False, True])
def test_the_place_is_that_of_the_first_largest_value(last: bool) -> None:
    given = outputs(last)
    found = responses(given, (1, 3, 4))
    wanted = [[values.index(max(values)) for values in maps_of(given, image)] for image in range(N)]
    rows, units = torch.tensor([[image, unit] for image in range(N) for unit in range(9)]).T
    mixed = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    places = found.places(rows[mixed], units[mixed])
    assert places.tolist() == [
        wanted[image][unit] for image, unit in zip(rows[mixed], units[mixed], strict=True)
    ]
    assert found.sampled_places().tolist() == [wanted[image] for image in (1, 3, 4)]


@pytest.mark.parametrize("value", [1e-25, 0.1, 1 / 3, 1e30])
def test_blank_is_exact_whatever_the_size_of_values(value: float) -> None:
    maps = torch.full((N, 1, 9, 11), value)
    maps[3, 0, 4, 4] = torch.nextafter(maps[3, 0, 4, 4], torch.tensor(math.inf))
    assert responses({"maps": maps}).blank[:, 0].tolist() == [True, True, True, False, True]


def test_nothing_is_copied_and_floats_are_single() -> None:
    given = outputs(True)
    found = responses(given)
    assert found.values["maps"].data_ptr() == given["maps"].data_ptr()
    assert {values.dtype for values in found.values.values()} == {torch.float32}


@pytest.mark.parametrize("summary", ["maxima", "minima", "means"])
@pytest.mark.parametrize(("value", "kind"), [(math.nan, "NaN"), (math.inf, "infinite values")])
def test_what_is_not_finite_is_told_with_its_layer_and_image(summary: str, value: float, kind: str) -> None:
    given = outputs(True)
    given["maps"][3, 1, 2, 2] = -value if summary == "minima" else value
    with pytest.raises(DataError, match=f"net: maps gives {kind} for image 23, though weights and image"):
        getattr(responses(given), summary)


def test_the_cause_is_told_where_it_is_an_input_or_a_weight() -> None:
    given = outputs(True)
    given["dense"][2] = math.nan
    found = responses(given)
    with torch.no_grad():
        found._subject.model.get_parameter("bias")[1] = math.nan
    with pytest.raises(DataError, match="net: bias has 1 value that is NaN or infinite"):
        _ = found.maxima
    found._inputs[2, 0, 1, 1] = math.inf
    with pytest.raises(DataError, match="Image 22 has NaN or infinite inputs"):
        _ = found.means


def test_huge_but_finite_values_are_no_error() -> None:
    """Their sum, a quick check, overflows."""
    assert responses({"dense": torch.full((N, 3), 3e38)}).maxima.amin() == 3e38


def test_sizes_and_columns() -> None:
    sizes = {name: LayerSize.of(name, output, N) for name, output in outputs(True).items()}
    assert sizes == {
        "maps": LayerSize(3, (4, 6)),
        "dense": LayerSize(4, (1, 1)),
        "line": LayerSize(2, (1, 7)),
    }
    assert columns(sizes) == {"maps": slice(0, 3), "dense": slice(3, 7), "line": slice(7, 9)}
    assert [size.places for size in sizes.values()] == [24, 1, 7]


@pytest.mark.parametrize(
    ("shape", "images", "told"),
    [
        ((), 1, "total gives a single number for 1 image;"),
        ((2,), 2, "total gives 2 for 2 images;"),
        ((4, 3), 2, "total gives 4×3 for 2 images;"),
        ((2, 0), 2, "total gives 2×0 for 2 images;"),
    ],
)
def test_what_has_no_units_is_refused(shape: tuple[int, ...], images: int, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        LayerSize.of("total", torch.zeros(shape), images)

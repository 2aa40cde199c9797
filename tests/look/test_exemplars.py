"""Exemplars against all values held in memory and sorted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import Exemplars, capture, exemplars

LAYERS = ["0", "1", "2", "4"]
FIELD = {"0": (3, 1), "1": (3, 1), "2": (4, 2)}
"""Rows of a place's field, and pixels from one place to the next."""


def make_subject() -> Subject:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5), nn.Dropout(0.5)
    )
    with torch.no_grad():
        conv = model.get_submodule("0")
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        conv.bias[1] = -100  # its ReLU is dead
    return Subject(model.train(), (1, 8, 8), ("a", "b", "c"), name="net")


def make_split(count: int = 70) -> Split:
    generator = torch.Generator().manual_seed(5)
    store = torch.randint(256, (count + 5, 1, 8, 8), generator=generator).to(torch.uint8)
    index = torch.randperm(count + 5, generator=generator)[:count]
    index[-1] = index[0]  # the same image twice: all its values are equal
    return Split(store, torch.arange(count) % 3, index)


def all_outputs(subject: Subject, split: Split) -> dict[str, Tensor]:
    with capture(subject.model, LAYERS) as read:
        return read(subject.inputs(split.pixels))


def check_band(found: Exemplars, outputs: dict[str, Tensor], band: str, order: Callable[..., object]) -> None:
    """A band holds the images that come first by ``order(value, unit, layer)``, then by number."""
    for layer, output in outputs.items():
        own = {"top": found.layers[layer].top, "bottom": found.layers[layer].bottom}.get(
            band, found.layers[layer].middle
        )
        values = output.flatten(2).amax(2) if output.dim() == 4 else output
        k = own.images.shape[1]
        for unit in range(values.shape[1]):
            column = values[:, unit].tolist()
            wanted = sorted(range(len(column)), key=lambda i: (order(column[i], unit, layer), i))[:k]
            assert own.images[unit].tolist() == wanted, (layer, unit)
            assert own.values[unit].tolist() == [column[image] for image in wanted]
            for at, image in enumerate(wanted):
                check_place(own.places[unit, at], own.boxes[unit, at], output[image, unit], layer)


def check_place(place: Tensor, box: Tensor, unit_map: Tensor, layer: str) -> None:
    if layer == "4":
        assert place.tolist() == [-1, -1]
        assert box.tolist() == [0, 0, 8, 8]
        return
    row, column = divmod(int(unit_map.flatten().tolist().index(float(unit_map.max()))), unit_map.shape[1])
    assert place.tolist() == [row, column]
    size, jump = FIELD[layer]
    assert box.tolist() == [row * jump, column * jump, row * jump + size, column * jump + size]


@pytest.mark.parametrize("count", [1, 9, 500])
def test_top_and_bottom_are_exact_over_all_images(count: int) -> None:
    subject, split = make_subject(), make_split()
    found = exemplars(subject, split, count=count, sample=11)
    outputs = all_outputs(subject, split)
    assert list(found.layers) == LAYERS
    assert all(layer.top.images.shape[1] == min(count, 70) for layer in found.layers.values())
    check_band(found, outputs, "top", lambda value, unit, layer: -value)
    check_band(found, outputs, "bottom", lambda value, unit, layer: value)
    dead = found.layers["1"].top
    assert dead.values[1].tolist() == [0.0] * min(count, 70)
    assert dead.images[1].tolist() == list(range(min(count, 70)))


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.8, 1.0])
def test_the_middle_is_nearest_to_the_quantile(quantile: float) -> None:
    """A sample of all images makes it exact."""
    subject, split = make_subject(), make_split()
    found = exemplars(subject, split, quantile=quantile, count=6)
    outputs = all_outputs(subject, split)
    assert found.sampled == 70
    for layer, output in outputs.items():
        values = output.flatten(2).amax(2) if output.dim() == 4 else output
        wanted = torch.quantile(values, quantile, dim=0)
        torch.testing.assert_close(found.layers[layer].middles, wanted)
    middles = {layer: found.layers[layer].middles for layer in LAYERS}
    check_band(found, outputs, "middle", lambda value, unit, layer: abs(value - middles[layer][unit].item()))


def test_the_middle_comes_from_the_sample() -> None:
    subject, split = make_subject(), make_split()
    found = exemplars(subject, split, count=9, sample=5)
    sampled = set(found.layers["0"].middle.images.unique().tolist())
    assert len(sampled) == found.sampled == 5
    for layer in found.layers.values():
        assert layer.middle.images.shape[1] == 5
        assert layer.top.images.shape[1] == 9
        assert set(layer.middle.images.unique().tolist()) == sampled


def test_crops_are_what_stands_behind_the_largest_value() -> None:
    subject, split = make_subject(), make_split()
    found = exemplars(subject, split, ["0", "2", "4"], count=4)
    conv = subject.model.get_submodule("0")
    for unit in range(4):
        top = found.layers["0"].top
        for crop, value in zip(found.crops("0", unit), top.values[unit], strict=True):
            assert crop.shape == (1, 3, 3)
            assert crop.dtype == torch.uint8
            with torch.no_grad():
                again = conv(crop[None] / 255)[0, unit]
            torch.testing.assert_close(again.squeeze(), value)
    assert {crop.shape for crop in found.crops("2", 0, "bottom")} == {(1, 4, 4)}
    images = split.pixels[found.layers["4"].middle.images[3]]
    assert torch.equal(torch.stack(found.crops("4", 3, "middle")), images)
    labels = split.labels[found.layers["4"].middle.images[3]].tolist()
    assert found.class_names("4", 3, "middle") == ["abc"[label] for label in labels]


def test_some_units_alone_keep_their_numbers() -> None:
    found = exemplars(make_subject(), make_split(), ["0", "4"], count=3)
    some = found.only([4, 2])
    assert {layer: some.numbers(layer) for layer in some.layers} == {"0": [2], "4": [4, 2]}
    assert torch.equal(some.layers["4"].bottom.boxes, found.layers["4"].bottom.boxes[[4, 2]])
    assert torch.equal(some.layers["4"].middles, found.layers["4"].middles[[4, 2]])
    assert torch.equal(torch.stack(some.crops("0", 2)), torch.stack(found.crops("0", 2)))
    assert some.class_names("4", 4) == found.class_names("4", 4)
    assert list(some.only([4]).layers) == ["4"]
    with pytest.raises(NotFoundError, match="There is no unit 1: those of 4 are numbered from 2 to 4"):
        some.only([1])
    with pytest.raises(NotFoundError, match="There is no unit 5: those of 4 are numbered from 0 to 4"):
        found.only([0, 5])
    with pytest.raises(NotFoundError, match="There is no unit 4: those of 0 are numbered from 0 to 3"):
        found.crops("0", 4)
    with pytest.raises(NotFoundError, match="There is no unit -1"):
        found.class_names("0", -1)


def test_what_is_lean_has_the_pixels_of_exemplars_alone() -> None:
    whole = exemplars(make_subject(), make_split(), ["0", "4"], count=2, sample=10)
    lean = whole.lean()
    shown = [
        band
        for layer in whole.layers.values()
        for one in (layer.top, layer.middle, layer.bottom)
        for band in one.images.flatten().tolist()
    ]
    assert len(lean.split.store) == len(set(shown)) < len(whole.split)
    assert len(lean.split) == len(whole.split)
    for layer in whole.layers:
        for unit in whole.numbers(layer):
            assert lean.class_names(layer, unit) == whole.class_names(layer, unit)
            for one, other in zip(lean.crops(layer, unit), whole.crops(layer, unit), strict=True):
                assert one.equal(other)
    absent = next(at for at in range(70) if at not in shown)
    with pytest.raises(IndexError):
        lean.split.batch(torch.tensor([absent]))


def test_what_is_kept_grows_with_units_and_count_alone() -> None:
    from cutaway.look.exemplars import FindExemplars
    from cutaway.look.survey import survey

    sizes = []

    class Weighed(FindExemplars):
        def finish(self, surveyed, kept):  # type: ignore[no-untyped-def]
            tensors = [kept.extremes.values, kept.extremes.numbers, kept.extremes.places]
            tensors += [tensor for part in kept.sample for tensor in part]
            sizes.append(sum(tensor.numel() for tensor in tensors))
            return super().finish(surveyed, kept)

    for count in (40, 400):
        survey(make_subject(), make_split(count), [Weighed(3)], sample=10, chunk=8)
    units = 4 + 4 + 4 + 5
    assert sizes == [3 * 3 * 2 * units + 10 * (1 + 2 * units)] * 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"count": 0}, "count should be 1 or more, not 0"),
        ({"quantile": 1.5}, "quantile should be from 0 to 1, not 1.5"),
        ({"quantile": float("nan")}, "quantile should be from 0 to 1"),
        ({"sample": 0}, "sample and chunk should be 1 or more"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        exemplars(make_subject(), make_split(3), **options)  # type: ignore[arg-type]


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(NotFoundError, match='no layer "conv"'):
        exemplars(make_subject(), make_split(3), ["conv"])
    with pytest.raises(DataError, match="no images"):
        exemplars(make_subject(), make_split(1).take(torch.tensor([], dtype=torch.int64)))

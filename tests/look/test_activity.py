"""Activity against loops over every value of every unit."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cutaway import Subject
from cutaway.data import Split
from cutaway.errors import DataError, NotFoundError
from cutaway.look import activity, capture
from cutaway.training.dynamics import LayerUnits, Measured

LAYERS = ["0", "1", "2", "4", "5"]
CLASSES = ("a", "b", "none", "c")


def make_subject() -> Subject:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(54, 5),
        nn.ReLU(),
        nn.Dropout(0.9),
    )
    conv, dense = model.get_submodule("0"), model.get_submodule("4")
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(dense, nn.Linear)
    assert conv.bias is not None
    with torch.no_grad():
        conv.bias[1] = -100  # its ReLU is dead
        conv.weight[2], conv.bias[2] = 0, 3  # constant, not dead
        conv.weight[4], conv.bias[4] = 2 * conv.weight[3], 2 * conv.bias[3]  # duplicates
        conv.weight[5], conv.bias[5] = -conv.weight[3], -conv.bias[3]  # opposites
        dense.weight[1], dense.bias[1] = dense.weight[0], dense.bias[0] + 1
    return Subject(model.train(), (1, 8, 8), CLASSES, name="net")


def make_split(count: int = 120) -> Split:
    generator = torch.Generator().manual_seed(5)
    store = torch.randint(256, (count, 1, 8, 8), generator=generator).to(torch.uint8)
    store[::3] //= 16  # a third is faint
    return Split(store, torch.tensor([0, 1, 3]).repeat(count)[:count], torch.arange(count))


def all_outputs(subject: Subject, split: Split) -> dict[str, Tensor]:
    with capture(subject.model, LAYERS) as read:
        return read(subject.inputs(split.pixels))


def test_every_measure_is_that_of_a_loop() -> None:
    subject, split = make_subject(), make_split()
    found = activity(subject, split)
    assert subject.model.training
    assert list(found.layers) == LAYERS
    assert (found.classes, found.images, found.sampled, found.subject) == (CLASSES, 120, 120, "net")
    labels = split.labels.tolist()
    for name, output in all_outputs(subject, split).items():
        layer = found.layers[name]
        assert layer.units == output.shape[1]
        assert layer.places == output[0, 0].numel()
        for unit in range(layer.units):
            maps = [output[image, unit].flatten().tolist() for image in range(120)]
            every = [value for values in maps for value in values]
            assert layer.mean[unit].item() == pytest.approx(math.fsum(every) / len(every), rel=1e-6, abs=1e-6)
            assert layer.maximum[unit] == max(every)
            assert layer.minimum[unit] == min(every)
            fires = sum(any(value > 0 for value in values) for values in maps) / 120
            assert layer.fires[unit].item() == pytest.approx(fires)
            assert layer.dead[unit] == (fires == 0)
            assert layer.rare[unit] == (0 < fires < 0.01)
            assert layer.constant[unit] == (len(set(every)) == 1)
            blank = sum(len(set(values)) == 1 if len(values) > 1 else values[0] == 0 for values in maps) / 120
            assert layer.blank[unit].item() == pytest.approx(blank)
            for label in (0, 1, 3):
                own = [v for values, at in zip(maps, labels, strict=True) if at == label for v in values]
                wanted = math.fsum(own) / len(own)
                assert layer.class_means[label, unit].item() == pytest.approx(wanted, rel=1e-6, abs=1e-6)
        assert layer.class_means[2].isnan().all()
        assert layer.rectified == bool((output >= 0).all())
    assert [name for name, layer in found.layers.items() if layer.rectified] == ["1", "2", "5"]
    assert found.layers["1"].dead.tolist() == [False, True, False, False, False, False]
    assert found.layers["1"].constant.nonzero().flatten().tolist() == [1, 2]


def test_a_unit_is_rare_below_one_percent_of_the_images() -> None:
    """Of 400 images 3 and 4 are bright enough for two units; a third never fires."""
    pixels = torch.zeros(400, 1, 2, 2, dtype=torch.uint8)
    pixels[100:103], pixels[103] = 255, 128
    conv = nn.Conv2d(1, 3, 2)
    with torch.no_grad():
        conv.weight.fill_(1)
        conv.bias = nn.Parameter(torch.tensor([-3.0, -1.0, -4.0]))
    split = Split(pixels, torch.zeros(400, dtype=torch.int64), torch.arange(400))
    found = activity(Subject(nn.Sequential(conv, nn.ReLU()), (1, 2, 2)), split, ["1"]).layers["1"]
    assert found.fires.tolist() == [3 / 400, 4 / 400, 0]
    assert found.rare.tolist() == [True, False, False]
    assert found.dead.tolist() == [False, False, True]


def test_blanks_are_shares_of_maps_by_layer() -> None:
    found = activity(make_subject(), make_split(), ["0", "1"])
    # Of six maps an image, those of the constant and of the dead unit are always blank behind the ReLU.
    assert found.layers["0"].blanks == pytest.approx(1 / 6)
    assert found.layers["1"].blanks == pytest.approx(found.layers["1"].blank.mean().item())
    assert found.layers["1"].blanks >= 2 / 6


@pytest.mark.parametrize("sample", [120, 20])
def test_duplicates_are_units_that_correlate_place_by_place(sample: int) -> None:
    subject, split = make_subject(), make_split()
    found = activity(subject, split, sample=sample)
    outputs = all_outputs(subject, split)
    chosen = np.arange(120)
    if sample < 120:
        drawn = torch.randperm(120, generator=torch.Generator().manual_seed(0))
        chosen = drawn[:sample].sort().values.numpy()
    for name, output in outputs.items():
        values = output.double().numpy()
        rows = (
            values.T if values.ndim == 2 else np.moveaxis(values[chosen], 1, 0).reshape(values.shape[1], -1)
        )
        moving = [unit for unit in range(len(rows)) if np.ptp(rows[unit])]
        correlation = found.layers[name].correlation
        assert correlation is not None
        np.testing.assert_allclose(correlation[moving][:, moving], np.corrcoef(rows[moving]), atol=1e-5)
        still = [unit for unit in range(len(rows)) if unit not in moving]
        assert correlation[still].isnan().all()
    pairs = [(first, second) for first, second, _ in found.layers["0"].duplicates(0.999)]
    assert pairs == [(3, 4)]
    assert [pair[:2] for pair in found.layers["4"].duplicates(0.999)] == [(0, 1)]


def test_pairs_of_wide_layers_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("cutaway.look.activity"), "MOST_PAIRED", 5)
    found = activity(make_subject(), make_split(20))
    assert found.layers["0"].correlation is None
    assert found.layers["0"].duplicates() == []
    assert found.layers["4"].correlation is not None


def test_selectivity_of_a_unit_that_one_class_drives() -> None:
    """Pixels of one class are white, all others black."""
    pixels = torch.zeros(9, 1, 8, 8, dtype=torch.uint8)
    pixels[3:6] = 255
    split = Split(pixels, torch.arange(9) // 3, torch.arange(9))
    conv = nn.Conv2d(1, 2, 3)
    with torch.no_grad():
        conv.weight[0], conv.bias[0] = 1, 0  # type: ignore[index]
        conv.weight[1], conv.bias[1] = 1, 9  # type: ignore[index]
    found = activity(Subject(nn.Sequential(conv, nn.ReLU()), (1, 8, 8)), split, ["1"])
    assert found.classes == ("0", "1", "2")
    # Sums of nine weights: 9 for the white class and 0 for the others, then 18 and 9.
    np.testing.assert_allclose(found.layers["1"].class_means, [[0, 9], [9, 18], [0, 9]], rtol=1e-6)
    np.testing.assert_allclose(found.layers["1"].selectivity, [1, (18 - 9) / (18 + 9)], rtol=1e-6)


def test_what_was_counted_while_the_run_learnt_is_told_by_epoch() -> None:
    def measured(dead: int) -> Measured:
        return Measured({}, {"1": LayerUnits(6, dead, 0, 0), "other": LayerUnits(3, 1, 0, 0)})

    history = {2: measured(3), 1: measured(0), 3: Measured({}, {})}
    found = activity(make_subject(), make_split(5), history=history)
    assert found.counted == {"1": {1: 0, 2: 3}}
    assert list(found.counted["1"]) == [1, 2]


def test_deaths_are_told_for_layers_that_give_nothing_below_zero() -> None:
    subject = make_subject()
    healthy = make_subject()
    with torch.no_grad():
        healthy.model.get_parameter("0.bias")[1] = 1
    found = activity(subject, make_split(20), epochs={7: subject, 0: healthy})
    assert found.deaths is not None
    assert list(found.deaths.dead) == ["1", "2", "5"]
    assert found.deaths.epochs == [0, 7]
    assert found.deaths.died("1").tolist()[:3] == [-1, 7, -1]
    assert activity(subject, make_split(5), ["0"], epochs={1: subject}).deaths is None


def test_what_is_wrong_is_named() -> None:
    subject = make_subject()
    with pytest.raises(NotFoundError, match='no layer "7"'):
        activity(subject, make_split(3), ["7"])
    with pytest.raises(DataError, match="no images"):
        activity(subject, make_split(3).take(torch.tensor([], dtype=torch.int64)))
    with torch.no_grad():
        subject.model.get_parameter("4.weight")[2, 3] = math.nan
    with pytest.raises(DataError, match=r"net: 4\.weight has 1 value that is NaN"):
        activity(subject, make_split(3))
    assert activity(subject, make_split(3), ["0"]).images == 3

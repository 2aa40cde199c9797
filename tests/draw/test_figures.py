"""Figures, by what must be true of them."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image

import cutaway
from cutaway.draw.curves import plot_epochs
from cutaway.draw.mosaic import kernel_mosaic, map_mosaic
from cutaway.draw.palette import SIGNED
from cutaway.draw.panel import LONGEST
from cutaway.look import Answers, FeatureMaps, Kernels
from cutaway.store import EpochRow, Run
from cutaway.training import Score


def some_maps() -> FeatureMaps:
    """Two images, two layers; in the first image units 1 and 4 of the conv are blank."""
    generator = torch.Generator().manual_seed(6)
    conv = torch.randn(2, 6, 5, 7, generator=generator)
    conv[1] *= 3
    conv[0, 1], conv[0, 4] = 0, -0.5
    dense = torch.randn(2, 4, generator=generator)
    dense[1, 2] = 0
    return FeatureMaps(torch.zeros(2, 1, 9, 9), {"conv1": conv, "dense1": dense}, "some net")


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_feature_maps_share_one_signed_scale_for_each_layer_over_all_images() -> None:
    maps = some_maps()
    axes = np.array(cutaway.plot(maps).axes).reshape(2, 2)
    for row, values in enumerate(maps.layers.values()):
        limit = float(values.abs().max())
        for column in range(2):
            image = axes[row, column].images[0]
            assert image.get_clim() == pytest.approx((-limit, limit))
            assert image.get_cmap().name == SIGNED


def test_feature_maps_show_every_value_in_its_tile() -> None:
    maps = some_maps()
    axes = np.array(cutaway.plot(maps).axes).reshape(2, 2)
    for row, layer in enumerate(maps.layers):
        for column in range(2):
            mosaic = map_mosaic(maps.layers[layer][column], maps.blank(layer)[column])
            shown = np.ma.filled(axes[row, column].images[0].get_array().astype(float), np.nan)
            np.testing.assert_array_equal(shown, mosaic.array())
            assert axes[row, column].get_title(loc="left").startswith(layer)


def test_every_unit_has_its_number_above_its_tile() -> None:
    maps = some_maps()
    first = cutaway.plot(maps).axes[0]
    assert texts(first) == ["0", "1", "2", "3", "4", "5"]
    mosaic = map_mosaic(maps.layers["conv1"][0], maps.blank("conv1")[0])
    for index, text in enumerate(first.texts):
        top, left = mosaic.corner(index)
        x, y = text.get_position()
        assert left - 1 <= x <= left + 7
        assert top - mosaic.strip <= y <= top


def test_every_blank_map_is_crossed_out_and_no_other() -> None:
    maps = some_maps()
    crossed = []
    for row, layer in enumerate(maps.layers):
        for column in range(2):
            axes = cutaway.plot(maps).axes[row * 2 + column]
            mosaic = map_mosaic(maps.layers[layer][column], maps.blank(layer)[column])
            _, height, width = mosaic.tiles.shape
            lines = [np.array(line.get_xydata()) for line in axes.lines]
            for index in range(len(mosaic.tiles)):
                top, left = mosaic.corner(index)
                inside = [
                    line
                    for line in lines
                    if (line >= (left - 0.5, top - 0.5)).all()
                    and (line <= (left + width - 0.5, top + height - 0.5)).all()
                ]
                if inside:
                    # Two lines, each from corner to corner of the tile.
                    assert len(inside) == 2
                    assert all((np.ptp(line, axis=0) == (width, height)).all() for line in inside)
                    crossed.append((layer, column, index))
            assert len(lines) == 2 * sum(mosaic.blank)
    assert crossed == [("conv1", 0, 1), ("conv1", 0, 4), ("dense1", 1, 2)]


def test_a_layer_of_zeros_is_drawn_neutral() -> None:
    figure = cutaway.plot(FeatureMaps(torch.zeros(1, 1, 4, 4), {"relu1": torch.zeros(1, 3, 4, 4)}))
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high < 0


def test_kernels_have_a_scale_for_each_layer() -> None:
    generator = torch.Generator().manual_seed(7)
    layers = {
        "conv1": torch.randn(4, 1, 5, 5, generator=generator),
        "conv2": 0.1 * torch.randn(6, 4, 3, 3, generator=generator),
    }
    figure = cutaway.plot(Kernels(layers))
    for axes, (name, weights) in zip(figure.axes, layers.items(), strict=True):
        limit = float(weights.abs().max())
        assert axes.images[0].get_clim() == pytest.approx((-limit, limit))
        shown = np.ma.filled(axes.images[0].get_array().astype(float), np.nan)  # type: ignore[union-attr]
        np.testing.assert_array_equal(shown, kernel_mosaic(weights).array())
        assert texts(axes) == [str(unit) for unit in range(len(weights))]
        assert axes.get_title(loc="left").startswith(name)


def some_answers() -> Answers:
    labels = torch.tensor([0] * 90 + [1] * 8 + [2] * 2)
    guesses = torch.tensor([0] * 88 + [1] * 2 + [1] * 7 + [2] + [0, 2])
    probabilities = torch.full((100, 3), 0.1)
    probabilities[torch.arange(100), guesses] = 0.8
    return Answers(probabilities, labels, ("cat", "dog", "owl"), "some net")


def test_confusion_cells_state_the_counts() -> None:
    axes = cutaway.plot(some_answers()).axes[0]
    cells = {(int(t.get_position()[1]), int(t.get_position()[0])): int(t.get_text()) for t in axes.texts}
    wanted = some_answers().confusion
    assert cells == {(r, c): int(wanted[r, c]) for r in range(3) for c in range(3) if wanted[r, c]}
    assert cells == {(0, 0): 88, (0, 1): 2, (1, 1): 7, (1, 2): 1, (2, 0): 1, (2, 2): 1}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog", "owl"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "owl"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("taken for", "is")
    assert "4.00% of 100 wrong" in axes.get_title()


def test_confusion_shades_are_shares_of_the_row() -> None:
    """A class of two images must not look pale beside one of ninety."""
    shades = np.asarray(cutaway.plot(some_answers()).axes[0].images[0].get_array())
    assert shades[2, 2] == shades[2, 0] == pytest.approx(0.5**0.5)
    assert shades[0, 0] > shades[1, 1] > shades[2, 2]
    assert shades[2, 1] == 0


def test_curves_are_the_epochs_of_the_run(trained: Run) -> None:
    figure = cutaway.plot(trained)
    epochs = trained.epochs()
    for axes, (field, factor) in zip(figure.axes, [("objective", 1), ("top1_error", 100)], strict=True):
        lines = {str(line.get_label()): line for line in axes.lines}
        assert list(lines) == ["train", "validation", "test"]
        for split, line in lines.items():
            assert list(np.asarray(line.get_xdata())) == [row.epoch for row in epochs]
            wanted = [getattr(row.scores[split], field) * factor for row in epochs]
            assert np.asarray(line.get_ydata()).tolist() == pytest.approx(wanted)
        assert axes.get_xlabel() == "epoch"
    assert "nats" in figure.axes[0].get_ylabel()
    assert "%" in figure.axes[1].get_ylabel()
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["train", "validation", "test"]


def test_a_curve_over_orders_of_magnitude_has_a_logarithmic_scale() -> None:
    def rows(objectives: list[float]) -> list[EpochRow]:
        return [
            EpochRow(e + 1, 0.1, 1.0, 1.0, True, {"test": Score(v, v / 3, 0.0, 10)})
            for e, v in enumerate(objectives)
        ]

    assert plot_epochs(rows([2.0, 0.3, 0.02])).axes[0].get_yscale() == "log"
    linear = plot_epochs(rows([2.0, 1.0, 0.5])).axes[0]
    assert linear.get_yscale() == "linear"
    assert linear.get_ylim()[0] == 0


@pytest.mark.parametrize(("epochs", "dots"), [(50, True), (51, False)])
def test_many_epochs_are_a_line_without_dots(*, epochs: int, dots: bool) -> None:
    rows = [
        EpochRow(number, 0.1, 1.0, 100.0, True, {"train": Score(1.0, 0.5, 0.1, 10)})
        for number in range(1, epochs + 1)
    ]
    (line,) = plot_epochs(rows).axes[0].get_lines()
    assert (line.get_marker() == "o") == dots
    assert len(np.asarray(line.get_xdata())) == epochs


def test_every_kind_of_result_can_be_saved(trained: Run) -> None:
    for result in (some_maps(), Kernels({"c": torch.randn(3, 2, 3, 3)}), some_answers(), trained):
        for kind in ("png", "svg", "pdf"):
            buffer = io.BytesIO()
            cutaway.plot(result).savefig(buffer, format=kind)
            assert len(buffer.getvalue()) > 1000
        buffer = io.BytesIO()
        cutaway.plot(result).savefig(buffer, format="png")
        assert len(Image.open(buffer).convert("RGB").getcolors(1 << 20) or []) > 10


@pytest.mark.parametrize("value", [3, "last", torch.zeros(2), None])
def test_what_has_no_picture_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=rf"not {type(value).__name__}"):
        cutaway.plot(value)


MANY = tuple(f"class number {n} of many" for n in range(400))


def _answers_of(names: tuple[str, ...]) -> Answers:
    count = len(names)
    return Answers(torch.eye(count), torch.arange(count), names, "net")


@pytest.mark.parametrize("names", [("$\\x$", "a$b$", "_c_"), MANY])
def test_confusions_of_any_names_can_be_saved(names: tuple[str, ...], tmp_path: Path) -> None:
    figure = cutaway.plot(_answers_of(names))
    assert max(figure.get_size_inches()) <= LONGEST
    figure.savefig(tmp_path / "a.png", dpi=30)
    shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert shown[0] == (names[0] if len(names[0]) <= 16 else f"{names[0][:15]}…")
    assert len(shown) == len(names) or len(shown) < 200


def test_names_of_classes_do_not_overlap() -> None:
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    figure = cutaway.plot(_answers_of(names))
    figure.draw_without_rendering()
    for labels in (figure.axes[0].get_xticklabels(), figure.axes[0].get_yticklabels()):
        boxes = [label.get_window_extent() for label in labels]
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))

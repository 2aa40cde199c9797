"""Results kept in files: what comes back is what was kept, and nothing else is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import cutaway
from cutaway.errors import ConfigError, DataError, NotFoundError
from cutaway.look import (
    Maximized,
    Recipe,
    Target,
    activity,
    answers,
    exemplars,
    feature_maps,
    load,
    maximize,
    probe,
    save,
)
from cutaway.look.archive import RESULT, load_drawing
from cutaway.store import Run


def assert_same(one: Any, other: Any) -> None:
    """Equal in every part, tensors value by value; tuples and lists may stand for each other's kind."""
    if isinstance(one, Tensor):
        assert one.dtype == other.dtype
        torch.testing.assert_close(other, one.cpu(), rtol=0, atol=0, equal_nan=True)
    elif is_dataclass(one):
        assert type(one) is type(other)
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, Mapping):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple | range):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)
    elif isinstance(one, float) and math.isnan(one):
        assert math.isnan(other)
    else:
        assert one == other
        assert type(one) is type(other)


@pytest.fixture(scope="module")
def results(trained: Run) -> dict[str, Any]:
    """Results of many kinds: nested classes, keys that are numbers, NaN, names, booleans."""
    subject = trained.subject()
    digits = trained.images().split("test").take(torch.arange(60))
    pixels = digits.batch(torch.arange(40))
    return {
        "maps": feature_maps(subject, pixels[:2], ["conv1"], [3, 1]),
        "exemplars": exemplars(subject, digits, ["conv1"]),
        "activity": activity(subject, digits, ["conv1"]),
        "answers": answers(subject, digits),
        "probe": probe(subject, digits, digits, ["conv1"], images=40, test_images=20, features=9),
        "maximize": maximize(subject, [Target({0: 1.0}, "conv1"), Target({1: 1.0}, "conv1")], Recipe(3)),
    }


def test_what_is_kept_comes_back(results: dict[str, Any], tmp_path: Path) -> None:
    for name, result in results.items():
        path = save(result, tmp_path / "deep" / f"{name}.npz")
        assert_same(result, load(path))


def test_any_of_them_is_drawn_from_its_file(results: dict[str, Any], tmp_path: Path) -> None:
    for name, result in results.items():
        path = save(result, tmp_path / f"{name}.npz")
        assert len(cutaway.plot(path).axes) == len(cutaway.plot(result).axes)
        assert len(cutaway.plot(str(path)).axes) > 0


def test_options_of_the_picture_are_kept_and_can_be_replaced(results: dict[str, Any], tmp_path: Path) -> None:
    path = save(results["maps"], tmp_path / "maps.npz", drawing={"scale": "unit"})
    assert load_drawing(path)[1] == {"scale": "unit"}
    assert all(axes.images for axes in cutaway.plot(path).axes[:2])
    with pytest.raises(ConfigError, match="scale"):
        cutaway.plot(path, scale="nothing")


def test_an_array_is_written_once_under_the_name_it_was_given(
    results: dict[str, Any], tmp_path: Path
) -> None:
    maps = results["maps"]
    path = save(maps, tmp_path / "maps.npz", arrays={"mine": maps.layers["conv1"], "more": torch.ones(2)})
    with np.load(path, allow_pickle=False) as file:
        assert set(file) == {"mine", "more", "result.images", RESULT}
    assert_same(maps, load(path))


def test_two_parts_of_one_name_are_two_arrays(tmp_path: Path) -> None:
    value = {"a": {"b": torch.zeros(2)}, "a.b": torch.ones(2)}
    assert_same(value, load(save(value, tmp_path / "x.npz")))


def test_an_empty_tensor_is_not_taken_for_another(tmp_path: Path) -> None:
    value = [torch.zeros(0), torch.zeros(0, dtype=torch.int64), torch.zeros(3, 0)]
    assert_same(value, load(save(value, tmp_path / "x.npz")))


def test_views_of_one_tensor_are_kept_apart(tmp_path: Path) -> None:
    whole = torch.arange(6.0).reshape(2, 3)
    value = [whole, whole.T, whole[0], whole[:, ::2], whole.flip(0)]
    assert_same(value, load(save(value, tmp_path / "x.npz")))


def test_a_function_can_not_be_kept(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"A function at result\.a\.0 can't be kept"):
        save({"a": [print.__class__, lambda: 0][1:]}, tmp_path / "x.npz")
    assert not list(tmp_path.iterdir())


def rewritten(path: Path, change: Any) -> Path:
    """A file with another description."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    told = json.loads(str(arrays.pop(RESULT)))
    change(told)
    contents: dict[str, Any] = {**arrays, RESULT: np.array(json.dumps(told))}
    np.savez(path, **contents)
    return path


@dataclass(frozen=True)
class Foreign:
    """Not one of Cutaway's own."""

    called: str = ""

    def __post_init__(self) -> None:
        raise AssertionError("foreign code ran")


@pytest.mark.parametrize(
    "path",
    [
        f"{__name__}:Foreign",
        "os:system",
        "cutaway.nowhere:Maps",
        "cutaway.look.maps:Nothing",
        "cutaway.look.maps:feature_maps",
        "cutaway.cli.app:main",
        "cutaway.look.archive:_Writer",
        "cutaway",
    ],
)
def test_only_values_of_cutaways_own_are_made(path: str, results: dict[str, Any], tmp_path: Path) -> None:
    kept = save(results["maps"], tmp_path / "maps.npz")
    rewritten(kept, lambda told: told["value"].update({"class": path}))
    with pytest.raises(DataError, match=r"is no result of a look, or damaged"):
        load(kept)


def test_what_is_no_result_is_told(results: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match="is no result of a look, or damaged"):
        load(tmp_path / "text.npz")
    np.savez(tmp_path / "plain.npz", a=np.ones(2))
    with pytest.raises(DataError, match="holds arrays, but no result"):
        load(tmp_path / "plain.npz")
    kept = save(results["maps"], tmp_path / "maps.npz")
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged"):
        load(kept)
    kept.write_bytes(whole)
    rewritten(kept, lambda told: told.update({"format": 99, "cutaway": "9.0"}))
    with pytest.raises(DataError, match=r"written by Cutaway 9\.0"):
        load(kept)


def test_a_flipped_bit_never_gives_other_numbers(results: dict[str, Any], tmp_path: Path) -> None:
    kept = save(results["maps"], tmp_path / "maps.npz")
    whole = kept.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        kept.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            found = load(kept)
        except (DataError, NotFoundError):
            continue
        assert_same(results["maps"], found)  # a bit that nothing depends on


def test_maximized_keeps_its_steps(results: dict[str, Any], tmp_path: Path) -> None:
    found = load(save(results["maximize"], tmp_path / "m.npz"))
    assert isinstance(found, Maximized)

"""``hf:NAME``, against a stand-in for the library ``datasets``: columns, splits, pictures, refusals."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cutaway.config import DataConfig
from cutaway.data import Images, load_images, load_source
from cutaway.errors import ConfigError, CutawayError, DataError, NotFoundError


class ImageFeature:
    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


class ClassLabel:
    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)


class Value:
    pass


class Table:
    """Rows with features: images come as bytes only where they are cast not to be decoded."""

    def __init__(self, features: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
        self.features = dict(features)
        self.rows = rows

    def select_columns(self, names: Sequence[str]) -> Table:
        return Table({n: self.features[n] for n in names}, [{n: r[n] for n in names} for r in self.rows])

    def cast_column(self, name: str, feature: object) -> Table:
        return Table({**self.features, name: feature}, self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for row in self.rows:
            for name, feature in self.features.items():
                assert not isinstance(feature, ImageFeature) or not feature.decode, name
            yield row


class DatasetNotFoundError(FileNotFoundError):
    pass


class HttpError(Exception):
    __module__ = "httpx"


def encoded(array: np.ndarray[Any, Any], kind: str = "PNG") -> dict[str, Any]:
    """A picture as the library keeps it."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return {"bytes": buffer.getvalue(), "path": "a.png"}


def grey(number: int, height: int = 4, width: int = 6) -> np.ndarray[Any, Any]:
    return (np.arange(height * width).reshape(height, width) * 3 + number).astype(np.uint8)


def colour(number: int) -> np.ndarray[Any, Any]:
    return np.stack([grey(number), grey(number + 50), grey(number + 100)], axis=2)


FEATURES = {"id": Value(), "img": ImageFeature(), "label": ClassLabel(["cat", "dog"])}


def table(pictures: Sequence[Mapping[str, Any] | None], labels: Sequence[int | None]) -> Table:
    rows = [
        {"id": n, "img": picture, "label": label}
        for n, (picture, label) in enumerate(zip(pictures, labels, strict=True))
    ]
    return Table(FEATURES, rows)


def greys(numbers: Sequence[int], labels: Sequence[int | None]) -> Table:
    return table([encoded(grey(n)) for n in numbers], labels)


Hub = Callable[..., list[tuple[str, str | None]]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Installs the stand-in with one dataset, or one that raises; what it is asked for is recorded."""

    def install(found: object, version: str = "4.8.1") -> list[tuple[str, str | None]]:
        asked: list[tuple[str, str | None]] = []

        def load_dataset(name: str, config: str | None = None) -> object:
            asked.append((name, config))
            if isinstance(found, Exception):
                raise found
            return found

        module = ModuleType("datasets")
        for name, value in {
            "__version__": version,
            "load_dataset": load_dataset,
            "Image": ImageFeature,
            "ClassLabel": ClassLabel,
        }.items():
            setattr(module, name, value)
        monkeypatch.setitem(sys.modules, "datasets", module)
        return asked

    return install


def load(source: str = "hf:pets", **fields: Any) -> Images:
    return load_source(DataConfig(source=source, **fields))


def refused(kind: type[CutawayError], source: str = "hf:pets", **fields: Any) -> str:
    with pytest.raises(kind) as caught:
        load(source, **fields)
    assert type(caught.value) is kind
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


def test_the_splits_their_pixels_and_labels(hub: Hub) -> None:
    found = {"test": greys([7], [0]), "train": greys([1, 2], [1, 0]), "unsupervised": greys([3], [0])}
    asked = hub(found)
    images = load()
    assert asked == [("pets", None)]
    assert images.classes == ("cat", "dog")
    assert list(images.splits) == ["train", "test"]
    assert images.split("train").pixels.tolist() == [[grey(1).tolist()], [grey(2).tolist()]]
    assert images.split("train").labels.tolist() == [1, 0]
    assert images.split("train").index.tolist() == [0, 1]
    assert images.split("test").pixels.tolist() == [[grey(7).tolist()]]
    assert images.skipped == ()


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("hf:pets", ("pets", None)),
        ("hf:owner/pets", ("owner/pets", None)),
        ("hf:owner/pets@small", ("owner/pets", "small")),
    ],
)
def test_the_name_and_the_configuration(source: str, wanted: tuple[str, str | None], hub: Hub) -> None:
    asked = hub({"train": greys([1], [1])})
    load(source)
    assert asked == [wanted]


@pytest.mark.parametrize("called", ["validation", "valid", "val", "dev"])
def test_a_validation_split_by_any_of_its_names(called: str, hub: Hub) -> None:
    hub({"train": greys([1], [1]), called: greys([5], [0])})
    assert load().split("validation").pixels.tolist() == [[grey(5).tolist()]]


def test_the_first_of_several_columns_is_taken(hub: Hub) -> None:
    features = {
        "img": ImageFeature(),
        "mask": ImageFeature(),
        "fine": ClassLabel(["a", "b", "c"]),
        "coarse": ClassLabel(["x"]),
    }
    row = {"img": encoded(grey(1)), "mask": encoded(grey(9)), "fine": 2, "coarse": 0}
    hub({"train": Table(features, [row])})
    images = load()
    assert images.classes == ("a", "b", "c")
    assert images.split("train").labels.tolist() == [2]
    assert images.split("train").pixels.tolist() == [[grey(1).tolist()]]


def test_pictures_in_colour(hub: Hub) -> None:
    hub({"train": table([encoded(colour(1))], [0])})
    assert load().split("train").pixels.tolist() == [colour(1).transpose(2, 0, 1).tolist()]


def test_grey_pictures_among_coloured_ones(hub: Hub) -> None:
    hub({"train": table([encoded(grey(1)), encoded(colour(2))], [0, 1]), "test": greys([3], [0])})
    images = load()
    assert images.split("train").pixels.tolist() == [
        [grey(1).tolist()] * 3,
        colour(2).transpose(2, 0, 1).tolist(),
    ]
    assert images.split("test").pixels.tolist() == [[grey(3).tolist()] * 3]


def test_the_channels_that_are_set(hub: Hub) -> None:
    hub({"train": table([encoded(grey(1)), encoded(colour(2))], [0, 1])})
    assert load(channels=1).shape == (1, 4, 6)
    hub({"train": greys([1], [0])})
    assert load(channels=3).split("train").pixels.tolist() == [[grey(1).tolist()] * 3]


def test_the_size_that_is_set_and_the_border(hub: Hub) -> None:
    flat = [encoded(np.full(sides, 77, np.uint8)) for sides in ((4, 6), (9, 5), (8, 8))]
    hub({"train": table(flat, [0, 1, 0])})
    pixels = load(size="8x8", pad=1).split("train").pixels
    assert pixels.shape == (3, 1, 10, 10)
    assert pixels.unique().tolist() == [77]
    assert load(size="8x8").shape == (1, 8, 8)


def test_a_border_is_added_once(hub: Hub) -> None:
    hub({"train": greys([1], [0])})
    images = load(pad=1)
    assert images.shape == (1, 6, 8)
    assert images.split("train").pixels[0, 0, 1:-1, 1:-1].tolist() == grey(1).tolist()


def test_a_file_beside_the_dataset_and_a_jpeg(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(grey(4)).save(path)
    jpeg = encoded(np.full((4, 6), 90, np.uint8), "JPEG")
    hub({"train": table([{"bytes": None, "path": str(path)}, jpeg], [0, 1])})
    pixels = load().split("train").pixels
    assert pixels[0, 0].tolist() == grey(4).tolist()
    assert pixels[1].unique().tolist() == [90]


def test_different_sizes_need_one(hub: Hub) -> None:
    hub({"train": table([encoded(grey(1)), encoded(grey(1, 5, 7))], [0, 1])})
    assert "images of 4×6 and 5×7 pixels (height × width). Set data.size" in refused(ConfigError)
    hub({"train": greys([1], [0]), "test": table([encoded(grey(1, 5, 7))], [1])})
    assert "images of 4×6 and 5×7 pixels" in refused(ConfigError)


def test_a_test_split_without_labels_is_left_out(hub: Hub) -> None:
    hub({"train": greys([1, 2], [0, 1]), "test": greys([3, 4], [-1, None])})
    assert list(load().splits) == ["train"]
    hub({"train": greys([1, 2], [0, 1]), "test": greys([3, 4], [1, None])})
    assert "pets (test): label -1 is out of range" in refused(DataError)
    hub({"train": greys([1, 2], [-1, -1])})
    assert "pets (train): label -1 is out of range" in refused(DataError)


@pytest.mark.parametrize("bad", [{"bytes": b"no image", "path": "a"}, {"bytes": None, "path": None}, None])
def test_a_bad_picture_is_told_or_left_out(bad: Mapping[str, Any] | None, hub: Hub) -> None:
    hub({"train": table([encoded(grey(1)), bad, encoded(grey(3))], [0, 0, 1])})
    assert "pets (train): image 1 can't be read: " in refused(DataError)
    images = load(skip_bad=True)
    assert images.split("train").pixels[:, 0].tolist() == [grey(1).tolist(), grey(3).tolist()]
    assert images.split("train").labels.tolist() == [0, 1]
    assert [name for name, _ in images.skipped] == ["pets (train): image 1"]


def test_nothing_that_can_be_read(hub: Hub) -> None:
    hub({"train": table([None], [0])})
    assert "pets (train): there are no images in it." in refused(DataError, skip_bad=True)


def test_no_such_columns_or_splits(hub: Hub) -> None:
    hub({"train": Table({"text": Value(), "label": ClassLabel("ab")}, [])})
    assert refused(DataError).startswith('"pets" has no column of images, but: text (Value), label (Class')
    hub({"train": Table({"img": ImageFeature(), "label": Value()}, [])})
    assert '"pets" has no column of classes (ClassLabel), but: img' in refused(DataError)
    hub({"all": greys([1], [1]), "test": greys([1], [1])})
    assert refused(DataError) == '"pets" has no split train, but: all, test.'


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = "The source \"hf\" needs the library datasets: pip install 'cutaway[hub]'"
    monkeypatch.setitem(sys.modules, "datasets", None)  # as Python marks what can't be imported
    assert refused(NotFoundError) == wanted
    monkeypatch.setitem(sys.modules, "datasets", ModuleType("datasets"))  # a folder of that name
    assert refused(NotFoundError) == wanted


@pytest.mark.parametrize("version", ["2.14.0", "3.6.0"])
def test_versions_that_run_code_are_refused(version: str, hub: Hub) -> None:
    asked = hub({"train": greys([1], [1])}, version=version)
    assert f"datasets {version} may run code that comes with a dataset" in refused(NotFoundError)
    assert asked == []


@pytest.mark.parametrize("version", ["4.0.0", "5.2.0.dev0", "10.0"])
def test_versions_that_do_not(version: str, hub: Hub) -> None:
    hub({"train": greys([1], [1])}, version=version)
    load()


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (DatasetNotFoundError("Dataset 'pets' …"), NotFoundError, 'There is no dataset "pets" on the Hub'),
        (ConnectionError("Couldn't reach"), DataError, "The Hub is out of reach"),
        (TimeoutError(), DataError, "(TimeoutError). Check the network."),
        (HttpError("closed"), DataError, "The Hub is out of reach"),
        (
            ValueError("Config name is missing.\nPick one: ['a', 'b']"),
            DataError,
            "can't be loaded: Config name is missing. Pick one: ['a', 'b']. Name one: hf:pets@CONFIG.",
        ),
        (ValueError("bad split"), DataError, '"pets" can\'t be loaded: bad split.'),
        (RuntimeError("x" * 1000), DataError, "can't be loaded: " + "x" * 200 + "."),
        (KeyError(), DataError, "can't be loaded: KeyError."),
    ],
)
def test_what_the_library_raises_is_told(
    error: Exception, kind: type[CutawayError], message: str, hub: Hub
) -> None:
    hub(error)
    assert message in refused(kind)


def test_a_name_is_needed_and_a_path_is_not(hub: Hub) -> None:
    hub({"train": greys([1], [1])})
    for source in ("hf", "hf:", "hf:@small"):
        assert 'The source "hf" needs a name: hf:NAME' in refused(ConfigError, source)
    assert "reads no path" in refused(ConfigError, path="somewhere")


@pytest.mark.parametrize("source", ["mnist:pets", "hg:pets", ":", "hf2:pets", "HF:pets"])
def test_a_colon_makes_no_source_of_others(source: str, hub: Hub) -> None:
    hub({"train": greys([1], [1])})
    assert f'There is no source "{source}".' in refused(NotFoundError, source)


def test_splits_are_made_of_it_as_of_any_source(hub: Hub) -> None:
    hub({"train": greys(range(10), [0, 1] * 5), "test": greys([1], [0])})
    config = DataConfig(source="hf:pets", validation=4)
    assert {name: len(split) for name, split in load_images(config).splits.items()} == {
        "train": 6,
        "validation": 4,
        "test": 1,
    }

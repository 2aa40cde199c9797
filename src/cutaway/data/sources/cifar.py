"""``cifar10``, ``cifar100``: 60 000 colour photographs of 32×32, from the official binary version.

A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009. A record is one byte for
the class (CIFAR-100: one for the superclass, one for the class), then 1024 bytes each of red, green and
blue, row by row. https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray

from cutaway.config import DataConfig
from cutaway.data.images import Images, Split, make_split
from cutaway.data.sources.registry import SOURCES, Source
from cutaway.errors import DataError, NotFoundError

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


@dataclass(frozen=True)
class _Version:
    """Where one of the two datasets has what.

    Args:
        name: of the source, and of what is fetched.
        title: for people.
        archive: the official archive's name.
        folder: that is in it.
        train: the files of the training split, in order.
        test: the file of the test split.
        labels: bytes before the pixels of a record; the last of them is the class.
        names: the file with the class names, a line each.
        classes: the names where that file is missing.
        pickled: what the version for Python's pickle is called: archive, folder, a file in it.
    """

    name: str
    title: str
    archive: str
    folder: str
    train: tuple[str, ...]
    test: str
    labels: int
    names: str
    classes: tuple[str, ...]
    pickled: tuple[str, str, str]

    @property
    def batches(self) -> tuple[str, ...]:
        """All files with records."""
        return (*self.train, self.test)


_FINE = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly "
    "camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile "
    "cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp "
    "lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree "
    "orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum "
    "rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider "
    "squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train "
    "trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
"""The classes of CIFAR-100, in the order of their labels."""

CIFAR10 = _Version(
    "cifar10",
    "CIFAR-10",
    "cifar-10-binary.tar.gz",
    "cifar-10-batches-bin",
    tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test_batch.bin",
    1,
    "batches.meta.txt",
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ("cifar-10-python.tar.gz", "cifar-10-batches-py", "data_batch_1"),
)
CIFAR100 = _Version(
    "cifar100",
    "CIFAR-100",
    "cifar-100-binary.tar.gz",
    "cifar-100-binary",
    ("train.bin",),
    "test.bin",
    2,
    "fine_label_names.txt",
    tuple(_FINE.split()),
    ("cifar-100-python.tar.gz", "cifar-100-python", "train"),
)


def load_cifar(version: _Version, path: Path) -> Images:
    """The 50 000 training and 10 000 test images of a CIFAR dataset.

    Args:
        version: :data:`CIFAR10` or :data:`CIFAR100`.
        path: the archive, the folder that is in it, or a folder that has one of these.

    Returns:
        Splits "train" and "test" of uint8 ``(N, 3, 32, 32)``.

    Raises:
        NotFoundError: there is nothing of the kind.
        DataError: a file is missing or damaged, or it is the version for Python, which is pickled.
    """
    place = _find(version, path)
    read = _read_archive if place.is_file() else _read_folder
    files = read(place, {*version.batches, version.names, version.pickled[2]})
    if version.pickled[2] in files and version.train[0] not in files:
        raise _pickled(version, place)
    classes = _classes(version, place, files)
    splits: dict[str, Split] = {}
    for split, names in {"train": version.train, "test": (version.test,)}.items():
        records = [_records(version, place, name, files, len(classes)) for name in names]
        # A record's pixels do not lie beside the next one's: joining them copies them once.
        pixels = np.concatenate([batch[:, version.labels :] for batch in records])
        labels = np.concatenate([batch[:, version.labels - 1] for batch in records])
        splits[split] = make_split(
            torch.from_numpy(pixels).view(-1, 3, _SIDE, _SIDE),
            torch.from_numpy(labels),
            len(classes),
            f"{place} ({split})",
        )
    return Images(classes, splits)


def _find(version: _Version, path: Path) -> Path:
    """The archive, or the folder with the batches."""
    fetching = f"Fetch it: cutaway data fetch {version.name}"
    if path.is_file():
        if path.name == version.pickled[0]:
            raise _pickled(version, path)
        return path
    if not path.is_dir():
        raise NotFoundError(f"There is no {path}. {fetching}, or set data.path to where it is.")
    for folder in (path, path / version.folder):
        if any((folder / name).is_file() for name in version.batches):
            return folder
    if (path / version.archive).is_file():
        return path / version.archive
    if any((path / name).exists() for name in version.pickled):
        raise _pickled(version, path)
    raise NotFoundError(
        f"{path} has no {version.title} in it: neither {version.archive} nor {version.train[0]}. {fetching}"
    )


def _pickled(version: _Version, path: Path) -> DataError:
    return DataError(
        f"{path} is the version of {version.title} for Python: a pickle can run any code when it is read, "
        f"so none is. Fetch the binary version: cutaway data fetch {version.name}"
    )


def _read_folder(folder: Path, wanted: Collection[str]) -> dict[str, bytes]:
    found = {}
    for name in wanted:
        path = folder / name
        if path.is_file():
            try:
                found[name] = path.read_bytes()
            except OSError as error:
                raise DataError(f"{path} can't be read: {error.strerror}.") from None
    return found


def _read_archive(path: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """The wanted files of an archive, whatever folder they are in; nothing is unpacked to the disk."""
    found = {}
    try:
        with gzip.open(path) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    name = PurePosixPath(member.name).name
                    content = archive.extractfile(member) if name in wanted and member.isfile() else None
                    if content is not None:
                        found[name] = content.read()
            # The checksum stands at the end of a gzip file, and is compared when that is reached.
            while stream.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError) as error:
        raise DataError(f"{path} is damaged, or no .tar.gz archive ({error}). Fetch it again.") from None
    return found


def _classes(version: _Version, place: Path, files: Mapping[str, bytes]) -> tuple[str, ...]:
    if version.names not in files:
        return version.classes
    lines = files[version.names].decode("utf-8", "replace").splitlines()
    classes = tuple(line.strip() for line in lines if line.strip())
    if len(classes) != len(version.classes):
        raise DataError(
            f"{place}: {version.names} has {len(classes)} class names, not {len(version.classes)}. Fetch it "
            "again."
        )
    return classes


def _records(
    version: _Version, place: Path, name: str, files: Mapping[str, bytes], classes: int
) -> NDArray[np.uint8]:
    """A file's records, ``(N, labels + 3072)`` uint8."""
    size = version.labels + _PIXELS
    if name not in files:
        raise DataError(f"{place} has no {name}. Fetch it again: cutaway data fetch {version.name}")
    content = files[name]
    if not content or len(content) % size:
        raise DataError(
            f"{place}: {name} has {len(content):,} bytes, which are no records of {size:,}. Fetch it again."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    largest = int(records[:, version.labels - 1].max())
    if largest >= classes:
        raise DataError(f"{place}: {name} has label {largest}, but there are {classes} classes.")
    return records


def _source(version: _Version) -> Source:
    def load(config: DataConfig) -> Images:
        return load_cifar(version, Path(config.path or f"data/{version.name}").expanduser())

    return Source(
        f"{version.title}, 60 000 photographs of 32×32 in {len(version.classes)} classes; first: "
        f"cutaway data fetch {version.name}",
        load,
    )


SOURCES.add("cifar10")(_source(CIFAR10))
SOURCES.add("cifar100")(_source(CIFAR100))

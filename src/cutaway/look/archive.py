"""A result kept in a file, to be drawn or read again without the model: an ``.npz`` that says what it is.

Its arrays are NumPy's; ``result`` tells in JSON how the result is put together of them. Those that have no
name of their own are called ``result.`` and their place in it. Reading it makes plain values of Cutaway's
own classes and nothing else: no pickle, no foreign code.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cutaway import __version__
from cutaway.config.section import Section
from cutaway.disk import make_folder, write_file
from cutaway.errors import DataError, NotFoundError

FORMAT = 1
"""Of what is written; raised when an older reader would misread it."""

RESULT = "result"
"""The member of an archive that tells what it is."""


_DAMAGE = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error),
    *(ValueError, KeyError, TypeError, AttributeError, RuntimeError),
)
"""What NumPy, zipfile and JSON meet in a file of which some bytes are other ones."""


def save(
    result: object,
    path: str | Path,
    *,
    arrays: Mapping[str, Tensor] | None = None,
    drawing: Mapping[str, Any] | None = None,
) -> Path:
    """Keep a look's result as an ``.npz``: :func:`load` gives it back, and ``cutaway.plot(path)`` draws it.

    Args:
        result: any of ``cutaway.look``'s results.
        path: where to; its folder is made.
        arrays: tensors to be kept under names of their own, for readers that want only NumPy. Those that
            are part of the result are written once.
        drawing: options with which it is drawn when none are given, such as ``scale="unit"``.

    Returns:
        the path.

    Raises:
        DataError: the result holds something that no file can, such as a function.
        StoreError: it can't be written.
    """
    path = Path(path).expanduser()
    writer = _Writer(arrays or {})
    told = {
        "format": FORMAT,
        "cutaway": __version__,
        "value": writer.encode(result, RESULT),
        "drawing": writer.encode(dict(drawing or {}), f"{RESULT}.drawing"),
    }
    text = json.dumps(told, ensure_ascii=False, allow_nan=False)
    buffer = io.BytesIO()
    contents: dict[str, Any] = {**writer.arrays, RESULT: np.array(text)}
    np.savez_compressed(buffer, **contents)
    make_folder(path.absolute().parent)
    write_file(path.absolute(), buffer.getvalue())
    return path


def load(path: str | Path) -> Any:
    """The result that :func:`save` kept, its tensors on the CPU.

    Raises:
        NotFoundError: there is no such file.
        DataError: it is no such file, damaged, or of another Cutaway.
    """
    return load_drawing(path)[0]


def load_drawing(path: str | Path) -> tuple[Any, dict[str, Any]]:
    """The result that :func:`save` kept, and the options with which it is drawn."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if RESULT not in file:
                raise DataError(
                    f"{path} holds arrays, but no result of a look. Make it again: cutaway look …"
                )
            told = json.loads(str(file[RESULT]))
            if told["format"] != FORMAT:
                raise DataError(
                    f"{path} was written by Cutaway {told['cutaway']}, in a format that this one "
                    f"({__version__}) does not know. Look again, or take that version."
                )
            reader = _Reader(file)
            return reader.decode(told["value"]), reader.decode(told["drawing"])
    except _DAMAGE as error:
        raise DataError(
            f"{path} is no result of a look, or damaged ({type(error).__name__}). Look again."
        ) from None


class _Writer:
    """Takes a result apart: its tensors into ``arrays``, all else into values that JSON has."""

    def __init__(self, arrays: Mapping[str, Tensor]) -> None:
        self.arrays: dict[str, Any] = {}
        self._names: dict[tuple[Any, ...], str] = {}
        for name, tensor in arrays.items():
            self._keep(tensor, name)

    def encode(self, value: Any, place: str) -> Any:
        """A value as JSON.

        Args:
            value: a part of the result.
            place: where in it, for the names of arrays.
        """
        if isinstance(value, Tensor):
            return {"tensor": self._names.get(_same(value)) or self._keep(value, place)}
        if isinstance(value, Enum | Path | float | str | int | None):
            return _leaf(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            parts = {
                field.name: self.encode(getattr(value, field.name), f"{place}.{field.name}")
                for field in dataclasses.fields(value)
                if field.init
            }
            return {"class": _path(type(value)), "fields": parts}
        if isinstance(value, Section):
            return {"section": _path(type(value)), "values": value.model_dump(mode="json")}
        if isinstance(value, Mapping | AbstractSet | Sequence):
            return self._container(value, place)
        raise DataError(f"A {type(value).__name__} at {place} can't be kept in a file.")

    def _container(self, value: Mapping[Any, Any] | AbstractSet[Any] | Sequence[Any], place: str) -> Any:
        if isinstance(value, Mapping):
            # Keys may be numbers, which JSON's objects have not.
            pairs = [
                [self.encode(key, place), self.encode(one, f"{place}.{key}")] for key, one in value.items()
            ]
            return {"map": pairs}
        if isinstance(value, AbstractSet):
            return {"set": [self.encode(one, place) for one in sorted(value)]}
        items = [self.encode(one, f"{place}.{number}") for number, one in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}

    def _keep(self, tensor: Tensor, name: str) -> str:
        while name in self.arrays or name == RESULT:
            name += "_"
        self.arrays[name] = tensor.detach().cpu().numpy()
        self._names[_same(tensor)] = name
        return name


class _Reader:
    """Puts a result together again."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self._arrays = arrays

    def decode(self, value: Any) -> Any:
        """What ``_Writer.encode`` was given."""
        if isinstance(value, list):
            return [self.decode(one) for one in value]
        if not isinstance(value, dict):
            return value
        (kind, found), *more = value.items()
        return getattr(self, f"_{kind}")(found, **dict(more))

    def _tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self._arrays[name])

    def _float(self, text: str) -> float:
        return float(text)

    def _tuple(self, items: list[Any]) -> tuple[Any, ...]:
        return tuple(self.decode(items))

    def _set(self, items: list[Any]) -> frozenset[Any]:
        return frozenset(self.decode(items))

    def _map(self, pairs: list[list[Any]]) -> dict[Any, Any]:
        return dict(self.decode(pairs))

    def _enum(self, path: str, value: Any) -> Any:
        return _resolve(path, Enum)(value)

    def _section(self, path: str, values: dict[str, Any]) -> Any:
        return _resolve(path, Section).model_validate(values)

    def _class(self, path: str, fields: dict[str, Any]) -> Any:
        return _resolve(path, None)(**{name: self.decode(one) for name, one in fields.items()})


def _leaf(value: Any) -> Any:
    """What is one value, as JSON has it."""
    if isinstance(value, Enum):
        return {"enum": _path(type(value)), "value": value.value}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return str(value) if isinstance(value, Path) else value


def _same(tensor: Tensor) -> tuple[Any, ...]:
    """Equal for two tensors that are one: the same numbers at the same place."""
    return (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())


def _path(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _resolve(path: str, base: type | None) -> Any:
    """A class of Cutaway's own by its path: a dataclass, or one of a base."""
    module, _, name = path.partition(":")
    if module.split(".")[0] != "cutaway" or not name:
        raise ValueError(path)
    try:
        kind = resolve_name(path)
    except ImportError:
        raise ValueError(path) from None
    fits = isinstance(kind, type) and (issubclass(kind, base) if base else dataclasses.is_dataclass(kind))
    if not fits:
        raise ValueError(path)
    return kind

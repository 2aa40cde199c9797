"""Checkpoints on disk: safetensors with all that is needed to apply or continue them."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cutaway import __version__
from cutaway.data import Framing, Preprocess
from cutaway.disk import write_file
from cutaway.errors import StoreError
from cutaway.training import Checkpoint, Position, Task

_KEY, _SUM, _CARD_SUM = "cutaway", "crc32", "card_crc32"
_WRITTEN = ({_KEY}, {_KEY, _SUM}, {_KEY, _SUM, _CARD_SUM})
"""What headers have had: files of the first versions carry no sum, later ones none of the card."""


@dataclass(frozen=True)
class Card:
    """What a file of weights says of itself.

    Args:
        run: the run's id.
        net: in the notation.
        input_shape: ``(C, H, W)``.
        classes: their names.
        preprocess: from pixels to inputs.
        framing: how the training images stand in their frame.
        position: where the training stood.
        mirror: predict by the mean over an image and its mirror image.
        version: the Cutaway that wrote it.
        shifted: predict by the mean with the image moved by so many pixels.
    """

    run: str
    net: str
    input_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    preprocess: Preprocess
    framing: Framing
    position: Position
    mirror: bool = False
    version: str = __version__
    shifted: int = 0

    @classmethod
    def of(cls, run: str, task: Task, position: Position) -> Card:
        """The card of a run's weights at a position."""
        return cls(
            run,
            task.experiment.net,
            task.images.shape,
            task.images.classes,
            task.preprocess,
            task.framing,
            position,
            task.experiment.train.mirror,
            shifted=task.experiment.train.shifted,
        )

    def to_json(self) -> str:
        """For the header of the file, and for the copy beside it that a person reads."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Card:
        """What :meth:`to_json` gave."""
        values: dict[str, Any] = json.loads(text)
        channels, height, width = values["input_shape"]
        return cls(
            values["run"],
            values["net"],
            (channels, height, width),
            tuple(values["classes"]),
            Preprocess.from_json(values["preprocess"]),
            Framing.from_json(values["framing"]),
            Position(**values["position"]),
            values.get("mirror", False),
            values["version"],
            values.get("shifted", 0),
        )


def save_weights(path: Path, tensors: Mapping[str, Tensor], card: Card) -> None:
    """Write ``NAME.safetensors`` with its card inside, so that the two never disagree.

    ``NAME.json`` beside it is a copy of the card for people; nothing reads it.

    Raises:
        StoreError: the disk is full, or the folder can't be written.
    """
    text = card.to_json()
    header = {_KEY: text, _SUM: _checksum(tensors), _CARD_SUM: _text_checksum(text)}
    write_file(path, safetensors_pieces(tensors, header))
    write_file(path.with_suffix(".json"), (text + "\n").encode())


def keep_previous(path: Path) -> None:
    """Let the checkpoint at a path have a second name, ``previous``, before another one takes its place.

    The file itself is not copied: what replaces it is a new one, and both are there at any instant.
    Where a second name can't be given, there is none.
    """
    previous = path.with_name(f"previous{path.suffix}")
    spare = path.with_name(f".{previous.name}.{os.getpid()}.tmp")
    with suppress(OSError):
        spare.unlink(missing_ok=True)
        os.link(path, spare)
        spare.replace(previous)
        # Two names of one file stay two where one should replace the other, and nobody is told.
        spare.unlink(missing_ok=True)


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 of all names and bytes: what a disk or a wire changes by mistake is found by it."""
    found = 0
    for name in sorted(tensors):
        found = zlib.crc32(tensor_bytes(tensors[name]), zlib.crc32(name.encode(), found))
    return f"{found:08x}"


def _text_checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _checked_card(metadata: Mapping[str, str]) -> Card:
    """The card in a file's header; ValueError where the header is damaged."""
    # A name that no version has written is one with a bit flipped, whose sum would be passed over.
    if _KEY not in metadata or set(metadata) not in _WRITTEN:
        raise ValueError("its header is not one of Cutaway's")
    text = metadata[_KEY]
    if metadata.get(_CARD_SUM, _text_checksum(text)) != _text_checksum(text):
        raise ValueError("the checksum of its card does not fit")
    return Card.from_json(text)


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor on the CPU, row by row; not copied where they lie so."""
    return memoryview(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]


def safetensors_pieces(
    tensors: Mapping[str, Tensor], metadata: dict[str, str]
) -> Iterator[bytes | memoryview]:
    """A safetensors file piece by piece: the length of the header, the header, the tensors' bytes.

    The library's own ``save`` first copies all of them into one string, which for a net with large
    dense layers took more memory than its training.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    place = 0
    # Wider types first, as the library has it, so that all stand on their boundaries.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    for name in names:
        end = place + tensors[name].nbytes
        kind = _KINDS[tensors[name].dtype]
        header[name] = {"dtype": kind, "shape": list(tensors[name].shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text))
    yield text
    for name in names:
        yield tensor_bytes(tensors[name])


_KINDS = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def read_card(path: Path) -> Card:
    """What a file of weights says of itself, without reading the weights.

    Raises:
        StoreError: it can't be read, or was not written by Cutaway.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return _checked_card(file.metadata() or {})
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise StoreError(f"{path} can't be read as a checkpoint ({error}).") from None


def load_weights_file(path: Path) -> tuple[Checkpoint, Card]:
    """The tensors of a file, and its card.

    Raises:
        StoreError: it can't be read, is cut off or damaged, or was not written by Cutaway.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
        card = _checked_card(metadata)
        if _SUM in metadata and metadata[_SUM] != _checksum(tensors):
            raise ValueError("its checksum does not fit")  # noqa: TRY301  told as all other damage is
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, struct.error) as error:
        raise StoreError(f"{path} can't be read as a checkpoint ({error}).") from None
    return Checkpoint(tensors, card.position), card

"""Images that all workers of a machine have in memory once: a file that each maps."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from cutaway.data import Images, Split
from cutaway.disk import write_file
from cutaway.store.saved import safetensors_pieces

_KEY = "cutaway"


def share_images(images: Images, path: Path) -> None:
    """Write images where other processes map them. Splits that share a store do so in the file too.

    Args:
        images: all splits.
        path: ends in ``.safetensors``.

    Raises:
        StoreError: the disk is full, or the folder can't be written.
    """
    tensors: dict[str, Tensor] = {}
    stores: dict[int, str] = {}
    splits = {}
    for name, split in images.splits.items():
        store = stores.setdefault(split.store.data_ptr(), f"store {len(stores)}")
        tensors[store] = split.store.contiguous()
        tensors[f"labels {name}"] = split.labels.contiguous()
        tensors[f"index {name}"] = split.index.contiguous()
        splits[name] = store
    card = json.dumps({"classes": images.classes, "splits": splits, "skipped": images.skipped})
    write_file(path, safetensors_pieces(tensors, {_KEY: card}))


def map_images(path: Path) -> Images:
    """What :func:`share_images` wrote; its pages are those of every process that maps it.

    Raises:
        OSError: there is no such file here.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    with safe_open(path, framework="pt") as file:
        card = json.loads(file.metadata()[_KEY])
    tensors = load_file(path)
    splits = {
        name: Split(tensors[store], tensors[f"labels {name}"], tensors[f"index {name}"])
        for name, store in card["splits"].items()
    }
    skipped = tuple((name, reason) for name, reason in card["skipped"])
    return Images(tuple(card["classes"]), splits, skipped)

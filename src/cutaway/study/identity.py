"""Fingerprints: that workers have the same program, and images the same pixels."""

from __future__ import annotations

import functools
import hashlib
import platform
from pathlib import Path

import torch
from torch import Tensor

from cutaway import __version__
from cutaway.data import Images, Split
from cutaway.store.saved import tensor_bytes

WHOLE_BYTES = 2**28
"""Pixels up to this many bytes are all taken into a fingerprint, of more only some images."""

_SOME = 2000


@functools.cache
def program() -> dict[str, str]:
    """What a worker computes with: versions, and a fingerprint of Cutaway's own files."""
    root = Path(__file__).parents[1]
    found = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return {
        "cutaway": __version__,
        "files of cutaway": found.hexdigest()[:16],
        "torch": torch.__version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
    }


def fingerprint(images: Images) -> str:
    """Sixteen hexadecimal digits of SHA-256 over classes, labels and pixels, of all splits."""
    found = hashlib.sha256(repr((images.classes, images.shape)).encode())
    for name, split in images.splits.items():
        found.update(f"/{name}/{len(split)}/".encode())
        found.update(tensor_bytes(split.labels.cpu()))
        size = max(1, split.store[:1].numel())
        few = len(split) * size > WHOLE_BYTES
        chosen = torch.arange(_SOME) * len(split) // _SOME if few else torch.arange(len(split))
        for part in chosen.split(1000):
            found.update(tensor_bytes(_pixels(split, part)))
    return found.hexdigest()[:16]


def _pixels(split: Split, chosen: Tensor) -> Tensor:
    return split.batch(chosen.to(split.index.device)).cpu()

"""Fingerprints of images: that others have the same, and that they are divided alike."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from cutaway.data.images import Images, Split

WHOLE_BYTES = 2**28
"""Pixels up to this many bytes are all taken into a fingerprint, of more only some images."""

_SOME = 2000


def fingerprint(images: Images) -> str:
    """Sixteen hexadecimal digits of SHA-256 over classes, labels and pixels, of all splits."""
    found = hashlib.sha256(repr((images.classes, images.shape)).encode())
    for name, split in images.splits.items():
        found.update(f"/{name}/{len(split)}/".encode())
        found.update(split.labels.cpu().contiguous().numpy().data)
        size = max(1, split.store[:1].numel())
        few = len(split) * size > WHOLE_BYTES
        chosen = torch.arange(_SOME) * len(split) // _SOME if few else torch.arange(len(split))
        for part in chosen.split(1000):
            found.update(_pixels(split, part).contiguous().numpy().data)
    return found.hexdigest()[:16]


def division(images: Images) -> str:
    """Sixteen hexadecimal digits over how images are divided: classes, and the files and labels of splits.

    Pixels are not read: another decoder may give them one grey level off.
    """
    found = hashlib.sha256(repr((images.classes, images.shape)).encode())
    for name, split in images.splits.items():
        found.update(f"/{name}/{len(split)}/".encode())
        found.update(split.labels.cpu().contiguous().numpy().data)
        found.update(split.index.cpu().contiguous().numpy().data)
        if split.names:
            found.update("\0".join(split.names[at] for at in split.index.tolist()).encode("utf-8", "replace"))
    return found.hexdigest()[:16]


def _pixels(split: Split, chosen: Tensor) -> Tensor:
    return split.batch(chosen.to(split.index.device)).cpu()

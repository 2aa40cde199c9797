"""Images of three splits, of which two share a store."""

from __future__ import annotations

import torch

from cutaway.data import Images, Split


def make() -> Images:
    generator = torch.Generator().manual_seed(1)
    store = torch.randint(256, (12, 1, 3, 4), generator=generator).to(torch.uint8)
    other = torch.randint(256, (5, 1, 3, 4), generator=generator).to(torch.uint8)
    splits = {
        "train": Split(store, torch.arange(8) % 3, torch.arange(8)),
        "validation": Split(store, torch.arange(4) % 3, torch.tensor([11, 8, 9, 10])),
        "test": Split(other, torch.arange(5) % 3, torch.arange(5)),
    }
    return Images(("a", "b", "c"), splits, (("x.png", "cut off"),))

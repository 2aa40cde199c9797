"""A fingerprint of images tells apart what they are, not where they lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from cutaway.data import Images, Split, division, fingerprint

from .three_splits import make


def changed(images: Images, name: str, **fields: Any) -> Images:
    return replace(images, splits={**images.splits, name: replace(images.splits[name], **fields)})


@pytest.mark.parametrize("whole_bytes", [1 << 28, 1])
def test_a_fingerprint_tells_pixels_labels_classes_and_splits_apart(
    whole_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cutaway.data.digest.WHOLE_BYTES", whole_bytes)
    images = make()
    pixels = images.splits["test"].store.clone()
    pixels[4, 0, 2, 3] ^= 1
    labels = images.splits["train"].labels.clone()
    labels[7] = (labels[7] + 1) % 3
    others = [
        changed(images, "test", store=pixels),
        changed(images, "train", labels=labels),
        changed(images, "validation", index=torch.tensor([8, 11, 9, 10])),
        changed(images, "train", labels=labels[:7], index=torch.arange(7)),
        replace(images, classes=("a", "b", "d")),
        replace(images, splits={name: images.splits[name] for name in ("train", "test")}),
    ]
    found = [fingerprint(other) for other in (images, *others)]
    assert len(set(found)) == len(found)
    assert fingerprint(make()) == found[0]


def test_where_pixels_lie_does_not_matter() -> None:
    images = make()
    split = images.splits["validation"]
    own = Split(split.pixels.clone(), split.labels, torch.arange(4))
    assert fingerprint(replace(images, splits={**images.splits, "validation": own})) == fingerprint(images)


def test_a_division_tells_labels_classes_splits_and_files_apart_and_not_pixels() -> None:
    images = make()
    labels = images.splits["train"].labels.clone()
    labels[7] = (labels[7] + 1) % 3
    names = tuple(f"{at}.png" for at in range(5))
    others = [
        changed(images, "train", labels=labels),
        changed(images, "validation", index=torch.tensor([8, 11, 9, 10])),
        changed(images, "train", labels=labels[:7], index=torch.arange(7)),
        replace(images, classes=("a", "b", "d")),
        replace(images, splits={name: images.splits[name] for name in ("train", "test")}),
        changed(images, "test", names=names),
        changed(images, "test", names=("9.png", *names[1:])),
    ]
    found = [division(other) for other in (images, *others)]
    assert len(set(found)) == len(found)
    assert division(changed(images, "test", store=images.splits["test"].store ^ 1)) == found[0]

"""``cutaway predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cutaway.cli.console import Json, RunName, StoreOption, say, say_json
from cutaway.errors import ConfigError, DataError

_SHOWN = 3


def predict(
    run: RunName,
    /,
    *images: Path,
    store: StoreOption = StoreOption(),
    json: Json = False,
) -> None:
    """Classify image files: any format, size and colour, dark on light or light on dark.

    Parameters
    ----------
    images
        image files
    """
    import torch

    from cutaway.data import Framing, read_picture

    if not images:
        raise ConfigError("predict needs at least one image file: cutaway predict last photo.png")
    subject = store.open().find(run).subject()
    framing = subject.framing or Framing(subject.input_shape)
    found: list[dict[str, Any]] = []
    framed = []
    for path in images:
        try:
            pixels, notes = framing(read_picture(path, subject.input_shape[0]))
        except DataError as error:
            raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}.") from None
        framed.append(pixels)
        found.append({"file": str(path), "notes": list(notes)})
    for entry, row in zip(found, subject.predict(torch.stack(framed)), strict=True):
        order = row.argsort(descending=True).tolist()
        entry["class"] = subject.classes[order[0]]
        entry["probabilities"] = {subject.classes[i]: float(row[i]) for i in order}
    if json:
        say_json({"images": found})
        return
    for entry in found:
        best = list(entry["probabilities"].items())[:_SHOWN]
        told = ", ".join(f"{name} {probability:.1%}" for name, probability in best)
        done = f"  ({'; '.join(entry['notes'])})" if entry["notes"] else ""
        say(f"{entry['file']}: {told}{done}")

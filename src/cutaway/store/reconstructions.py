"""What came back of images in a run's pre-training, as files in its folder."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import torch

from cutaway.disk import make_folder, write_file
from cutaway.errors import StoreError
from cutaway.training import Reconstruction

FOLDER = "pretraining"

_NAME = re.compile(r"(\d+)-(.+)\.npz")


def save_reconstruction(folder: Path, depth: int, layer: str, found: Reconstruction) -> None:
    """Write ``pretraining/DEPTH-LAYER.npz`` into a run's folder, whole or not at all.

    It has ``originals`` and ``reconstructions``, ``(K, C, H, W)`` uint8, ``error`` and ``split``.

    Raises:
        StoreError: it can't be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        originals=found.originals.numpy(),
        reconstructions=found.images.numpy(),
        error=np.float64(found.error),
        split=np.array(found.split),
    )
    make_folder(folder / FOLDER)
    write_file(folder / FOLDER / f"{depth}-{layer}.npz", buffer.getvalue())


def load_reconstructions(folder: Path) -> dict[str, Reconstruction]:
    """What a run's folder has of them, by layer, the first depth first.

    Raises:
        StoreError: a file is damaged.
    """
    paths = [
        (path, match) for path in (folder / FOLDER).glob("*.npz") if (match := _NAME.fullmatch(path.name))
    ]
    ordered = sorted(paths, key=lambda entry: int(entry[1][1]))
    return {match[2]: _load(path) for path, match in ordered}


def _load(path: Path) -> Reconstruction:
    try:
        # Opened here: NumPy leaves a damaged archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Reconstruction(
                float(arrays["error"]),
                str(arrays["split"]),
                torch.from_numpy(arrays["originals"]),
                torch.from_numpy(arrays["reconstructions"]),
            )
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path} can't be read ({error}). Move it aside, or train the run again.") from None

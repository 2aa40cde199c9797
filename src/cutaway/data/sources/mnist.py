"""``mnist``: 70 000 handwritten digits of 28×28, carried by the package.

Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998; CC BY-SA 3.0.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cutaway.config import DataConfig
from cutaway.data.images import Images
from cutaway.data.sources.idx import load_idx_folder
from cutaway.data.sources.registry import SOURCES, Source
from cutaway.errors import ConfigError, DataError, NotFoundError

FOLDER = Path(__file__).parents[1] / "mnist"


def check_sums(folder: Path) -> None:
    """Hold every file against the SHA-256 in ``SHA256SUMS`` beside it.

    Raises:
        NotFoundError: a file is missing.
        DataError: a file has other bytes than it should.
    """
    for line in (folder / "SHA256SUMS").read_text(encoding="ascii").splitlines():
        wanted, name = line.split()
        path = folder / name
        if not path.is_file():
            raise NotFoundError(f"{path} is missing. Install Cutaway again.")
        if hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
            raise DataError(f"{path} is damaged: its SHA-256 is not {wanted[:12]}…. Install Cutaway again.")


def _load(config: DataConfig) -> Images:
    if config.path:
        raise ConfigError('The source "mnist" is embedded and reads no folder: use source = "idx" for one.')
    check_sums(FOLDER)
    return load_idx_folder(FOLDER, tuple("0123456789"))


SOURCES.add("mnist")(Source("70 000 handwritten digits of 28×28, embedded", _load))

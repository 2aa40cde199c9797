"""What a worker computes with, so that all have the same."""

from __future__ import annotations

import functools
import hashlib
import platform
from pathlib import Path

import torch

from cutaway import __version__


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

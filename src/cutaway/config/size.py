"""Sizes of memory as people write them: ``2GiB``, ``500MB``."""

from __future__ import annotations

import re

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_NUMBER = r"\d{1,12}(?:\.\d{1,6})?|\d{1,3}(?:_\d{3}){1,3}"
_SIZE = re.compile(rf"\s*({_NUMBER})\s*([kmgt]?)(i?)(b?)\s*\Z", re.IGNORECASE | re.ASCII)


def parse_bytes(text: str) -> int:
    """``1GiB`` is 2³⁰ bytes, ``1GB`` 10⁹; a number alone is bytes, also with TOML's underscores.

    Raises:
        ValueError: it is no size.
    """
    match = _SIZE.match(text)
    if not match or (match[3] and not match[2]):
        raise ValueError("should be a size such as 2GiB or 500MB")
    units = _BINARY if match[3] else _UNITS
    return int(float(match[1]) * units[match[2].lower()])


def show_bytes(count: float) -> str:
    """Bytes as a person reads them, in binary units: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024 or unit == "GiB":
            digits = 0 if unit == "B" or abs(count) >= 100 else 1
            return f"{count:.{digits}f} {unit}"
        count /= 1024
    raise AssertionError

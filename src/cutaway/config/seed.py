"""One seed, many independent streams."""

from __future__ import annotations

import hashlib


def derive(seed: int, *purpose: str | int) -> int:
    """A seed for one purpose, such as ``derive(seed, "order", epoch)``.

    Randomness is a function of the experiment's seed and of where one is, never of what was drawn
    before; so a resumed run needs no stored generator to continue bit for bit.

    Returns:
        a whole number from 0 to 2⁶³ − 1, from SHA-256 of the arguments.
    """
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

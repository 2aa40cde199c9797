"""What becomes of freed memory: kept for the next step, or handed back to the kernel.

glibc serves large blocks by mmap and returns them when freed, so that every training step pays for
fresh pages again: the kernel must zero them. Keeping them made training of ``cifar-alves`` 1.5
times as fast on two cores, ``lenet-theano`` 1.2 times. But what is kept lies in pieces, and a
process can come to take up to 1.7 times what it holds; where memory is short, every block of a
MiB or more is therefore taken and returned alone, and the process takes what was predicted.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4
_DEFAULTS = {
    _M_MMAP_MAX: 65536,
    _M_MMAP_THRESHOLD: 128 << 10,
    _M_TRIM_THRESHOLD: 128 << 10,
    _M_TOP_PAD: 128 << 10,
}
_KEEP = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 64 << 20}
_RETURN = {**_DEFAULTS, _M_MMAP_THRESHOLD: 1 << 20}

_lock = Lock()
_inside: list[bool] = []


@contextmanager
def freed_memory(*, kept: bool) -> Iterator[bool]:
    """Inside, freed memory stays with the process or goes back at once; behind, what is free goes back.

    Inside of another one, the outer one's choice holds.

    Args:
        kept: it stays.

    Yields:
        whether it could be done: only on glibc, so on Linux but not on Alpine or macOS.
    """
    libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    if libc is None:
        yield False
        return
    with _lock:
        _inside.append(kept)
        outermost = len(_inside) == 1
    if not outermost:
        try:
            yield True
        finally:
            with _lock:
                _inside.pop()
        return
    for option, value in (_KEEP if kept else _RETURN).items():
        libc.mallopt(option, value)
    try:
        yield True
    finally:
        with _lock:
            _inside.pop()
        for option, value in _DEFAULTS.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)

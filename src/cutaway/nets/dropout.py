"""Dropout that draws a byte or two for a value instead of a float."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """``nn.Dropout``; on the CPU its mask is drawn from few random bits.

    There PyTorch draws numbers one after another: the mask of 32×128×7×7 values took 2.5 ms, of a
    60 ms step, and takes 0.4 ms from bytes. A probability is met exactly where it is a multiple of
    1/256, else to 1/65 536.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  the name of nn.Dropout's own argument
        """In training, x / (1 − p) where a value is kept and 0 where it is dropped; else x."""
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        fine = (self.p * 256) % 1 != 0
        draws = _draws(input, torch.int16 if fine else torch.uint8)
        # int16 is signed, so its 65 536 values start at −32 768; a threshold above its largest would wrap
        # around and keep everything.
        threshold = min(round(self.p * 65536) - 32768, 32767) if fine else round(self.p * 256)
        kept = (draws >= threshold).to(input.dtype)
        return input * kept.mul_(1 / (1 - self.p))


@contextmanager
def rows_of_batch(part: slice, images: int) -> Iterator[None]:
    """Inside, inputs are the images ``part`` of a batch: masks are drawn for all, and cut.

    So a batch that goes through in micro-batches is dropped from as if it went through whole. The
    generator must begin each part where it began the first.
    """
    token = _ROWS.set((part, images) if part.stop - part.start < images else None)
    state = torch.get_rng_state() if _ROWS.get() and part.stop < images else None
    try:
        yield
    finally:
        _ROWS.reset(token)
        if state is not None:
            torch.set_rng_state(state)


_ROWS: ContextVar[tuple[slice, int] | None] = ContextVar("rows", default=None)


def _draws(like: Tensor, kind: torch.dtype) -> Tensor:
    """Uniform whole numbers of a small type in the shape of ``like``, from PyTorch's generator."""
    rows, images = _ROWS.get() or (slice(0, len(like)), len(like))
    row = like.numel() // max(1, len(like))
    count = images * row
    words = torch.empty(-(-count * kind.itemsize // 8), dtype=torch.int64).random_(-(2**63), None)
    flat = words.view(kind)[rows.start * row : rows.stop * row]
    # In the layout of the input, where it has one without gaps, the product stays in it too.
    dense = like.is_contiguous() or like.is_contiguous(memory_format=torch.channels_last)
    return flat.as_strided(like.shape, like.stride()) if dense else flat.view(like.shape)

"""How precisely a step's products are computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from cutaway.config import PrecisionKind
from cutaway.errors import ConfigError

_AMPERE = (8, 0)


class Precision:
    """What the products of a training step are computed in. All else is float32.

    ``float32`` has 23 bits behind the point. ``tf32`` rounds the factors of convolutions and matrix
    products to 10 bits, on a GPU. ``bf16`` rounds what passes through such layers, forward and backward,
    to 7 bits; weights, their gradients and sums, batch norm's statistics and the objective keep all:
    Micikevicius et al., "Mixed Precision Training", 2018; Kalamkar et al., "A Study of BFLOAT16 for Deep
    Learning Training", 2019. It has the exponents of float32, so the objective needs no scaling.

    Args:
        kind: one of these.
        device: where the net is.

    Raises:
        ConfigError: the device can't compute so.
    """

    def __init__(self, kind: PrecisionKind, device: torch.device) -> None:
        self._kind = kind
        self._device = device
        reason = _refusal(kind, device)
        if reason:
            raise ConfigError(f"train.precision is {kind}, but {reason}. Use {_others(kind)}.")

    def step(self) -> AbstractContextManager[object]:
        """For a whole step: inside, products on a GPU may take factors of fewer bits, if that is wished."""
        return _tf32(allowed=True) if self._kind is PrecisionKind.TF32 else nullcontext()

    def layers(self) -> AbstractContextManager[object]:
        """For the net's forward pass in a step; what goes back through it has the same types."""
        if self._kind is PrecisionKind.BF16:
            return torch.autocast(self._device.type, torch.bfloat16)
        return nullcontext()


@contextmanager
def full_products(device: torch.device) -> Iterator[None]:
    """Inside, products of float32 are float32's own on a GPU too; behind, as before.

    PyTorch's own setting rounds the factors of convolutions, but not of matrix products.
    """
    with _tf32(allowed=False) if device.type == "cuda" else nullcontext():
        yield


@contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    matrices, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matrices.allow_tf32, convolutions.allow_tf32
    matrices.allow_tf32 = convolutions.allow_tf32 = allowed
    try:
        yield
    finally:
        matrices.allow_tf32, convolutions.allow_tf32 = before


def _refusal(kind: PrecisionKind, device: torch.device) -> str:
    """Why a device can't compute so; empty where it can."""
    if kind is PrecisionKind.FLOAT32 or (kind is PrecisionKind.BF16 and device.type == "cpu"):
        return ""
    if device.type != "cuda":
        return f"the device is {device}: only GPUs have it"
    if kind is PrecisionKind.BF16 and torch.version.hip is not None:
        return ""
    if torch.version.cuda is None or torch.cuda.get_device_capability(device) < _AMPERE:
        return f"{torch.cuda.get_device_name(device)} has none: NVIDIA's do from Ampere (2020) on"
    return ""


def _others(kind: PrecisionKind) -> str:
    return "float32" if kind is PrecisionKind.BF16 else "float32 or bf16"

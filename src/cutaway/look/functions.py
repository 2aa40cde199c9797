"""Functions of PyTorch by what they do with a batch: how the operations of a suffix may be applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.look.operation import Operation, Slot

Functions = frozenset[Callable[..., Any]]


def _called(names: str) -> Functions:
    """Everything that PyTorch calls by some names: functions, and methods of tensors."""
    homes = (torch, F, Tensor, torch._C._nn)
    return frozenset(getattr(home, name) for home in homes for name in names.split() if hasattr(home, name))


RELU = _called("relu relu_")

EACH = RELU | _called(
    "relu6 leaky_relu leaky_relu_ elu elu_ selu celu gelu silu mish tanh tanh_ sigmoid sigmoid_ hardtanh "
    "hardtanh_ hardswish hardsigmoid softplus softsign logsigmoid tanhshrink threshold dropout dropout1d "
    "dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout clamp clamp_ clamp_min "
    "clamp_min_ clamp_max neg abs exp log sqrt rsqrt square pow detach clone float double half to contiguous"
)
"""Of each number by itself. (Dropout while training is not, but then no two passes are the same, which
is noticed.)"""

TWO = _called(
    "add sub mul div true_divide rsub maximum minimum __radd__ __rsub__ __rmul__ __rtruediv__ __add__ "
    "__sub__ __mul__ __truediv__"
)
"""Of two numbers that stand at the same place, giving a new one."""

TWO_IN_PLACE = _called("add_ sub_ mul_ div_ __iadd__ __imul__ __isub__ __itruediv__")

MAX_POOL = _called("max_pool2d")
POOLS = MAX_POOL | _called("avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d lp_pool2d pad")
"""Of maps one by one."""

BATCH_NORM = _called("batch_norm")
CONV = _called("conv2d")
LINEAR = _called("linear")

MAPS = POOLS | CONV | _called("local_response_norm conv_transpose2d interpolate pixel_shuffle")
"""Of batches of images ``(N, C, H, W)``, each by itself."""

SHAPE = _called("view reshape flatten unflatten squeeze unsqueeze")
MEAN = _called("mean sum amax")
JOIN = _called("cat concat concatenate")


def argument(operation: Operation, place: int, name: str, default: Any) -> Any:
    """An argument by its place or by its name."""
    if len(operation.args) > place:
        return operation.args[place]
    return operation.kwargs.get(name, default)


def is_first(operation: Operation) -> bool:
    """Whether the first argument is a value that depends on the layer."""
    return bool(operation.args) and isinstance(operation.args[0], Slot)


def averaged_axes(operation: Operation, count: int) -> tuple[int, ...] | None:
    """The axes that a mean or sum is taken over, counted from the last one, −1.

    None for all of them, and where the call has more to say.

    Args:
        operation: of ``MEAN``.
        count: the axes of its input.
    """
    axes = argument(operation, 1, "dim", None)
    if axes is None or set(operation.kwargs) - {"dim", "keepdim"}:
        return None
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    return tuple(axis if axis < 0 else axis - count for axis in axes)

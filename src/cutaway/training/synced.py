"""Batch norm over a batch that several processes share."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


def synchronise(net: nn.Module) -> None:
    """Let every batch norm of a net take its means over the whole batch, all processes' shares.

    Weights and statistics stay the same tensors under the same names.
    """
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(module, name, SyncedBatchNorm(child))


class SyncedBatchNorm(nn.BatchNorm2d):
    """Batch norm whose means and variances are those of all processes' images together.

    PyTorch's own works on GPUs alone. In evaluation mode it is plain batch norm.

    Args:
        norm: gives its weights, statistics and settings.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self._parameters.update(norm._parameters)
        self._buffers.update(norm._buffers)
        self.training = norm.training

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  the name of nn.BatchNorm2d's own argument
        """``(N, C, H, W)`` or ``(N, C)`` to the same."""
        if not self.training:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        input = input.float()  # noqa: A001  statistics of rounded values keep all bits
        axes = [0, *range(2, input.dim())]
        shape = (1, -1, *[1] * (input.dim() - 2))
        count = _summed(input.new_tensor(input.numel() / input.shape[1]))
        mean = _summed(input.sum(axes)) / count
        centred = input - mean.view(shape)
        variance = _summed(centred.square().sum(axes)) / count
        self._remember(mean.detach(), (variance * (count / (count - 1))).detach())
        scaled = centred * torch.rsqrt(variance + self.eps).view(shape)
        return scaled * self.weight.view(shape) + self.bias.view(shape)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def _summed(values: Tensor) -> Tensor:
    """The sum over all processes, through which gradients flow back as sums too."""
    result: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return result


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        del ctx
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Every process's objective depends on every process's values."""
        del ctx
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total

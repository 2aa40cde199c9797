"""Where a training went wrong: the first layer with a value that is not finite."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cutaway.nets.builder import Net


def is_finite(objective: Tensor, gradients: list[Tensor]) -> Tensor:
    """Whether the objective and all gradients are finite: a bool on their device.

    The least and the largest value are taken: a sum overflows for finite values, and both come out
    NaN where one is.
    """
    ends = [end for gradient in gradients for end in torch.aminmax(_as_stored(gradient))]
    return torch.isfinite(torch.stack([*ends, objective.detach()])).all()


def _as_stored(tensor: Tensor) -> Tensor:
    """A view whose axes stand in the order of memory.

    PyTorch copies a tensor whose axes don't, such as the channels-last gradient of a kernel, before it
    looks for the ends.
    """
    return tensor.permute(sorted(range(tensor.dim()), key=tensor.stride, reverse=True))


def find_cause(net: Net, inputs: Tensor, objective: Callable[[Tensor], Tensor]) -> str:
    """What is not finite first, in the order of computing: forward, then backward.

    Args:
        net: with the weights that the step began with.
        inputs: the step's batch, preprocessed, ``(N, C, H, W)``.
        objective: from logits to the mean objective.

    Returns:
        the subject of a sentence, such as "the output of conv3".
    """
    if not inputs.isfinite().all():
        return "the input"
    for name, parameter in net.named_parameters():
        if not parameter.isfinite().all():
            return f"the {name.rsplit('.', 1)[1]} of {name.rsplit('.', 1)[0]}, after the step before,"
    net.zero_grad()
    outputs: dict[str, Tensor] = {}
    value = inputs
    for name, module in net.named_children():
        value = module(value)
        if not value.isfinite().all():
            return f"the output of {name}"
        if value.requires_grad:
            value.retain_grad()
            outputs[name] = value
    total = objective(value)
    if not total.isfinite():
        return "the objective"
    total.backward()
    return _first_gradient(net, outputs)


def largest_weight(net: nn.Module) -> str:
    """The largest finite weight and whose it is, as a part of a sentence."""
    sizes = {
        name: float(parameter.detach().nan_to_num(0, 0, 0).abs().max())
        for name, parameter in net.named_parameters()
        if parameter.numel()
    }
    if not sizes:
        return "there are no weights"
    name = max(sizes, key=sizes.__getitem__)
    layer, _, kind = name.rpartition(".")
    return f"the largest {kind} {sizes[name]:.3g} in {layer}"


def _first_gradient(net: nn.Module, outputs: dict[str, Tensor]) -> str:
    for name in reversed(outputs):
        gradient = outputs[name].grad
        if gradient is not None and not gradient.isfinite().all():
            return f"the gradient at the output of {name}"
        for kind, parameter in net.get_submodule(name).named_parameters():
            if parameter.grad is not None and not parameter.grad.isfinite().all():
                return f"the gradient of the {kind} of {name}"
    return "the gradient"

"""A moment of a training, complete enough to continue from to bit-identical weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cutaway.errors import StoreError
from cutaway.training.averaging import means_of

_MODEL, _OPTIMISER = "model.", "optimiser."


@dataclass(frozen=True)
class Position:
    """Where a training stands.

    No generator's state belongs to it: all randomness follows from the seed and this place.

    Args:
        epoch: epochs that are done and scored.
        step: steps of the next epoch that are done.
        best_epoch: the best on the validation split so far; −1 before the first.
        best_error: its top-1 error, 0 to 1.
        best_objective: its objective, in nats.
        patient_since: the epoch that patience counts from, if that is later than the best one.
        pretrained: epochs of pre-training that are done, over all its stages.
        seconds: that the epoch under way has taken so far.
    """

    epoch: int = 0
    step: int = 0
    best_epoch: int = -1
    best_error: float = 1.0
    best_objective: float = 0.0
    patient_since: int = 0
    pretrained: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """Weights, optimiser, the sums of the epoch under way, and the place.

    Args:
        tensors: by name: ``model.conv1.weight``, ``optimiser.0.momentum_buffer``,
            ``average.conv1.weight``, ``tally``, ``dynamics``.
        position: the place.
    """

    tensors: Mapping[str, Tensor]
    position: Position


def collect(net: nn.Module, optimiser: Optimizer, gathered: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a checkpoint, on the CPU; those that lie there are the training's own.

    They change with its next step: whoever keeps them copies them. ``gathered`` is what the epoch
    under way has summed and measured, by name.
    """
    tensors = {_MODEL + name: value for name, value in net.state_dict().items()}
    for number, parameter in enumerate(_parameters(optimiser)):
        for key, value in optimiser.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{_OPTIMISER}{number}.{key}"] = value
    tensors |= gathered
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def restore(tensors: Mapping[str, Tensor], net: nn.Module, optimiser: Optimizer) -> Tensor:
    """Put copies of a checkpoint's tensors back; returns the tally's sums.

    Raises:
        StoreError: they are another net's.
    """
    load_weights(tensors, net)
    parameters = _parameters(optimiser)
    for name, value in tensors.items():
        if name.startswith(_OPTIMISER):
            number, key = name.removeprefix(_OPTIMISER).split(".", 1)
            parameter = parameters[int(number)]
            # A fused step wants its counters, too, where the weights are. A copy: the next step changes it.
            restored = value.to(parameter.device, copy=True)
            if value.dim() == 4:
                restored = restored.contiguous(memory_format=_layout(parameter))
            optimiser.state[parameter][key] = restored
    return tensors["tally"].clone()


def load_weights(tensors: Mapping[str, Tensor], net: nn.Module) -> None:
    """Put the weights of a checkpoint into a net.

    Raises:
        StoreError: they are another net's.
    """
    weights = {n.removeprefix(_MODEL): t for n, t in tensors.items() if n.startswith(_MODEL)}
    own = net.state_dict()
    if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in weights.items()}:
        odd = sorted(set(own) ^ set(weights)) or [n for n in own if own[n].shape != weights[n].shape]
        raise StoreError(f"The checkpoint is of another net: {odd[0]} does not fit. Train it again.")
    net.load_state_dict(weights)


def weights_only(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part that is needed to apply the net, not to train it on: means where there are some."""
    means = {_MODEL + name: value for name, value in means_of(tensors).items()}
    return {name: means.get(name, value) for name, value in tensors.items() if name.startswith(_MODEL)}


def _parameters(optimiser: Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _layout(parameter: Tensor) -> torch.memory_format:
    last = parameter.is_contiguous(memory_format=torch.channels_last) and not parameter.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format

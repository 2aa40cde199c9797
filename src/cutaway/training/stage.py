"""A stage of pre-training: depths of a net that learn together to give back what the first of them sees."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Adam

from cutaway.config import PretrainConfig
from cutaway.data import Preprocess
from cutaway.nets.autoencoder import Autoencoder
from cutaway.nets.dropout import Dropout, rows_of_batch
from cutaway.training.divergence import is_finite

_PREFIX = "adam."


class Stage:
    """The depths from ``first`` to ``last`` of an autoencoder, and what moves their weights.

    The objective is the mean over the depths of the mean squared error of what comes back from each.
    While a stage lasts, the weights of its chosen depths want gradients, and no others of the net.

    Args:
        autoencoder: all depths, with their mirrors.
        first: the depth whose input is to be given back, counted from 0.
        last: the deepest that learns.
        config: learning rate, noise, micro-batch.
    """

    def __init__(self, autoencoder: Autoencoder, first: int, last: int, config: PretrainConfig) -> None:
        self.first, self.last = first, last
        self._autoencoder = autoencoder
        self._config = config
        self._noise = Dropout(config.noise)
        depths = autoencoder.depths[first : last + 1]
        net = autoencoder.net
        self._learning = [
            net.get_submodule(row.name) for depth in depths if depth.chosen for row in depth.rows
        ]
        net.requires_grad_(requires_grad=False)
        for module in self._learning:
            module.requires_grad_(requires_grad=True)
        mirrors = autoencoder.mirrors[first : last + 1]
        self._parameters = [p for module in [*self._learning, *mirrors] for p in module.parameters()]
        self._optimiser = Adam(self._parameters, lr=config.lr, fused=True)

    def prepare(self) -> None:
        """Set the modes of an epoch: batch norm takes the means of batches where it learns, only there."""
        self._autoencoder.net.eval()
        for module in self._learning:
            module.train()

    def descend(self, pixels: Tensor, preprocess: Preprocess, seed: int) -> Tensor:
        """Let the weights want the gradient of a batch.

        Args:
            pixels: ``(N, C, H, W)`` uint8.
            preprocess: from pixels to inputs.
            seed: of the noise.

        Returns:
            the mean squared error per value, for each depth, float64.
        """
        self._optimiser.zero_grad()
        images = len(pixels)
        at_once = self._config.microbatch or images
        parts = -(-images // at_once) if at_once < self._config.batch else 1
        total = torch.zeros(self.last - self.first + 1, dtype=torch.float64, device=pixels.device)
        for at in range(parts):
            part = slice(at * images // parts, (at + 1) * images // parts)
            torch.manual_seed(seed)
            with torch.no_grad():
                wanted = self._input(preprocess(pixels[part]))
            errors = torch.stack(self._errors(wanted, part, images))
            share = (part.stop - part.start) / images
            (errors.mean() * share).backward()
            total += errors.detach().double() * share
        return total

    def is_finite(self, errors: Tensor) -> bool:
        """Whether errors and gradients are finite."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        return bool(is_finite(errors.sum(), gradients))

    def step(self) -> None:
        """Move the weights."""
        self._optimiser.step()

    def tensors(self) -> dict[str, Tensor]:
        """What Adam remembers, for a checkpoint."""
        return {
            f"{_PREFIX}{number}.{key}": value
            for number, parameter in enumerate(self._parameters)
            for key, value in self._optimiser.state.get(parameter, {}).items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what :meth:`tensors` gave; other names are passed over."""
        for name, value in tensors.items():
            if name.startswith(_PREFIX):
                number, key = name.removeprefix(_PREFIX).split(".", 1)
                parameter = self._parameters[int(number)]
                # In the weights' own layout: a fused step goes over both side by side.
                like = torch.empty_like(parameter) if value.dim() else value.to(parameter.device, copy=True)
                self._optimiser.state[parameter][key] = like.detach().copy_(value)

    def _input(self, inputs: Tensor) -> Tensor:
        """What the first depth sees of a net's inputs."""
        return self._autoencoder.encode(inputs, 0, self.first - 1)[-1].value if self.first else inputs

    def _errors(self, wanted: Tensor, part: slice, images: int) -> list[Tensor]:
        """The mean squared error through each depth, for the images ``part`` of a batch."""
        given = wanted
        if self._config.noise:
            # Dropout makes up for what it drops; a mask does not.
            with rows_of_batch(part, images):
                given = wanted * (self._noise(torch.ones_like(wanted)) > 0)
        codes = self._autoencoder.encode(given, self.first, self.last)
        ends = range(1, len(codes) + 1)
        return [(self._autoencoder.decode(codes[:end], self.first) - wanted).square().mean() for end in ends]

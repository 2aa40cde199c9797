"""A subject: any model, ready to be applied and looked into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cutaway.data import Framing
from cutaway.errors import ConfigError
from cutaway.nets.plan import Plan


@dataclass(frozen=True)
class Subject:
    """A model with what is needed to apply it to images.

    Args:
        model: any ``nn.Module`` from a batch of inputs to logits ``(N, K)``.
        input_shape: ``(C, H, W)`` of one image.
        classes: K class names; empty when they are not known.
        preprocess: from uint8 pixels ``(N, C, H, W)`` to the model's input; dividing by 255
            unless given.
        framing: how the images it learnt stand in their frame; for pictures brought later.
        plan: the net's plan where Cutaway built it.
        name: what it is called in pictures and reports.
        mirror: predict by the mean of the logits for an image and its mirror image.
    """

    model: nn.Module
    input_shape: tuple[int, int, int]
    classes: Sequence[str] = ()
    preprocess: Callable[[Tensor], Tensor] = field(default=lambda pixels: pixels.float() / 255)
    framing: Framing | None = None
    plan: Plan | None = None
    name: str = "model"
    mirror: bool = False

    @property
    def device(self) -> torch.device:
        """Where the model's first parameter lies; the CPU for a model without any."""
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))

    def inputs(self, images: Tensor) -> Tensor:
        """The model's input for ``images``, on its device.

        Args:
            images: ``(N, C, H, W)``: uint8 pixels, which are preprocessed, or floats, which are
                taken as inputs already.

        Raises:
            ConfigError: the images have another shape than the model takes.
        """
        if tuple(images.shape[1:]) != tuple(self.input_shape) or images.dim() != 4:
            wanted = "×".join(map(str, self.input_shape))
            found = "×".join(map(str, images.shape))
            raise ConfigError(f"images should be N×{wanted}, not {found}.")
        images = images.to(self.device)
        return images if images.is_floating_point() else self.preprocess(images)

    def predict(self, images: Tensor, chunk: int = 100) -> Tensor:
        """Class probabilities, ``(N, K)`` float32 on the CPU.

        The model is applied in evaluation mode, ``chunk`` images at a time; modes, buffers and the
        random state are left as they were.
        """
        with evaluating(self.model), torch.random.fork_rng(), torch.inference_mode():
            parts = [self._logits(self.inputs(part)).softmax(1).cpu() for part in images.split(chunk)]
        return torch.cat(parts)

    def _logits(self, inputs: Tensor) -> Tensor:
        """Float32 logits ``(N, K)``."""
        logits: Tensor = self.model(inputs).float()
        return (logits + self.model(inputs.flip(3)).float()) / 2 if self.mirror else logits


class evaluating:  # noqa: N801  used as a context manager only, and read like one
    """Inside, every module of a model is in evaluation mode; behind, modes and buffers are as before.

    Batch norm leaves its statistics alone in evaluation mode, but models of others may count or
    remember in buffers in any mode, in place or by setting new ones.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modes = [(module, module.training) for module in model.modules()]
        self._buffers = [
            (module, name, buffer, buffer.clone())
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]

    def __enter__(self) -> None:
        for module, _ in self._modes:
            module.training = False

    def __exit__(self, *_: object) -> None:
        for module, mode in self._modes:
            module.training = mode
        with torch.no_grad():
            for module, name, buffer, before in self._buffers:
                module._buffers[name] = buffer
                if not torch.equal(buffer, before):
                    buffer.copy_(before)

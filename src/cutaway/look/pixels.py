"""Images as something to change: what their values may be, and the way to the logits with a gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.errors import ConfigError, DataError
from cutaway.look.backward.graph import frozen
from cutaway.look.finite import refuse_nan
from cutaway.nets.subject import Subject, evaluating

Limits = tuple[float, float]
"""The least and the greatest value that an image may have."""

PIXELS: Limits = (0.0, 255.0)

Seed = Callable[[Tensor], Tensor]
"""From logits to the weights that each has in what is differentiated, both ``(n, K)``."""


@dataclass(frozen=True)
class Pixels:
    """Where images of a subject are changed.

    Args:
        subject: whose logits they lead to.
        preprocessed: values are pixels, 0 to 255, which go through the subject's preprocessing;
            otherwise they are inputs already.
        limits: of values; None for inputs that may be anything.
    """

    subject: Subject
    preprocessed: bool
    limits: Limits | None

    @property
    def unit(self) -> str:
        """What one unit of a norm is."""
        return "pixel values" if self.preprocessed else "input values"

    def values(self, images: Tensor) -> Tensor:
        """Images as floats on the subject's device, without a gradient: a copy."""
        kind = torch.float64 if images.dtype == torch.float64 else torch.float32
        return images.detach().to(self.subject.device, kind, copy=True)

    def cut(self, values: Tensor) -> Tensor:
        """Values brought back between the limits."""
        return values if self.limits is None else values.clamp(*self.limits)

    def whole(self, values: Tensor) -> Tensor:
        """Pixels rounded to whole numbers; inputs as they are."""
        return self.cut(values.round()) if self.preprocessed else values

    def refuse_outside(self, values: Tensor) -> None:
        """Raise where values lie beyond the limits already.

        Raises:
            ConfigError: the message has both.
        """
        if self.limits is not None and not torch.equal(self.cut(values), values):
            low, high = float(values.min()), float(values.max())
            raise ConfigError(
                f"The images have values from {low:g} to {high:g}, outside the limits {self.limits[0]:g} to "
                f"{self.limits[1]:g}; give wider ones."
            )

    def logits(self, values: Tensor) -> Tensor:
        """The logits ``(n, K)`` of values ``(n, C, H, W)``, with a gradient where the values ask for one."""
        # A copy: preprocessing and the model may work in place.
        inputs = values.clone()
        if self.preprocessed:
            inputs = self.subject.preprocess(inputs)
        kinds = (one.dtype for one in self.subject.model.parameters() if one.is_floating_point())
        return self.subject.logits(inputs.to(next(kinds, inputs.dtype)))

    def told(self, values: Tensor) -> Tensor:
        """The logits without a gradient, float64 and finite.

        Raises:
            DataError: they are not.
        """
        with torch.no_grad():
            found = self.logits(values)
        refuse_nan(self.subject, values, {"the model": found})
        return found.double()

    def slopes(self, values: Tensor, seed: Seed) -> tuple[Tensor, Tensor]:
        """The logits, and the gradient by the values of their sum weighted by ``seed(logits)``.

        Args:
            values: ``(n, C, H, W)``.
            seed: from logits ``(n, K)`` float64 to weights of the same shape.

        Returns:
            logits ``(n, K)`` float64, and the gradient, like the values.

        Raises:
            ConfigError: there is no gradient.
            DataError: logits or gradient are not finite.
        """
        leaf = values.detach().clone().requires_grad_()
        with torch.enable_grad():
            logits = self.logits(leaf)
        if not logits.requires_grad:
            raise ConfigError(
                f"{self.subject.name}: its logits can't be differentiated by the image. "
                "A .detach(), torch.no_grad() or a choice such as argmax stands between; take it out."
            )
        known = logits.detach().double()
        (gradient,) = torch.autograd.grad(logits, leaf, seed(known).to(logits), allow_unused=True)
        if gradient is None:
            raise ConfigError(f"{self.subject.name}: its logits do not depend on the image.")
        refuse_nan(self.subject, leaf.detach(), {"the model": known, "the gradient": gradient})
        return known, gradient


@contextmanager
def pixels(subject: Subject, images: Tensor, limits: Limits | None = None) -> Iterator[Pixels]:
    """Inside, a way from images to logits that gradients can go back on.

    uint8 images are changed as pixels, from 0 to 255, and the gradient goes through the subject's
    preprocessing. Float images are inputs already, and are changed as such.

    The model is in evaluation mode and its parameters are frozen; behind, modes, buffers, requires-grad
    flags and the random state are as before, also after an error. A subject that predicts by the mean
    over mirror images does so here.

    Args:
        subject: any.
        images: ``(N, C, H, W)``; the first of them tries the preprocessing.
        limits: of inputs, or narrower ones of pixels.

    Raises:
        ConfigError: the images do not fit, the limits are no range, or preprocessing has no gradient.
        DataError: there are no images.
    """
    if not len(images):
        raise DataError("There are no images to change; give one or more.")
    subject.refuse_shape(images)
    preprocessed = not images.is_floating_point()
    limits = PIXELS if preprocessed and limits is None else limits
    if limits is not None and not limits[0] < limits[1]:
        raise ConfigError(f"limits should be the least and the greatest value, not {limits[0]}, {limits[1]}.")
    if preprocessed and limits is not None and not PIXELS[0] <= limits[0] < limits[1] <= PIXELS[1]:
        raise ConfigError(f"limits of pixels lie within 0 to 255, not {limits[0]:g} to {limits[1]:g}.")
    with (
        torch.inference_mode(False),
        evaluating(subject.model),
        frozen(subject.model),
        torch.random.fork_rng(),
        torch.enable_grad(),
    ):
        if preprocessed:
            _try_preprocessing(subject, images[:1])
        yield Pixels(subject, preprocessed, limits)


def _try_preprocessing(subject: Subject, image: Tensor) -> None:
    """Raise where preprocessing refuses floats, has no gradient, or takes floats for something else."""
    mend = "Give float inputs, subject.inputs(images), in place of pixels; all is then in their unit."
    image = image.detach().to(subject.device)
    leaf = image.float().requires_grad_()
    try:
        inputs = subject.preprocess(leaf.clone())
    except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ConfigError(f"{subject.name}: its preprocessing has no gradient: {reason}. {mend}") from error
    gradient = None
    if inputs.requires_grad:
        # Any weights but equal ones: a mean that is taken off has no gradient by their sum.
        weights = torch.linspace(1, 2, inputs.numel(), device=inputs.device).view(inputs.shape)
        (gradient,) = torch.autograd.grad(inputs, leaf, weights.to(inputs.dtype), allow_unused=True)
    if gradient is None or not bool(gradient.any()):
        raise ConfigError(
            f"{subject.name}: its preprocessing has no gradient; it rounds, compares, detaches or leaves "
            f"PyTorch. {mend}"
        )
    wanted = subject.preprocess(image.clone())
    if not torch.allclose(inputs.detach().to(wanted.dtype), wanted, rtol=1e-4, atol=1e-5):
        raise ConfigError(
            f"{subject.name}: its preprocessing gives other inputs for pixels as floats than as bytes, so no "
            f"gradient can be taken through it. {mend}"
        )

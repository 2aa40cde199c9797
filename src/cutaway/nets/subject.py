"""A subject: any model, ready to be applied and looked into."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from cutaway.data import Framing
from cutaway.errors import ConfigError
from cutaway.nets.parts import parts, told_value
from cutaway.nets.plan import Plan
from cutaway.nets.views import Views


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
        shifted: predict by the mean with the image moved by so many pixels, both ways along the diagonal.
        output: which part of what the model gives is its logits, for one that gives a dict or a tuple.
        batch: how many images the model takes at once, for one that takes no other number.
        probabilities: the model gives probabilities, such as one that ends in softmax: their logarithms are
            its logits.
    """

    model: nn.Module
    input_shape: tuple[int, int, int]
    classes: Sequence[str] = ()
    preprocess: Callable[[Tensor], Tensor] = field(default=lambda pixels: pixels.float() / 255)
    framing: Framing | None = None
    plan: Plan | None = None
    name: str = "model"
    mirror: bool = False
    output: str | int | None = None
    batch: int | None = None
    shifted: int = 0
    probabilities: bool = False

    @property
    def views(self) -> Views:
        """What of an image is judged together."""
        return Views(self.mirror, self.shifted)

    @property
    def plain(self) -> Subject:
        """The same, which judges the image alone."""
        return replace(self, mirror=False, shifted=0)

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
        self.refuse_shape(images)
        images = images.to(self.device)
        return images if images.is_floating_point() else self.preprocess(images)

    def refuse_shape(self, images: Tensor) -> None:
        """Raise where images are not as the model takes them.

        Raises:
            ConfigError: the message has both shapes.
        """
        if tuple(images.shape[1:]) != tuple(self.input_shape) or images.dim() != 4:
            wanted = "×".join(map(str, self.input_shape))
            found = "×".join(map(str, images.shape))
            raise ConfigError(
                f"images should be N×{wanted}, not {found}. "
                "cutaway.look.fitted(subject, images) brings images to a subject's size and channels."
            )

    def predict(self, images: Tensor, chunk: int = 100) -> Tensor:
        """Class probabilities, ``(N, K)`` float32 on the CPU.

        The model is applied in evaluation mode, ``chunk`` images at a time; modes, buffers and the
        random state are left as they were.

        Raises:
            ConfigError: as :meth:`logits` and :meth:`softmax` do.
        """
        chunk = self.batch or chunk
        with evaluating(self.model), torch.random.fork_rng(), torch.inference_mode():
            found = [self.logits(self.inputs(part)).cpu() for part in images.split(chunk)]
        return self.softmax(torch.cat(found))

    def softmax(self, logits: Tensor) -> Tensor:
        """The probabilities that logits ``(N, K)`` of this model stand for.

        Raises:
            ConfigError: they are probabilities already, which the model was not said to give.
        """
        self.refuse_probabilities(logits.detach())
        return logits.softmax(1)

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits ``(N, K)`` float32 of inputs on the model's device, in the mode that the model is in.

        Raises:
            ConfigError: the model gives something else than a row of logits for each image.
        """
        return self.views.mean(self.plain_logits, inputs)

    def filled(self, inputs: Tensor) -> Tensor:
        """Inputs brought to the fixed batch of the model, if it has one, by repeating the last of them.

        Raises:
            ConfigError: there are more of them than the model takes at once.
        """
        missing = (self.batch or len(inputs)) - len(inputs)
        if missing < 0:
            raise ConfigError(f"{self.name} takes {self.batch} images at once, not {len(inputs)}.")
        return torch.cat([inputs, inputs[-1:].expand(missing, -1, -1, -1)]) if missing else inputs

    @contextmanager
    def applying(self, count: int) -> Iterator[None]:
        """Inside, the model is applied to ``count`` images; what PyTorch says then is told with a way out.

        Raises:
            ConfigError: an operation refused the shapes that it met.
        """
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            many = "1 image" if count == 1 else f"{count} images"
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            mend = "If it takes one number of images only, say which: Subject(…, batch=N)."
            raise ConfigError(f"{self.name} can't be applied to {many}: {reason}. {mend}") from error

    def plain_logits(self, inputs: Tensor) -> Tensor:
        """:meth:`logits` of one pass, also where predictions are means over views."""
        with self.applying(len(inputs)):
            given = self.model(self.filled(inputs))
        if self.output is not None:
            try:
                logits = given[self.output]
            except (LookupError, TypeError):
                raise ConfigError(f"output={self.output!r}: {self.name} gives {told_value(given)}.") from None
        else:
            logits = given
        if not isinstance(logits, Tensor):
            raise ConfigError(f"{self.name} gives {told_value(logits)}, not logits N×K.{_mend(logits)}")
        logits = logits[: len(inputs)] if self.batch else logits
        if logits.dim() != 2 or len(logits) != len(inputs):
            raise ConfigError(
                f"{self.name} gives {told_value(logits)} for {len(inputs)} images; logits should be N×K."
            )
        logits = logits.float()
        if self.probabilities:
            return logits.clamp_min(torch.finfo(logits.dtype).tiny).log()
        return logits

    def refuse_probabilities(self, logits: Tensor) -> None:
        """Raise where softmax was taken already: taken once more, everything would look unsure.

        Raises:
            ConfigError: every row of ``(N, K)`` has values from 0 to 1 that sum to 1, and not all are 0 or 1.
        """
        if self.plan is not None or self.probabilities or logits.shape[1] < 2 or not len(logits):
            return
        sums = logits.double().sum(1)
        between = (logits > 0) & (logits < 1)
        if bool((logits >= 0).all() & ((sums - 1).abs() < 1e-5).all() & between.any()):
            raise ConfigError(
                f"{self.name} gives probabilities, not logits. Leave out its last softmax, or say so: "
                "Subject(…, probabilities=True)."
            )


def _mend(given: object) -> str:
    """What to do where a model gives a tuple or dict."""
    inside = parts(given)
    return f" Say which part is: Subject(…, output={inside[0][0].strip('[]')})." if inside else ""


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

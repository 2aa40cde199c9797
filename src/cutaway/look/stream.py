"""What layers give for many images: a few at a time, in one pass, checked on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from cutaway.errors import ConfigError, DataError
from cutaway.look.capture import capture
from cutaway.look.finite import refuse_nan
from cutaway.look.layers import visible_layers
from cutaway.nets.subject import Subject
from cutaway.progress import tracked

See = Callable[[Tensor, Mapping[str, Tensor]], None]
"""Shown the inputs of a few images, ``(n, C, H, W)``, and each layer's output for them, ``(n, …)``,
float32 on the subject's device and finite.
"""

MOST_AT_ONCE = 128
"""Images in one pass: more run hardly faster."""

_ROOM = 1 << 30
"""Bytes that the outputs of one pass may take."""


def stream(
    subject: Subject, images: Tensor, layers: Sequence[str], see: See, at_once: int | None = None
) -> None:
    """Show what ``layers`` give for ``images``, part by part, in order, in one forward pass.

    Args:
        subject: trained or not.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        layers: dotted names.
        see: is shown each part; what it wants to keep it copies or reduces.
        at_once: images in a part; as :func:`images_at_once` says when not given. A model of a fixed
            batch is given that many.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: the images have another shape than the subject takes, or a layer does not give a row
            an image.
        DataError: there are no images, or values that are not finite.
    """
    if not len(images):
        raise DataError("There are no images to look at; give one or more.")
    subject.refuse_shape(images)
    at_once = subject.batch or at_once or images_at_once(subject, images, layers)
    with (
        tracked("Reading layers", len(images), "images") as add,
        capture(subject.model, layers) as outputs,
    ):
        for chunk in images.split(at_once):
            inputs = subject.inputs(chunk)
            with subject.applying(len(inputs)):
                given = outputs(subject.filled(inputs))
            found = {name: _rows(name, value, inputs, subject.batch) for name, value in given.items()}
            refuse_nan(subject, inputs, {"inputs": inputs, **found})
            see(inputs.float(), found)
            add(len(chunk))


def images_at_once(subject: Subject, images: Tensor, layers: Sequence[str]) -> int:
    """How many images' outputs of ``layers`` fit into a GiB; at most 128, found by trying one image."""
    if len(images) == 1:
        return 1
    with capture(subject.model, layers) as outputs, subject.applying(1):
        inputs = subject.inputs(images[:1])
        values = sum(value.numel() for value in outputs(inputs).values()) + inputs.numel()
    return max(1, min(MOST_AT_ONCE, _ROOM // (4 * max(1, values))))


def chosen_layers(subject: Subject, layers: Sequence[str] | None) -> list[str]:
    """The layers asked for; all that change a value when nobody says.

    Raises:
        ConfigError: there is none.
    """
    names = list(dict.fromkeys(layers)) if layers is not None else visible_layers(subject)
    if not names:
        raise ConfigError(f"{subject.name} has no layers to look at; give the name of one or more.")
    return names


def _rows(name: str, value: Tensor, inputs: Tensor, batch: int | None) -> Tensor:
    """A layer's output as floats, a row an image, without those that fill a fixed batch."""
    if value.dim() < 2 or len(value) != (batch or len(inputs)):
        shape = "×".join(map(str, value.shape)) or "a single number"
        raise ConfigError(
            f"{name} gives {shape} for {len(inputs)} images, not a row for each; choose other layers."
        )
    return value[: len(inputs)].float()

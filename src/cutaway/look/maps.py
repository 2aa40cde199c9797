"""Feature maps: what every unit of every layer gives for an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.look.capture import capture
from cutaway.look.layers import visible_layers
from cutaway.nets.subject import Subject

CHUNK = 64
"""Images in one forward pass."""


@dataclass(frozen=True)
class FeatureMaps:
    """The outputs of some layers for some images.

    Args:
        images: what was looked at, ``(N, C, H, W)``, as it was given.
        layers: for each layer its output, float32 on the CPU: ``(N, C, H, W)``, or ``(N, F)`` for
            a dense layer.
        subject: the subject's name.
    """

    images: Tensor
    layers: Mapping[str, Tensor]
    subject: str = ""

    def blank(self, layer: str) -> Tensor:
        """Which units carry nothing of an image, ``(N, C)`` bool.

        A map is blank when all its values are the same, a dense unit when it gives zero.
        """
        values = self.layers[layer]
        if values.dim() == 2:
            return values == 0
        flat = values.flatten(2)
        return flat.amax(2) == flat.amin(2)


def feature_maps(subject: Subject, images: Tensor, layers: Sequence[str] | None = None) -> FeatureMaps:
    """The outputs of ``layers`` for ``images``, in as few passes as memory likes.

    Args:
        subject: trained or not.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        layers: dotted names; all that change a value when not given.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: the images have another shape than the subject takes.
    """
    names = list(layers) if layers is not None else visible_layers(subject)
    parts: list[dict[str, Tensor]] = []
    with capture(subject.model, names) as outputs:
        for chunk in images.split(CHUNK):
            found = outputs(subject.inputs(chunk))
            parts.append({name: value.float().cpu() for name, value in found.items()})
    joined = {name: torch.cat([part[name] for part in parts]).contiguous() for name in names}
    return FeatureMaps(images, joined, subject.name)

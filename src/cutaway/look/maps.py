"""Feature maps: what every unit of every layer gives for an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cutaway.look.choice import chosen_units
from cutaway.look.stream import chosen_layers, stream
from cutaway.nets.subject import Subject


@dataclass(frozen=True)
class FeatureMaps:
    """The outputs of some layers for some images.

    Args:
        images: what was looked at, ``(N, C, H, W)``, as it was given.
        layers: for each layer its output, float32 on the CPU: ``(N, C, H, W)``, or ``(N, F)`` for
            a dense layer.
        subject: the subject's name.
        units: the units that each layer shows, by the numbers that they have there; all of them for a
            layer that is not named.
    """

    images: Tensor
    layers: Mapping[str, Tensor]
    subject: str = ""
    units: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def blank(self, layer: str) -> Tensor:
        """Which units carry nothing of an image, ``(N, C)`` bool.

        A map is blank when all its values are the same, a dense unit when it gives zero.
        """
        values = self.layers[layer]
        if values.dim() == 2:
            return values == 0
        flat = values.flatten(2)
        return flat.amax(2) == flat.amin(2)

    def numbers(self, layer: str) -> Sequence[int]:
        """The number of each unit that ``layer`` shows."""
        return self.units.get(layer) or range(self.layers[layer].shape[1])

    def only(self, units: Sequence[int]) -> FeatureMaps:
        """The same maps of these units alone, such as filter 25 through all layers.

        Layers that have none of them, as the last ones often have not, are left out.

        Raises:
            ConfigError: no unit is asked for.
            NotFoundError: no layer has such a unit.
        """
        shown = chosen_units({layer: self.numbers(layer) for layer in self.layers}, units)
        return FeatureMaps(
            self.images,
            {layer: self.layers[layer][:, places] for layer, places in shown.items()},
            self.subject,
            {layer: [self.numbers(layer)[place] for place in places] for layer, places in shown.items()},
        )


def feature_maps(
    subject: Subject,
    images: Tensor,
    layers: Sequence[str] | None = None,
    units: Sequence[int] | None = None,
) -> FeatureMaps:
    """The outputs of ``layers`` for ``images``, in parts that fit into memory.

    Args:
        subject: trained or not.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        layers: addresses, as ``capture`` takes them; all that change a value when not given.
        units: those that are kept of every layer; all when not given.

    Raises:
        NotFoundError: there is no such layer, or no layer has such a unit.
        ConfigError: the images have another shape than the subject takes, a layer gives something
            else than a row for each image, or no layer or no unit is asked for.
        DataError: weights, images or outputs are not finite.
    """
    names = chosen_layers(subject, layers)
    parts: list[dict[str, Tensor]] = []

    def keep(inputs: Tensor, found: Mapping[str, Tensor]) -> None:
        del inputs
        # A copy: what is seen may be a part of something larger.
        parts.append({name: value.to("cpu", copy=True) for name, value in found.items()})

    stream(subject, images, names, keep)
    joined = {name: torch.cat([part[name] for part in parts]).contiguous() for name in names}
    maps = FeatureMaps(images, joined, subject.name)
    return maps if units is None else maps.only(units)

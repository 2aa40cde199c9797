"""What layers give for a few images, reduced at once: the numbers that streaming looks are made of.

The units of all layers stand side by side, a column each, so that what is done with a few numbers an
image is done once for all layers, and not once for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from cutaway.errors import ConfigError, DataError
from cutaway.look.finite import refuse_nan_weights
from cutaway.nets.subject import Subject


@dataclass(frozen=True)
class LayerSize:
    """What a layer gives for one image.

    Args:
        units: channels, or numbers of a dense layer.
        grid: rows and columns of a unit's map; 1 × 1 for a dense layer.
    """

    units: int
    grid: tuple[int, int]

    @property
    def places(self) -> int:
        """Values of a unit for one image."""
        return self.grid[0] * self.grid[1]

    @classmethod
    def of(cls, layer: str, output: Tensor, images: int) -> LayerSize:
        """The size of an output ``(N, C, …)``.

        Raises:
            ConfigError: it has no row for each image, or no units.
        """
        shape = tuple(output.shape)
        if len(shape) < 2 or shape[0] != images or 0 in shape:
            found = "×".join(map(str, shape)) or "a single number"
            raise ConfigError(
                f"{layer} gives {found} for {images} image{'s'[: images != 1]}; images are counted along the "
                "first axis, units along the second. Choose other layers."
            )
        rows = shape[2] if len(shape) > 3 else 1
        return cls(shape[1], (rows, output[0, 0].numel() // rows))


def columns(sizes: Mapping[str, LayerSize]) -> dict[str, slice]:
    """The columns of each layer's units."""
    found, start = {}, 0
    for layer, size in sizes.items():
        found[layer] = slice(start, start + size.units)
        start += size.units
    return found


class Responses:
    """The outputs of some layers for a few images; each summary is made when it is first asked for.

    No map is copied: summaries are reductions over the outputs as they lie in memory, channels last or
    first. All is float32, a map's sum by PyTorch's cascade of partial sums; whoever adds up over images
    does so in float64. Summaries are ``(N, U)`` on the CPU, U being the units of all layers.

    Args:
        outputs: of each layer, ``(N, C)`` or ``(N, C, …)``; what follows is a unit's map.
        subject: whose layers they are; its weights are read where a value is not finite, to name the cause.
        inputs: of the model, ``(N, …)``; likewise.
        numbers: the images' positions in the dataset, ``(N,)`` int64, ascending.
        labels: their classes, ``(N,)`` int64.
        sampled: which of them belong to the survey's sample, ``(S,)`` int64, from 0 to N − 1.
    """

    def __init__(  # noqa: PLR0917  all of them, always
        self,
        outputs: Mapping[str, Tensor],
        subject: Subject,
        inputs: Tensor,
        numbers: Tensor,
        labels: Tensor,
        sampled: Tensor,
    ) -> None:
        self.values = {
            layer: output.float().flatten(2) if output.dim() > 2 else output.float()[..., None]
            for layer, output in outputs.items()
        }
        """For each layer ``(N, C, P)``, where the output lies."""
        self.numbers, self.labels, self.sampled = numbers, labels, sampled
        self._subject, self._inputs = subject, inputs

    @property
    def maxima(self) -> Tensor:
        """The largest value of each map.

        Raises:
            DataError: a layer gives NaN or an infinite value; the message names the image, the weights or
                the layer that it comes from.
        """
        return self._summaries[0]

    @property
    def minima(self) -> Tensor:
        """The smallest value of each map.

        Raises:
            DataError: as for the maxima.
        """
        return self._summaries[1]

    @property
    def means(self) -> Tensor:
        """The mean of each map.

        Raises:
            DataError: as for the maxima.
        """
        return self._summaries[2]

    @cached_property
    def _summaries(self) -> tuple[Tensor, Tensor, Tensor]:
        # A layer at a time: for the second and the third of them it lies in the cache.
        found = [(values.amax(2), values.amin(2), values.mean(2)) for values in self.values.values()]
        maxima, minima, means = (
            self._finite(torch.cat(parts, 1).cpu()) for parts in zip(*found, strict=True)
        )
        return maxima, minima, means

    @cached_property
    def blank(self) -> Tensor:
        """Which maps have one value everywhere, bool; where there is one place, which are zero."""
        blank = self.maxima == self.minima
        for values, part in self._parts():
            if values.shape[2] == 1:
                blank[:, part] = self.maxima[:, part] == 0
        return blank

    def places(self, rows: Tensor, units: Tensor) -> Tensor:
        """Where in their maps some units are largest, first in reading order: ``(M,)`` int64.

        Args:
            rows: of the images, ``(M,)``.
            units: a column for each row, ``(M,)``.
        """
        found = torch.zeros_like(rows)
        layers = list(self._parts())
        ends = torch.tensor([part.stop for _, part in layers])
        layer_of = torch.bucketize(units, ends, right=True)
        for number in layer_of.unique().tolist():
            values, part = layers[number]
            if values.shape[2] > 1:
                chosen = (layer_of == number).nonzero().flatten()
                at = rows[chosen].to(values.device), (units[chosen] - part.start).to(values.device)
                found[chosen] = values[at].argmax(1).cpu()
        return found

    def sampled_places(self) -> Tensor:
        """Where in its map each unit is largest, for the images of the sample: ``(S, U)`` int64."""
        return self._reduced(lambda values: values[self.sampled.to(values.device)].argmax(2))

    def _parts(self) -> Iterator[tuple[Tensor, slice]]:
        start = 0
        for values in self.values.values():
            yield values, slice(start, start + values.shape[1])
            start += values.shape[1]

    def _reduced(self, reduce: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.cat([reduce(values) for values in self.values.values()], 1).cpu()

    def _finite(self, found: Tensor) -> Tensor:
        """Refuse what can be neither ranked nor added up, and tell where it began."""
        if found.sum().isfinite():  # a tenth of the time that all values take
            return found
        finite = found.isfinite()
        for layer, (_, part) in zip(self.values, self._parts(), strict=True):
            wrong = ~finite[:, part].all(1)
            if not wrong.any():
                continue
            row = int(wrong.nonzero()[0])
            number = int(self.numbers[row])
            if not self._inputs[row].isfinite().all():
                raise DataError(
                    f"Image {number} has NaN or infinite inputs; look at it and at the preprocessing."
                )
            refuse_nan_weights(self._subject)
            kind = "NaN" if found[row, part].isnan().any() else "infinite values"
            raise DataError(
                f"{self._subject.name}: {layer} gives {kind} for image {number}, though weights and image "
                "are finite. Leave the image out, or take weights from before they grew so large."
            )
        return found

"""The zoo's register: nets by name, each with its source."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

from cutaway.errors import NotFoundError
from cutaway.nets.words import Shape
from cutaway.registry import Registry


@dataclass(frozen=True)
class ZooNet:
    """A known net.

    Args:
        summary: one line for lists.
        source: where it was published.
        input_shape: ``(C, H, W)`` that it was made for.
        text: its notation; the last layer with weights gives the classes.
        parameters: the published number, where there is one.
        mean: what is subtracted from each channel, pixels from 0 to 1, with the published weights.
        deviation: what each channel is then divided by.
    """

    summary: str
    source: str
    input_shape: Shape
    text: str
    parameters: int | None = None
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", dedent(self.text).strip())


IMAGENET = {"mean": (0.485, 0.456, 0.406), "deviation": (0.229, 0.224, 0.225)}
"""Of ImageNet's training images, as all of torchvision's weights but GoogLeNet's take them."""

ZOO: Registry[ZooNet] = Registry("net", NotFoundError)

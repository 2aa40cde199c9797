"""Methods by name: how each explains, and how its map is read as one number for each pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from cutaway.errors import ConfigError, NotFoundError
from cutaway.look.backward.attribution import Attribution, with_zero_noted
from cutaway.look.backward.deeplift import deeplift
from cutaway.look.backward.gradcam import gradcam, guided_gradcam
from cutaway.look.backward.graph import float_inputs
from cutaway.look.backward.guided import deconvnet, guided
from cutaway.look.backward.integrated import integrated_gradients
from cutaway.look.backward.lrp import lrp
from cutaway.look.backward.occlusion import occlusion
from cutaway.look.backward.rise import rise
from cutaway.look.backward.saliency import gradient_input, saliency, smoothgrad
from cutaway.look.backward.target import Asked
from cutaway.look.layers import layers
from cutaway.nets.subject import Subject
from cutaway.registry import Registry

Reading = Literal["signed", "strength"]
"""``signed``, the sum over the channels: how much a pixel speaks for the target, or against it;
``strength``, the largest amount among them: how much the target hangs on the pixel, either way."""

Explain = Callable[[Subject, Tensor, Asked | Sequence[Asked] | None], Attribution]
"""From a subject, images ``(N, C, H, W)`` and targets to their maps."""


@dataclass(frozen=True)
class Method:
    """A way to explain, with its settings.

    Args:
        explain: gives the maps.
        reading: of a map as one number for each pixel.
        costly: it takes a thousand passes for an image or more, so it is left out where nobody asks for it.
    """

    explain: Explain
    reading: Reading
    costly: bool = False

    def heat(self, found: Attribution) -> Tensor:
        """One number for each pixel, larger where it counts for more: ``(T, N, H, W)`` float32."""
        return found.summed if self.reading == "signed" else found.strength


METHODS: Registry[Method] = Registry("method", NotFoundError)
"""All that explain a class by its pixels, each with the settings that it has by itself.

A gradient's sign tells which way a pixel would have to go, not what it says, so maps of gradients are read
by their strength; what adds up to the target, or to its change, has a sign that speaks."""


def last_maps(subject: Subject) -> str:
    """The last layer whose maps have more than one place: where Grad-CAM looks.

    Raises:
        ConfigError: there is none.
    """
    if subject.plan is not None:
        shapes = [(row.name, row.output_shape) for row in subject.plan.leaves()]
    else:
        shapes = [(row.name, row.shape) for row in layers(typed(subject)) if row.leaf]
    found = [name for name, shape in shapes if len(shape) == 3 and shape[1] * shape[2] > 1]
    if not found:
        raise ConfigError(f"{subject.name} has no layer with maps of more than one place.")
    return found[-1]


def typed(subject: Subject) -> Subject:
    """The subject with inputs in its weights' type, for looks that take what preprocessing gives."""
    return replace(subject, preprocess=lambda pixels: float_inputs(subject, pixels))


def _gradcam(subject: Subject, images: Tensor, targets: Asked | Sequence[Asked] | None = None) -> Attribution:
    """Grad-CAM of the last maps in the size of the images: one channel, ``(T, N, 1, H, W)``."""
    layer = last_maps(subject)
    found = gradcam(subject, images, targets, [layer])
    maps = found.enlarged(layer)[:, :, None]
    return with_zero_noted(Attribution(images, maps, found.values, found.targets, "Grad-CAM", found.subject))


def _guided_gradcam(
    subject: Subject, images: Tensor, targets: Asked | Sequence[Asked] | None = None
) -> Attribution:
    return guided_gradcam(subject, images, targets, last_maps(subject))


METHODS.add("saliency")(Method(saliency, "strength"))
METHODS.add("gradient-input")(Method(gradient_input, "signed"))
METHODS.add("smoothgrad")(Method(smoothgrad, "strength"))
METHODS.add("integrated-gradients")(Method(integrated_gradients, "signed"))
METHODS.add("guided")(Method(guided, "strength"))
METHODS.add("deconvnet")(Method(deconvnet, "strength"))
METHODS.add("deeplift")(Method(deeplift, "signed"))
METHODS.add("lrp")(Method(lrp, "signed"))
METHODS.add("gradcam")(Method(_gradcam, "signed"))
METHODS.add("guided-gradcam")(Method(_guided_gradcam, "strength"))
METHODS.add("occlusion")(Method(occlusion, "signed"))
METHODS.add("rise")(Method(rise, "signed", costly=True))

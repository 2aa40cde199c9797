"""Grad-CAM: where in a layer's maps the evidence for a target lies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.backward.attribution import Attribution, chunks, refuse_unfinite, walks, with_zero_noted
from cutaway.look.backward.guided import guided
from cutaway.look.backward.rules import Otherwise
from cutaway.look.backward.target import Asked, as_targets
from cutaway.look.layers import layers as all_layers
from cutaway.nets.subject import Subject
from cutaway.progress import tracked


@dataclass(frozen=True)
class GradCam:
    """Where some layers found what speaks for some targets.

    Args:
        images: what was looked at, ``(N, C, H, W)``, as it was given.
        layers: for each layer ``(T, N, h, w)`` float32 on the CPU, 0 or more, in the layer's own size.
        values: what each target came to for each image, ``(T, N)``.
        targets: their names.
        subject: the subject's name.
    """

    images: Tensor
    layers: Mapping[str, Tensor]
    values: Tensor
    targets: tuple[str, ...]
    subject: str = ""

    def enlarged(self, layer: str) -> Tensor:
        """A layer's maps in the size of the images, ``(T, N, H, W)``, by bilinear interpolation."""
        size = (self.images.shape[2], self.images.shape[3])
        return F.interpolate(self.layers[layer], size, mode="bilinear", align_corners=False)


def gradcam(
    subject: Subject,
    images: Tensor,
    targets: Asked | Sequence[Asked] | None = None,
    layers: Sequence[str] | None = None,
) -> GradCam:
    """Grad-CAM of many layers, in one backward pass for each target.

    ``max(0, Σ_k α_k A_k)``, where A_k is the layer's map k and α_k the mean over its places of the
    target's derivative by it.

    Args:
        subject: any.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        targets: as for :func:`saliency`.
        layers: addresses of layers with maps; all of them when not given.

    Raises:
        ConfigError: a layer has no maps.
        CutawayError: as :func:`saliency` does.

    Source: Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra, "Grad-CAM", 2016.
    """
    names = list(dict.fromkeys(layers)) if layers is not None else map_layers(subject)
    if not names:
        raise ConfigError(f"{subject.name} has no layers with maps; Grad-CAM needs one.")
    wanted = as_targets(subject, targets)
    parts: list[dict[str, Tensor]] = []
    values = []
    with walks(subject, wanted, names) as forward, tracked("Grad-CAM", len(images), "images") as add:
        for inputs, chosen in chunks(subject, images, wanted):
            graph = forward(inputs)
            maps = {name: graph.values[name].detach()[: len(inputs)] for name in names}
            for name, value in maps.items():
                if value.dim() != 4:
                    shape = "×".join(map(str, value.shape[1:])) or "a number"
                    raise ConfigError(
                        f"{name} gives {shape} for an image, not maps; choose a layer with maps."
                    )
            last = {name: _channels_last(subject, inputs, name, value) for name, value in maps.items()}
            found: dict[str, list[Tensor]] = {name: [] for name in names}
            for place, target in enumerate(chosen):
                seed = graph.seed(target)
                for name, grads in zip(
                    names, graph.back(target, seed, names, keep=place + 1 < len(chosen)), strict=True
                ):
                    cam = _cam(maps[name], grads, channels_last=last[name])
                    found[name].append(cam.float().cpu())
            parts.append({name: torch.stack(cams) for name, cams in found.items()})
            values.append(torch.stack([graph.value(target) for target in chosen]).float().cpu())
            add(len(inputs))
    joined = {name: torch.cat([part[name] for part in parts], 1) for name in names}
    found_values = torch.cat(values, 1)
    for cams in joined.values():
        refuse_unfinite(subject, images, found_values, cams)
    return GradCam(images, joined, found_values, tuple(map(str, wanted)), subject.name)


def _cam(maps: Tensor, grads: Tensor, *, channels_last: bool) -> Tensor:
    """``max(0, Σ_k α_k A_k)``, ``(n, h, w)``; in 32 bits or more, as many small numbers are added."""
    kind = torch.promote_types(maps.dtype, torch.float32)
    maps, grads = maps.to(kind), grads.to(kind)
    if channels_last:
        maps, grads = maps.movedim(3, 1), grads.movedim(3, 1)
    return torch.einsum("nk,nkhw->nhw", grads.mean((2, 3)), maps).clamp_min(0)


def _channels_last(subject: Subject, inputs: Tensor, name: str, value: Tensor) -> bool:
    """Whether maps are ``(n, h, w, k)``, as of a model that takes its input so.

    Raises:
        ConfigError: the sizes don't tell.
    """
    channels, height, width = subject.input_shape
    turned = (height, width, channels)
    if tuple(inputs.shape[1:]) != turned or turned == subject.input_shape or set(value.shape[1:]) == {1}:
        return False
    # Maps get smaller by about the same amount along both sides.
    first, last = (
        abs(math.log(size[0] / size[1]) - math.log(height / width))
        for size in (value.shape[2:], value.shape[1:3])
    )
    if first == last:
        shape = "×".join(map(str, value.shape[1:]))
        raise ConfigError(
            f"{name} gives {shape}: its sizes don't tell which axis counts the channels. "
            "Choose the call of the function inside, such as conv2d@1."
        )
    return last < first


def guided_gradcam(
    subject: Subject,
    images: Tensor,
    targets: Asked | Sequence[Asked] | None = None,
    layer: str | None = None,
    *,
    otherwise: Otherwise = "refuse",
) -> Attribution:
    """Guided backpropagation times Grad-CAM of a layer: fine lines, where the evidence lies.

    Args:
        subject: any.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs.
        targets: as for :func:`saliency`.
        layer: with maps; the last one when not given.
        otherwise: as for :func:`guided`.

    Raises:
        CutawayError: as :func:`gradcam` and :func:`guided` do.

    Source: as of :func:`gradcam`.
    """
    name = layer if layer is not None else (map_layers(subject) or [""])[-1]
    if not name:
        raise ConfigError(f"{subject.name} has no layers with maps; Grad-CAM needs one.")
    lines = guided(subject, images, targets, otherwise=otherwise)
    cams = gradcam(subject, images, targets, [name]).enlarged(name)
    found = replace(lines, maps=lines.maps * cams[:, :, None], method="guided Grad-CAM", notes=())
    nothing = f"Grad-CAM of {name} is zero: by its mean derivatives nothing there speaks for the target."
    # Where guided backpropagation is silent itself, its own notes tell why.
    silent = (lines.maps == 0).flatten(2).all(2)[:, :, None, None, None]
    noted = with_zero_noted(
        replace(found, maps=found.maps.masked_fill(silent, 1)), lambda _, images: [nothing] * len(images)
    )
    return replace(found, notes=(*lines.notes, *noted.notes))


def map_layers(subject: Subject) -> list[str]:
    """The layers that give maps, in the order of computing."""
    if subject.plan is not None:
        return [row.name for row in subject.plan.leaves() if len(row.output_shape) == 3]
    return [row.name for row in all_layers(subject) if row.leaf and len(row.shape) == 3]

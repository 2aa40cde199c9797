"""Orientation: which edges and lines every unit answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cutaway.errors import ConfigError
from cutaway.look.layers import visible_layers
from cutaway.look.modules import named_modules
from cutaway.look.stimuli import Batch, Stimuli
from cutaway.look.stream import stream
from cutaway.look.tuning import Tuning
from cutaway.nets.subject import Subject
from cutaway.progress import listening, tracked


@dataclass(frozen=True)
class Orientation:
    """Which orientations the units of some layers answer.

    Args:
        layers: for each layer the tuning of its units.
        kernels: of those layers that are convolutions of as many channels as the image has,
            ``(U, C, h, w)``.
        stimuli: what was shown.
        subject: the subject's name.
    """

    layers: Mapping[str, Tuning]
    kernels: Mapping[str, Tensor]
    stimuli: Stimuli
    subject: str = ""


def orientation(
    subject: Subject,
    layers: Sequence[str] | None = None,
    *,
    angles: Sequence[float] = tuple(range(0, 180, 15)),
    wavelengths: Sequence[float] = (),
    phases: int = 8,
) -> Orientation:
    """Show a subject gratings and edges, and note how every unit answers.

    The answer of a unit is the largest over all phases of the value in the middle of its map, less its
    value for even grey: there, padding at the border counts least, and the phases bring every part of a
    wave to the middle. Stimuli are pixels, and are preprocessed as other images are.

    Args:
        subject: trained or not.
        layers: addresses, as :class:`cutaway.look.Address` explains; all convolutions when not given.
        angles: of the lines, in degrees counter-clockwise from horizontal, from 0 to below 180.
        wavelengths: in pixels, infinite for edges; six up to half of the image, and edges, when not given.
        phases: of each grating.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: the angles, wavelengths or phases are none, or a layer gives no units.
        DataError: a weight, or what a layer gives, is not finite.
    """
    stimuli = Stimuli(subject.input_shape, tuple(angles), tuple(wavelengths), phases)
    names = list(dict.fromkeys(layers)) if layers is not None else _convolutions(subject)
    if not names:
        raise ConfigError(f"{subject.name} has no layers to look at; give the name of one or more.")
    grey = _middles(subject, stimuli.even(), names)
    shape = (len(stimuli.colours), len(stimuli.angles), len(stimuli.wavelengths))
    answers = {name: torch.full((values.shape[1], *shape), -math.inf) for name, values in grey.items()}
    with tracked("Showing gratings", stimuli.count, "images") as add:
        for batches in _together(stimuli.batches()):
            shown = [len(batch.pixels) for batch in batches]
            pixels = torch.cat([batch.pixels for batch in batches])
            for name, values in _middles(subject, pixels, names).items():
                for batch, own in zip(batches, (values - grey[name][:1]).split(shown), strict=True):
                    answers[name][:, batch.colour, batch.angle, batch.scale] = own.amax(0)
            add(len(pixels))
    found = {name: _tuning(stimuli, answers[name], grey[name]) for name in names}
    return Orientation(found, _first_kernels(subject, names), stimuli, subject.name)


def kernel_orientation(kernels: Tensor) -> tuple[Tensor, Tensor]:
    """The orientation of kernels by their spectrum, without showing them anything.

    With the power P of each spatial frequency k up to half a wave a pixel, summed over the channels, and
    θ(k) the orientation of the lines of such a wave,

        z = Σ P e^{2iθ} / Σ P,   orientation = arg(z) / 2,   strength = |z|.

    Args:
        kernels: ``(O, C, h, w)``.

    Returns:
        degrees ``(O,)`` from 0 to below 180, NaN for a kernel that is the same everywhere, and strengths
        ``(O,)`` from 0 to 1.
    """
    size = max(32, *kernels.shape[2:])
    power = torch.fft.fft2(kernels.double(), s=(size, size)).abs().square().sum(1)  # (O, size, size)
    frequencies = torch.fft.fftfreq(size, dtype=torch.float64)
    down, across = torch.meshgrid(frequencies, frequencies, indexing="ij")
    radius = torch.hypot(down, across)
    power = power * ((radius > 0) & (radius <= 0.5))
    turns = torch.polar(torch.ones_like(radius), 2 * torch.atan2(across, down))
    total = power.sum((1, 2))
    means = (power * turns).sum((1, 2)) / torch.where(total > 0, total, 1)
    degrees = torch.rad2deg(means.angle() / 2).float() % 180
    return torch.where(total > 0, degrees, torch.nan), means.abs().float()


def _together(batches: Iterator[Batch]) -> Iterator[list[Batch]]:
    """As many batches in a row as a pass takes: the few images of one would hardly fill it."""
    waiting: list[Batch] = []
    for batch in batches:
        if waiting and sum(len(one.pixels) for one in (*waiting, batch)) > _AT_ONCE:
            yield waiting
            waiting = []
        waiting.append(batch)
    if waiting:
        yield waiting


def _convolutions(subject: Subject) -> list[str]:
    """The names of all convolutions, modules and functions; of all layers where there is none."""
    modules = named_modules(subject.model)
    names = visible_layers(subject)
    return [
        name
        for name in names
        if isinstance(modules.get(name.partition("@")[0]), nn.Conv2d) or name.startswith("conv2d@")
    ] or names


def _first_kernels(subject: Subject, names: Sequence[str]) -> dict[str, Tensor]:
    """The kernels of those convolutions that take as many channels as the image has."""
    modules = named_modules(subject.model)
    found = {}
    for name in names:
        module = modules.get(name)
        if isinstance(module, nn.Conv2d) and module.in_channels == subject.input_shape[0]:
            found[name] = module.weight.detach().float().cpu().clone().contiguous()
    return found


def _middles(subject: Subject, pixels: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """The value in the middle of each unit's map, ``(N, U)`` on the CPU by layer."""
    parts: dict[str, list[Tensor]] = {name: [] for name in layers}

    def see(inputs: Tensor, found: Mapping[str, Tensor]) -> None:
        del inputs
        for name, output in found.items():
            middle = output
            for size in output.shape[2:]:
                middle = middle.select(2, size // 2)
            parts[name].append(middle.cpu())

    with listening(lambda _: None):  # the few images of a call are no work of their own
        stream(subject, pixels, layers, see, _AT_ONCE)
    return {name: torch.cat(values) for name, values in parts.items()}


def _tuning(stimuli: Stimuli, answers: Tensor, even: Tensor) -> Tuning:
    bright_or_dark = (even[1:] - even[:1]).T.reshape(even.shape[1], -1, 2).amax(2)  # (U, K)
    return Tuning(answers, bright_or_dark, stimuli.angles, stimuli.wavelengths, stimuli.colours)


_AT_ONCE = 64
"""Images in one pass."""

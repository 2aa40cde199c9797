"""Robustness: how many images a subject gets wrong when somebody may change them a little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cutaway.data import Split
from cutaway.errors import ConfigError, DataError
from cutaway.look.adversarial import Way
from cutaway.look.backward.attribution import AT_ONCE
from cutaway.look.ball import Ball, Norm
from cutaway.look.goal import Goal
from cutaway.look.interval import wilson
from cutaway.look.pixels import Pixels, pixels
from cutaway.nets.subject import Subject
from cutaway.progress import tracked
from cutaway.training.score import ranks

Attack = Literal["noise", "fgsm", "pgd"]

EPS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Radii where nobody gives others, in pixel values."""


@dataclass(frozen=True)
class Curve:
    """What one attack does at each radius.

    Args:
        wrong: which images the subject gets wrong, ``(E, N)`` bool on the CPU.
    """

    wrong: Tensor

    @property
    def errors(self) -> Tensor:
        """The share that is wrong, ``(E,)`` float64, 0 to 1."""
        return self.wrong.double().mean(1)

    @property
    def intervals(self) -> Tensor:
        """Lower and upper end of each share's 95 % interval, ``(E, 2)`` float64: Wilson's."""
        return torch.tensor(
            [wilson(int(row.sum()), len(row)) for row in self.wrong], dtype=torch.float64
        ).view(-1, 2)


@dataclass(frozen=True)
class Robustness:
    """The error of a subject against how far its images may be changed.

    Args:
        eps: E radii, ascending, in pixel values.
        curves: for each attack.
        norm: of the radii.
        images: how many there were.
        steps: of PGD.
        subject: the subject's name.
    """

    eps: tuple[float, ...]
    curves: Mapping[str, Curve]
    norm: Norm
    images: int
    steps: int
    subject: str = ""

    def half(self, attack: str) -> float | None:
        """The least of the radii at which an attack gets half of the images wrong; None where none does."""
        enough = (self.curves[attack].errors >= 0.5).nonzero().flatten().tolist()
        return self.eps[enough[0]] if enough else None


def robustness(
    subject: Subject,
    split: Split,
    eps: Sequence[float] = EPS,
    *,
    attacks: Sequence[Attack] = ("noise", "fgsm", "pgd"),
    norm: Norm = "linf",
    steps: int = 10,
    seed: int = 0,
) -> Robustness:
    """The share of images that a subject gets wrong, for each radius that they may be changed by.

    - ``noise``: x + a random change of norm eps (for L∞, ±eps for every value): what chance does.
    - ``fgsm``: one step, as :func:`cutaway.look.fgsm`. It may overshoot: the curve may fall again.
    - ``pgd``: as :func:`cutaway.look.pgd`. An image is wrong where PGD found a wrong one inside the ball;
      inside a larger ball it is too, so those are not attacked again, and the curve never falls.

    Each is a lower bound: a better attack may find more. All changed images are cut to 0 … 255, and at
    radius 0 each curve is the error of the images as they are.

    Args:
        subject: any.
        split: labelled images.
        eps: radii, 0 or more, in pixel values.
        attacks: which.
        norm: ``linf`` or ``l2``.
        steps: of PGD, each 2.5 · eps / steps long, from a random start.
        seed: of the noise and of PGD's starts.

    Raises:
        ConfigError: a radius is below 0, there are none, there is no such attack, or the images do not fit.
        DataError: there are no images, they have more classes than the subject, or values are not finite.

    Source: Madry et al., "Towards deep learning models resistant to adversarial attacks", 2017, figure 6;
    Carlini et al., "On evaluating adversarial robustness", 2019.
    """
    radii = [Ball(float(one), norm) for one in sorted(set(eps))]
    if not radii or not attacks:
        raise ConfigError("eps and attacks should have one or more values; there are none.")
    for attack in attacks:
        if attack not in _WRONG:
            raise ConfigError(f'attacks should be among {", ".join(_WRONG)}, not "{attack}".')
    if not len(split):
        raise DataError("There are no images to attack; give one or more.")
    way, generator = Way(steps, seed=seed), torch.Generator().manual_seed(seed)
    first, _ = next(split.chunks(1))
    found: dict[Attack, list[Tensor]] = {attack: [] for attack in attacks}
    with (
        pixels(subject, first) as place,
        tracked("Attacking", len(split) * len(radii) * len(found), "images") as add,
    ):
        if not place.preprocessed:
            raise ConfigError("robustness changes pixels; give a split of uint8 images.")
        for images, given in split.chunks(subject.batch or AT_ONCE):
            values, labels = place.values(images), given.to(subject.device)
            clean = place.told(values)
            if int(labels.min()) < 0:
                raise DataError(
                    "A label is below 0, so there is nothing to be wrong about; leave the image out."
                )
            if int(labels.max()) >= clean.shape[1]:
                raise DataError(f"The images have more classes than {subject.name} knows ({clean.shape[1]}).")
            for attack, parts in found.items():
                work = _Work(place, values, labels, _wrong(clean, labels), radii, way, generator)
                parts.append(_WRONG[attack](work).cpu())
                add(len(images) * len(radii))
    curves: dict[str, Curve] = {attack: Curve(torch.cat(done, 1)) for attack, done in found.items()}
    return Robustness(tuple(ball.eps for ball in radii), curves, norm, len(split), steps, subject.name)


@dataclass(frozen=True)
class _Work:
    """Some images to attack.

    Args:
        place: the way to the logits.
        values: ``(n, C, H, W)``.
        labels: ``(n,)`` int64.
        clean: which are wrong as they are, ``(n,)`` bool.
        radii: ascending.
        way: of PGD.
        generator: of the noise.
    """

    place: Pixels
    values: Tensor
    labels: Tensor
    clean: Tensor
    radii: Sequence[Ball]
    way: Way
    generator: torch.Generator


def _noise(work: _Work) -> Tensor:
    """Which images are wrong in each radius, ``(E, n)`` bool; likewise below."""
    place, values = work.place, work.values
    # One direction for each image: with growing eps it is followed further.
    noise = Ball(1.0, work.radii[0].norm).noise(values.shape, work.generator).to(values)
    return torch.stack(
        [
            _wrong(place.told(place.cut(values + ball.eps * noise)), work.labels) if ball.eps else work.clean
            for ball in work.radii
        ]
    )


def _fgsm(work: _Work) -> Tensor:
    place, values = work.place, work.values
    _, gradient = place.slopes(values, Goal(work.labels).seed)
    return torch.stack(
        [
            _wrong(place.told(place.cut(values + ball.eps * ball.steepest(gradient))), work.labels)
            if ball.eps
            else work.clean
            for ball in work.radii
        ]
    )


def _pgd(work: _Work) -> Tensor:
    wrong, found = work.clean.clone(), []
    for ball in work.radii:
        left = (~wrong).nonzero().flatten()
        if ball.eps and len(left):
            labels = work.labels[left]
            attacked = work.way.walked(work.place, work.values[left], Goal(labels), ball)
            wrong = wrong.index_put((left,), _wrong(attacked.after, labels))
        found.append(wrong)
    return torch.stack(found)


_WRONG: Mapping[str, Callable[[_Work], Tensor]] = {"noise": _noise, "fgsm": _fgsm, "pgd": _pgd}


def _wrong(logits: Tensor, labels: Tensor) -> Tensor:
    return ranks(logits, labels) >= 1

"""Rank: how many of its dimensions a layer uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cutaway.errors import ConfigError, DataError
from cutaway.look.stream import chosen_layers, stream
from cutaway.nets.subject import Subject

WIDEST = 8192
"""Units, or responses where these are fewer, of which eigenvalues are computed: 8 192 take a minute."""


@dataclass(frozen=True)
class Spectrum:
    """The variances of a layer's responses along their principal directions.

    Args:
        eigenvalues: of the responses' covariance, ``(U,)`` float64, the largest first.
        samples: responses: positions times images, or images for a dense layer.
    """

    eigenvalues: Tensor
    samples: int

    @property
    def units(self) -> int:
        """U, the dimensions that there are."""
        return len(self.eigenvalues)

    @property
    def limited(self) -> bool:
        """Whether the images are too few to tell: no more directions than samples − 1 can vary."""
        return self.samples <= self.units

    @property
    def effective_rank(self) -> float:
        """exp(−Σ p ln p), p the eigenvalues' shares; 0 when nothing varies. Roy and Vetterli, 2007."""
        shares = self._shares()
        return float(torch.exp(-torch.xlogy(shares, shares).sum())) if len(shares) else 0.0

    @property
    def participation_ratio(self) -> float:
        """(Σλ)² / Σλ²; 0 when nothing varies."""
        shares = self._shares()
        return float(1 / shares.square().sum()) if len(shares) else 0.0

    def dimensions(self, share: float = 0.99) -> int:
        """Principal directions that hold a share of the variance, 0 to 1."""
        shares = self._shares()
        # Rounding must not ask for one more than there are.
        short = shares.cumsum(0) < share * (1 - 1e-12)
        return min(int(short.sum()) + 1, len(shares))

    @property
    def saturation(self) -> float:
        """The share of its dimensions that hold 99 % of the variance. Shenk et al., 2019."""
        return self.dimensions() / self.units

    def _shares(self) -> Tensor:
        """Eigenvalues above zero as shares of their sum."""
        found = self.eigenvalues[self.eigenvalues > 0]
        return found / found.sum()


@dataclass(frozen=True)
class Rank:
    """How many of their dimensions some layers use.

    Args:
        layers: the spectrum of each, in their order.
        images: how many were looked at.
        subject: the subject's name.
    """

    layers: Mapping[str, Spectrum]
    images: int
    subject: str = ""


def rank(subject: Subject, images: Tensor, layers: Sequence[str] | None = None) -> Rank:
    """The spectrum of each layer's responses, and from it how many dimensions are in use.

    A response is the vector of all units at one position of the maps for one image, as Richter et al.
    take it: a conv of C filters has C dimensions, and positions times images samples. Of a dense layer it
    is the vector of its units. The covariance is summed in float64 while the images pass.

    Roy and Vetterli, "The effective rank: a measure of effective dimensionality", 2007, here of the
    covariance. Shenk, Richter, Arpteg and Huss, "Spectral analysis of latent representations", 2019, and
    Richter, Shenk, Byttner, Arpteg and Huss, "Feature space saturation during training", 2020.

    Args:
        subject: trained or not.
        images: ``(N, C, H, W)``: uint8 pixels, or float inputs; 2 or more.
        layers: dotted names; all that change a value when not given.

    Raises:
        NotFoundError: there is no such layer.
        ConfigError: the images have another shape than the subject takes; a layer gives no row an
            image, or has too many units.
        DataError: there are fewer than two images, or values that are not finite.
    """
    names = chosen_layers(subject, layers)
    if len(images) < 2:
        raise DataError(f"{len(images)} images have no covariance; give 2 or more, better a thousand.")
    sums: dict[str, _Covariance | _Rows] = {}

    def see(inputs: Tensor, outputs: Mapping[str, Tensor]) -> None:
        del inputs
        for name, value in outputs.items():
            responses = value.movedim(1, -1).flatten(0, -2)  # (positions, units)
            if name not in sums:
                samples = len(images) * (len(responses) // len(value))
                sums[name] = _begin(name, samples, responses.shape[1])
            sums[name].add(responses)

    stream(subject, images, names, see)
    return Rank({name: sums[name].spectrum() for name in names}, len(images), subject.name)


def _begin(name: str, samples: int, units: int) -> _Covariance | _Rows:
    if min(samples, units) > WIDEST:
        raise ConfigError(
            f"{name} has {units:,} units; eigenvalues are computed of {WIDEST:,} at most. "
            "Leave it out, or give fewer images."
        )
    return _Covariance() if samples > units else _Rows()


class _Covariance:
    """Mean and covariance, batch by batch: Chan, Golub and LeVeque's update, 1979, in float64.

    Sums of squares less the square of the sum would cancel where a mean is large.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.scatter = torch.zeros(())
        self.largest = 0.0

    def add(self, responses: Tensor) -> None:
        """Count responses, ``(n, U)``."""
        wide = responses.double()
        self.largest = max(self.largest, float(wide.abs().max()))
        count, mean = len(wide), wide.mean(0)
        wide -= mean
        scatter = wide.T @ wide
        if not self.count:
            self.count, self.mean, self.scatter = count, mean, scatter
            return
        apart, total = mean - self.mean, self.count + count
        self.scatter += scatter + torch.outer(apart, apart) * (self.count * count / total)
        self.mean += apart * (count / total)
        self.count = total

    def spectrum(self) -> Spectrum:
        """The eigenvalues of the scatter by the number of responses."""
        values = torch.linalg.eigvalsh(self.scatter / self.count)
        return _spectrum(values, len(self.mean), self.count, self.largest)


class _Rows:
    """Responses that are fewer than their units: kept, and their Gram matrix has the same eigenvalues."""

    def __init__(self) -> None:
        self.rows: list[Tensor] = []

    def add(self, responses: Tensor) -> None:
        """Keep responses, ``(n, U)``."""
        self.rows.append(responses.clone())

    def spectrum(self) -> Spectrum:
        """The eigenvalues that are not zero, and zeros for the rest."""
        wide = torch.cat(self.rows).double()
        largest = float(wide.abs().max())
        count, units = wide.shape
        wide -= wide.mean(0)
        return _spectrum(torch.linalg.eigvalsh(wide @ wide.T / count), units, count, largest)


def _spectrum(values: Tensor, units: int, samples: int, largest: float) -> Spectrum:
    """Eigenvalues from the largest down; what is float32's rounding of the responses is zero."""
    found = values.flip(0).cpu()[:units]
    found = torch.where(found > (_ROUNDING * largest) ** 2, found, 0.0)
    return Spectrum(torch.cat((found, found.new_zeros(units - len(found)))), samples)


_ROUNDING = 2e-7
"""Of the largest response: deviations below it are float32's rounding, 2⁻²³ and a little."""

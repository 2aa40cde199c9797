"""The same look at several subjects, side by side: trained and random weights, one epoch and another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from cutaway.errors import ConfigError
from cutaway.look.kernels import Kernels
from cutaway.look.maps import FeatureMaps

R = TypeVar("R", FeatureMaps, Kernels)


@dataclass(frozen=True)
class Beside(Generic[R]):
    """Results of one kind with the same layers.

    Args:
        results: of the same look, each of another subject.
        names: what each is called.
    """

    results: Sequence[R]
    names: Sequence[str]


def beside(results: Sequence[R], names: Sequence[str] | None = None) -> Beside[R]:
    """Set feature maps or kernels of several subjects side by side.

    Args:
        results: one or more of one kind, with the same layers and shapes.
        names: what each is called; its subject's name when not given.

    Raises:
        ConfigError: there are none, or they do not fit together.
    """
    if not results:
        raise ConfigError("results should be one or more feature maps or kernels; there are none.")
    kinds = sorted({type(result).__name__ for result in results})
    if len(kinds) > 1:
        raise ConfigError(f"{' and '.join(kinds)} can't stand side by side; give results of one look.")
    _refuse_other_shapes([(result.subject, _shapes(result.layers)) for result in results])
    called = list(names) if names is not None else [result.subject for result in results]
    if len(called) != len(results):
        raise ConfigError(f"names should be {len(results)}, one for each result, not {len(called)}.")
    return Beside(tuple(results), tuple(called))


def _refuse_other_shapes(subjects: Sequence[tuple[str, dict[str, tuple[int, ...]]]]) -> None:
    first, wanted = subjects[0]
    for name, found in subjects:
        for layer in dict.fromkeys((*wanted, *found)):
            if wanted.get(layer) != found.get(layer):
                raise ConfigError(
                    f"{first} and {name} differ in {layer}: {_told(wanted.get(layer))} and "
                    f"{_told(found.get(layer))}. Side by side the layers are the same."
                )


def _shapes(layers: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {layer: tuple(value.shape) for layer, value in layers.items()}


def _told(shape: tuple[int, ...] | None) -> str:
    return "×".join(map(str, shape)) if shape else "no such layer"

"""Composites: which rule of relevance propagation which sum has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cutaway.look.backward.relevance import ZPLUS, AlphaBeta, Epsilon, Flat, Gamma, RelevanceRule, Z


@dataclass(frozen=True)
class Composite:
    """Which rule which sum has.

    Args:
        conv: for convolutions.
        dense: for dense layers and matrix products.
        first: for the sums that see the input, through no other sum; as all others when None.
        box: z-B takes that place, with the range that preprocessing gives pixels from 0 to 255.
    """

    conv: RelevanceRule
    dense: RelevanceRule
    first: RelevanceRule | None = None
    box: bool = False


COMPOSITES: Mapping[str, Composite] = {
    "z": Composite(Z, Z),
    "epsilon": Composite(Epsilon(), Epsilon()),
    "z-plus": Composite(ZPLUS, ZPLUS),
    "alpha2-beta1": Composite(AlphaBeta(), AlphaBeta()),
    "epsilon-plus": Composite(ZPLUS, Epsilon()),
    "epsilon-plus-flat": Composite(ZPLUS, Epsilon(), Flat()),
    "epsilon-alpha2-beta1": Composite(AlphaBeta(), Epsilon()),
    "epsilon-gamma-box": Composite(Gamma(), Epsilon(), box=True),
}
"""By name; those of two rules have them by depth: dense layers stand above convolutions."""

"""Units that carry nothing of their own: dead ones, and duplicates of others."""

from __future__ import annotations

from cutaway.look.activity import ALIKE, LayerActivity
from cutaway.nets import LayerPlan, Plan
from cutaway.nets.words import (
    AvgPool,
    BatchNorm,
    Block,
    Conv,
    Dense,
    Dropout,
    LocalResponseNorm,
    MaxPool,
    ReLU,
)
from cutaway.study.cards.card import UnitCounts

_SAME_UNITS = (AvgPool, BatchNorm, Dropout, LocalResponseNorm, MaxPool)
"""Words behind which a unit is still that unit."""


def seen_behind(row: LayerPlan, planned: Plan) -> str:
    """The layer at which the units of another one are watched: the ReLU behind it, or itself.

    A unit of a convolution is never at rest: whether it is dead shows behind the ReLU that follows, with
    pools and norms between. Inside blocks units join others, so there each layer is watched at itself.
    """
    if row not in planned.rows or not isinstance(row.layer.word, Conv | Dense):
        return row.name
    for behind in planned.rows[planned.rows.index(row) + 1 :]:
        word = behind.layer.word
        if isinstance(word, ReLU):
            return behind.name
        if isinstance(word, Block) or not isinstance(word, _SAME_UNITS):
            break
    return row.name


def count_idle(found: LayerActivity, seen: str) -> UnitCounts:
    """How many units of a layer are dead, duplicates, rare.

    A unit that always gives the same value is dead, one of a ReLU that never fires among them: a bias of
    the next layer would do as well. Of units that follow each other the first is kept, and what
    correlates with a kept one is a duplicate; so a chain of alike units, whose ends are not alike, leaves
    more than one.

    Args:
        found: of the layer that they are watched at.
        seen: its name.
    """
    doubled: set[int] = set()
    if found.correlation is not None:
        # NaN, of units that never vary, is above nothing.
        alike = found.correlation > ALIKE
        for unit in range(found.units):
            if unit not in doubled:
                behind = alike[unit, unit + 1 :].nonzero().flatten() + unit + 1
                doubled.update(behind.tolist())
    dead = found.constant | found.dead if found.rectified else found.constant
    doubled -= set(dead.nonzero().flatten().tolist())
    rare = int(found.rare.sum()) if found.rectified else 0
    return UnitCounts(found.units, int(dead.sum()), len(doubled), rare, seen)

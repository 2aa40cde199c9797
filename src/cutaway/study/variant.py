"""A variant: an experiment that differs from a study's base in a few named things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cutaway.config import Experiment
from cutaway.nets import Plan

BASE = "base"
"""The name of the variant that nothing is changed in."""


class Origin(StrEnum):
    """Where a variant comes from."""

    BASE = "base"
    GIVEN = "given"
    GRID = "grid"
    ABLATE = "ablate"
    STAGE = "stage"
    FREEZE = "freeze"
    FREEZE_UP_TO = "freeze up to"


@dataclass(frozen=True)
class Variant:
    """What is trained with every seed of a study.

    Args:
        name: unlike that of any other in the study: "without relu1", "conv1 random".
        experiment: complete, with the study's budget and its own net in the notation; the seed is
            put in for each trial. For a variant that can't be trained, the base's.
        plan: its net on the study's images; None where it can't be planned.
        edits: of the net, as text; empty for none.
        changes: other fields that differ, by dotted name.
        origin: where it comes from.
        layers: the base's layers that it takes out, replaces, changes or freezes.
        problem: why it can't be trained; empty where it can.
    """

    name: str
    experiment: Experiment
    plan: Plan | None
    edits: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = Origin.GIVEN
    layers: tuple[str, ...] = ()
    problem: str = ""

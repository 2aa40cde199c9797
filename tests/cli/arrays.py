"""What tests read in the ``.npz`` of a look."""

from __future__ import annotations

from collections.abc import Iterable

from cutaway.look.archive import RESULT


def named(found: Iterable[str]) -> set[str]:
    """The arrays that have names of their own; the others belong to the result, for ``cutaway.look.load``."""
    return {name for name in found if name.split(".")[0] != RESULT}

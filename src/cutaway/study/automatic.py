"""The variants that a study makes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cutaway.config import AutoKind
from cutaway.errors import ConfigError, NotFoundError
from cutaway.nets import Plan, apply_edits, plan
from cutaway.study.stages import stages
from cutaway.study.variant import Origin


@dataclass(frozen=True)
class Change:
    """What a variant changes, before it is applied to the base.

    Args:
        name: of the variant; empty for one made of its edits and fields.
        edits: of the net.
        fields: other fields of the experiment, by dotted name.
        origin: where it comes from.
        layers: of the base that it is about; found from the edits and fields where none are given.
    """

    name: str
    edits: str
    fields: dict[str, object]
    origin: Origin
    layers: tuple[str, ...] = ()


def automatic(kind: AutoKind, base: Plan) -> Iterator[Change]:
    """The changes that a kind of study makes of a net.

    ``ablate`` takes out every layer without which the net still gives its logits, then every stage.
    ``freeze`` keeps every layer at its random weights, alone and with all before it; never all of them.
    """
    if kind is AutoKind.ABLATE:
        yield from _ablations(base)
    elif kind is AutoKind.FREEZE:
        yield from _frozen(base)


def _ablations(base: Plan) -> Iterator[Change]:
    singles = [(row.name,) for row in base.rows]
    seen = set()
    for layers, origin in [
        *((layers, Origin.ABLATE) for layers in singles),
        *((layers, Origin.STAGE) for layers in stages(base)),
    ]:
        edits = " ".join(f"-{name}" for name in layers)
        if layers not in seen and _works(base, edits):
            seen.add(layers)
            yield Change(f"without {_listed(layers)}", edits, {}, origin, layers)


def _works(base: Plan, edits: str) -> bool:
    try:
        edited = plan(apply_edits(base.spec, edits), base.input_shape)
    except (ConfigError, NotFoundError):
        return False
    return edited.output_shape == base.output_shape


def _frozen(base: Plan) -> Iterator[Change]:
    learning = [row.name for row in base.rows if row.parameters]
    for name in learning:
        if len(learning) > 1:
            yield Change(f"{name} random", "", {"train.freeze": [name]}, Origin.FREEZE, (name,))
    for count in range(2, len(learning)):
        names = learning[:count]
        yield Change(
            f"{names[0]} to {names[-1]} random",
            "",
            {"train.freeze": names},
            Origin.FREEZE_UP_TO,
            tuple(names),
        )


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

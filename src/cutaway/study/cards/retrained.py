"""What a study says of single layers: the variants that leave one out, or keep it random."""

from __future__ import annotations

from collections.abc import Callable

from cutaway.errors import ConfigError
from cutaway.nets import LayerPlan, Plan, parse_edits
from cutaway.nets.edits import EditKind
from cutaway.study.cards.card import Evidence, Retrained
from cutaway.study.findings.table import StudyTable
from cutaway.study.variant import Origin, Variant

_RUN = 'a study with auto = "{auto}" would tell: cutaway study run FILE.toml'


def retrained(
    table: StudyTable | None, row: LayerPlan, planned: Plan
) -> tuple[Evidence[Retrained], Evidence[Retrained], Evidence[Retrained]]:
    """What came of training without a layer, with it random, and with it and all before it random.

    Args:
        table: of a study whose base has this net; None for none.
        row: the layer.
        planned: the net.
    """
    order = {one.name: place for place, one in enumerate(planned.rows)}
    name = row.name

    def up_to(variant: Variant) -> bool:
        last = max(variant.layers, key=lambda layer: order.get(layer, -1), default="")
        return variant.origin is Origin.FREEZE_UP_TO and last == name

    inside = "studies change whole blocks: its block's card tells" if row.prefix else ""
    last = "it gives the logits" if row == planned.rows[-1] else ""
    plain = "" if row.parameters else "it has no weights"
    learning = [one.name for one in planned.rows if one.parameters]
    first = "no layer with weights stands before it" if name == next(iter(learning), None) else ""
    all_of_them = "then no layer would learn" if name == next(reversed(learning), None) else ""
    return (
        _evidence(table, lambda variant: _leaves_out(variant, name), inside or last, "ablate"),
        _evidence(table, lambda variant: _keeps_random(variant, name), inside or plain, "freeze"),
        _evidence(table, up_to, inside or plain or first or all_of_them, "freeze"),
    )


def check_same_net(table: StudyTable, planned: Plan) -> None:
    """Raise where a study's base has another net.

    Raises:
        ConfigError: the message has both.
    """
    theirs = table.base.variant.plan
    if theirs is None or _words(theirs) != _words(planned):
        nets = [" | ".join(text for _, text in _words(one)) if one else "none" for one in (theirs, planned)]
        raise ConfigError(
            f"{source(table)} is of another net than this one:\n    {nets[0][:200]}\n    {nets[1][:200]}"
        )


def source(table: StudyTable) -> str:
    """A study as the source of a figure: "study k3x9qabc, 5 seeds, test split"."""
    seeds = "1 seed" if table.study.seeds == 1 else f"{table.study.seeds} seeds"
    return f"study {table.id or table.study.name}, {seeds}, {table.study.split} split"


def _evidence(
    table: StudyTable | None, wanted: Callable[[Variant], bool], why: str, auto: str
) -> Evidence[Retrained]:
    """The first row that is wanted; or why there is none, and what would give one."""
    if table is not None:
        row = next((row for row in table.rows if wanted(row.variant)), None)
        if row is not None and row.variant.problem:
            return Evidence(missing=f"it can't be trained so: {row.variant.problem}")
        if row is not None:
            return Evidence(Retrained(row, table.base), source(table))
    if why:
        return Evidence(missing=why)
    told = _RUN.format(auto=auto)
    return Evidence(missing=f"{source(table)}, has no such variant: {told}" if table else told)


def _leaves_out(variant: Variant, layer: str) -> bool:
    """It takes out this layer, no other, and changes nothing else."""
    if variant.layers != (layer,) or variant.changes:
        return False
    return variant.origin is Origin.ABLATE or (
        bool(variant.edits) and all(edit.kind is EditKind.REMOVE for edit in parse_edits(variant.edits))
    )


def _keeps_random(variant: Variant, layer: str) -> bool:
    """It freezes this layer, no other, and changes nothing else."""
    return variant.layers == (layer,) and not variant.edits and set(variant.changes) == {"train.freeze"}


def _words(planned: Plan) -> list[tuple[str, str]]:
    return [(row.name, row.layer.word.text()) for row in planned.rows]

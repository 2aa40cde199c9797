"""``cutaway look card``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cutaway.cli.console import RunName, StoreOption
from cutaway.cli.look.view import Layers, ViewOptions, file_name

if TYPE_CHECKING:
    from torch import Tensor

    from cutaway.study.cards.advice import Advice
    from cutaway.study.cards.card import Evidence, LayerCard, LayerCards
    from cutaway.study.findings.table import StudyTable

StudyName = Annotated[
    str | None,
    Parameter(
        name="--study", negative="", help="a study of this net: its id, a unique prefix, its name, or last"
    ),
]

Parts = Annotated[
    list[Literal["time", "probe", "retention", "rank", "units", "knockout"]] | None,
    Parameter(
        name="--part",
        negative="",
        help="what images are looked at for; give it again for more; all when not given",
    ),
]


def card(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    study: StudyName = None,
    part: Parts = None,
    images: Annotated[int, Parameter(negative="")] = 1000,
    train_images: Annotated[int, Parameter(negative="")] = 1000,
    features: Annotated[int, Parameter(negative="")] = 256,
    margin: Annotated[float, Parameter(negative="")] = 0.5,
    seed: Annotated[int, Parameter(negative="")] = 0,
    options: ViewOptions = ViewOptions(),
) -> None:
    """All that is known of every layer, with its source, and what follows: what may go, what is needed.

    Images are those of the validation split: the test split never chooses.

    Parameters
    ----------
    images
        validation images that all is measured on
    train_images
        training images that probes and reconstructions learn from
    features
        that those read of a layer at most
    margin
        points of top-1 error: a layer may go, or stay random, where the 95 % interval of a study lies below
    seed
        of all draws
    """
    from cutaway.study.cards.advice import advise, check_margin
    from cutaway.study.cards.evidence import run_cards
    from cutaway.study.cards.looking import Looking, Part

    view = options.open(run)
    parts = frozenset(map(Part, part)) if part else frozenset(Part)
    looking = Looking(images, train_images, features, parts, seed)
    table = _table(options, study) if study else None
    # What is wrong with the margin is told before a minute of looking.
    check_margin(margin)
    result = run_cards(view.run, layer, weights=options.weights, table=table, looking=looking)
    advice = advise(result, margin)
    facts = {name: _facts(found) for name, found in result.cards.items()}
    view.answer(
        result,
        file_name("card", layer, [table.id] if table else []),
        dict(_arrays(facts)),
        {
            "study": table.id if table else None,
            "margin": margin,
            "layers": facts,
            "advice": [_advice_facts(piece) for piece in advice],
        },
        [*_told(result), "", *_advised(advice)],
        margin=margin,
    )


def _table(options: ViewOptions, name: str) -> StudyTable:
    from cutaway.study.archive import find_study, read_table

    store = StoreOption(options.store).open()
    return read_table(store, find_study(store, name))


def _told(result: LayerCards) -> list[str]:
    """One layer in words, part by part; several as a table."""
    from cutaway.study.cards.account import account

    cards = list(result.cards.values())
    if len(cards) == 1:
        (only,) = cards
        shape = "×".join(map(str, only.shape))
        lines = [f"{only.layer}: {only.word} → {shape}"]
        for part in account(only):
            known = f"{part.text}  [{part.source}]" if part.source else f"not known: {part.text}"
            lines.append(f"{part.label:<16} {known}")
        return lines
    rows = [list(_HEADS), *(_row(one) for one in cards)]
    # A column that nothing is known for is left out.
    kept = [at for at in range(len(_HEADS)) if any(row[at] for row in rows[1:])]
    wide = [max(len(row[at]) for row in rows) for at in range(len(_HEADS))]
    return [
        "  ".join(row[at].rjust(wide[at]) if at else row[at].ljust(wide[at]) for at in kept).rstrip()
        for row in rows
    ]


_HEADS = (
    *("layer", "parameters", "multiply-adds", "time", "distance", "class wrong", "image lost", "in use"),
    *("idle", "knocked out", "trained without", "random"),
)


def _row(one: LayerCard) -> list[str]:
    from cutaway.study.cards.account import percent

    size, time, learned, units = one.size.value, one.time.value, one.learning.value, one.units.value
    readable, left, spectrum, knocked = (
        one.readable.value,
        one.left.value,
        one.spectrum.value,
        one.knocked.value,
    )
    return [
        one.layer,
        f"{size.parameters:,}" if size and size.parameters else "",
        percent(size.multiply_add_share) if size and size.multiply_adds else "",
        percent(time.share) if time else "",
        f"{learned.own.distance:.2g}" if learned and not math.isnan(learned.own.distance) else "",
        f"{100 * readable.trained.error:.1f} %" if readable else "",
        f"{100 * left.trained.error:.0f} %" if left else "",
        f"{spectrum.dimensions()}/{spectrum.units}" if spectrum else "",
        f"{units.idle}/{units.units}" if units else "",
        f"{100 * knocked.lost:.1f}" if knocked else "",
        *(_points(found) for found in (one.ablated, one.frozen)),
    ]


def _points(found: Evidence[Any]) -> str:
    """The difference in points with its half interval; the verdict's word where there is none."""
    if found.value is None:
        return ""
    top1 = found.value.top1
    if top1 is None:
        return str(found.value.row.verdict.effect)
    return f"{100 * top1.mean:+.2f} ±{100 * top1.half:.2f}".replace("-", "−")


def _advised(advice: list[Advice]) -> Iterator[str]:
    """The advice; its source behind the last of those that share it."""
    if not advice:
        yield "No advice follows from this evidence."
    for at, piece in enumerate(advice):
        behind = advice[at + 1].source if at + 1 < len(advice) else ""
        yield piece.sentence + (f"  [{piece.source}]" if behind != piece.source else "")


def _facts(one: LayerCard) -> dict[str, Any]:
    from cutaway.study.cards.card import Evidence

    parts: dict[str, Any] = {}
    for part in fields(one):
        found = getattr(one, part.name)
        if not isinstance(found, Evidence):
            parts[part.name] = _plain(found)
        elif found.value is None:
            parts[part.name] = {"missing": found.missing}
        else:
            parts[part.name] = {**_value(found.value), "source": found.source}
    return parts


def _value(found: Any) -> dict[str, Any]:
    """What a part has found as plain values."""
    from cutaway.look import Spectrum
    from cutaway.study.cards.card import Retrained
    from cutaway.study.findings.table import Measure

    if isinstance(found, Spectrum):
        return {
            "units": found.units,
            "dimensions": found.dimensions(),
            "effective_rank": found.effective_rank,
            "saturation": found.saturation,
            "limited": found.limited,
        }
    if isinstance(found, Retrained):
        row = found.row
        return {
            "variant": row.variant.name,
            "effect": row.verdict.effect.value,
            "sentence": row.verdict.sentence,
            "top1_error": _plain(row.differences.get(Measure.TOP1)),
            "trials": len(row.trials),
            "diverged": found.diverged,
        }
    plain: dict[str, Any] = _plain(found)
    return plain


def _plain(found: Any) -> Any:
    """Dataclasses as dicts, with the error and interval of a reading; NaN is no JSON and is null."""
    if is_dataclass(found) and not isinstance(found, type):
        values = {part.name: _plain(getattr(found, part.name)) for part in fields(found)}
        for name in ("error", "interval"):
            if hasattr(found, name):
                values[name] = _plain(getattr(found, name))
        return values
    if isinstance(found, list | tuple):
        return [_plain(one) for one in found]
    return None if isinstance(found, float) and math.isnan(found) else found


def _arrays(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """All numbers, by their dotted names."""
    import torch

    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _arrays(value, f"{prefix}{name}.")
        elif isinstance(value, int | float | list) and not isinstance(value, bool):
            yield f"{prefix}{name}", torch.tensor(value, dtype=torch.float64)


def _advice_facts(piece: Advice) -> dict[str, Any]:
    from cutaway.study.cards.advice import CARRIED

    return {
        "layer": piece.layer,
        "kind": piece.kind.value,
        "sentence": piece.sentence,
        "source": piece.source,
        "carried_by_a_study": piece.kind in CARRIED,
    }

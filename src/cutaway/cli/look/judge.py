"""``cutaway look judge``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.view import ViewOptions, file_name

if TYPE_CHECKING:
    from cutaway.look.judging import Judged, Judgement

Methods = Annotated[
    list[str] | None,
    Parameter(
        name="--method",
        negative="",
        help="a method; give it again for more; all but rise, which takes long, when not given",
    ),
]
Fill = Literal["black", "mean", "blur", "random"]
Source = Annotated[
    str, Parameter(name="--split", negative="", help="the split that is looked at: train, validation or test")
]


def judge(
    run: RunName,
    /,
    *,
    method: Methods = None,
    images: Annotated[int, Parameter(negative="")] = 32,
    class_: Annotated[str | None, Parameter(name="--class", negative="")] = None,
    removed: Annotated[Fill, Parameter(negative="")] = "black",
    ground: Annotated[Fill, Parameter(negative="")] = "blur",
    split: Source = "test",
    seed: Annotated[int, Parameter(negative="")] = 0,
    options: ViewOptions = ViewOptions(),
) -> None:
    """Is the explanation any good? The same questions to every method, with random maps beside them.

    Deletion and insertion curves, sensitivity to noise, what random weights leave of the map, agreement.

    Parameters
    ----------
    images
        how many are explained, each class in proportion
    class_
        the class that is explained; the one that each image is taken for when not given
    removed
        what pixels become that are removed
    ground
        what pixels are shown on that are inserted
    seed
        of the images' choice and of all that is drawn
    """
    import torch

    from cutaway.look.features import sample
    from cutaway.look.judging import CHANCE, CRITERIA, Questions
    from cutaway.look.judging import judge as judge_methods

    view = options.open(run)
    questions = Questions(removed=removed, ground=ground, seed=seed)
    chosen = sample(view.split(split), images, seed)
    result = judge_methods(view.subject, chosen, method, class_, questions=questions)
    order = result.order()
    arrays: dict[str, Any] = {
        "agreement": result.agreement,
        "overlap": result.overlap,
        "classes": result.classes,
        "shares": result.rows[CHANCE].deletion.shares,
    }
    facts: dict[str, Any] = {}
    for name in (*order, CHANCE):
        row = result.rows[name]
        arrays |= {
            f"{name}.deletion": row.deletion.values,
            f"{name}.insertion": row.insertion.values,
            f"{name}.sensitivity": row.sensitivity,
            f"{name}.correlation": row.correlation,
            f"{name}.structure": row.structure,
            f"{name}.seconds": torch.tensor(row.seconds),
        }
        facts[name] = {
            **({"place": order[name]} if name in order else {}),
            **{criterion: _interval(row, criterion) for criterion in CRITERIA},
            "correlation": row.correlation.mean(1).tolist(),
            "structure": row.structure.mean(1).tolist(),
            "seconds": row.seconds,
            "zero": row.zero,
        }
    view.answer(
        result,
        file_name("judge", method, [class_] if class_ else [], _fills(removed, ground)),
        arrays,
        {
            "split": split,
            "images": result.images,
            "removed": removed,
            "ground": ground,
            "stages": list(result.stages),
            "methods": facts,
            "refused": dict(result.refused),
            "agreement": {
                "methods": list(result.rows),
                "correlation": result.agreement.tolist(),
                "top": result.top,
                "overlap": result.overlap.tolist(),
            },
        },
        _lines(result, split),
    )


def _lines(result: Judgement, split: str) -> list[str]:
    """The order, a line a method, and what could not be judged."""
    from cutaway.look.judging import CHANCE, CRITERIA

    order = result.order()
    wide = max(map(len, (*order, CHANCE, *result.refused)))
    lines = [
        f"{result.images:,} {split} images; from the best mean place over four criteria to the worst",
        f"{'':{wide}}  place  deletion  insertion  sensitivity  sanity  ms an image",
    ]
    for name in (*order, CHANCE):
        row = result.rows[name]
        place = f"{order[name]:5.2f}" if name in order else "    –"
        means = [_number(row.mean(criterion).mean) for criterion in CRITERIA]
        told = f"{means[0]:>8}  {means[1]:>9}  {means[2]:>11}  {means[3]:>6}"
        lines.append(f"{name:{wide}}  {place}  {told}  {1000 * row.seconds:11.3g}")
        if row.zero:
            lines.append(f"{'':{wide}}  {row.zero} of the maps are zero everywhere")
    lines += [f"{name:{wide}}  not judged: {reason}" for name, reason in result.refused.items()]
    return lines


def _fills(removed: str, ground: str) -> list[str]:
    return [] if (removed, ground) == ("black", "blur") else [removed, ground]


def _interval(row: Judged, criterion: str) -> dict[str, float | None]:
    found = row.mean(criterion)
    return {"mean": _plain(found.mean), "low": _plain(found.low), "high": _plain(found.high)}


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _plain(value: float) -> float | None:
    """NaN is no JSON."""
    return None if math.isnan(value) else value

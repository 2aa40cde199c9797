"""``cutaway evaluate``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from cutaway.cli.console import Json, RunName, StoreOption, say, say_json

Weights = Annotated[Literal["best", "last"], Parameter(negative="", help="which weights of the run")]


def evaluate(
    run: RunName,
    /,
    *,
    split: str = "test",
    weights: Weights = "best",
    store: StoreOption = StoreOption(),
    json: Json = False,
) -> None:
    """Score a run on a split: objective, top-1 and top-5 error, confusions.

    Parameters
    ----------
    split
        train, validation or test
    """
    from cutaway.look import answers

    found = store.open().find(run)
    images = found.images().split(split)
    said = answers(found.subject(weights), images)
    if json:
        say_json(
            {
                "run": found.id,
                "split": split,
                "images": len(images),
                "objective": said.objective,
                "top1_error": said.error(1),
                "top5_error": said.error(5),
                "classes": list(said.classes),
                "confusion": said.confusion.tolist(),
            }
        )
        return
    say(f"{found.id} on {len(images):,} {split} images:")
    say(f"objective {said.objective:.4f}  top-1 error {said.error(1):.2%}  top-5 error {said.error(5):.2%}")
    confusion = said.confusion.clone().fill_diagonal_(0)
    pairs = confusion.flatten().argsort(descending=True)[:5]
    told = [
        f"{said.classes[int(p) // len(said.classes)]} → {said.classes[int(p) % len(said.classes)]} "
        f"({int(confusion.flatten()[p])})"
        for p in pairs
        if confusion.flatten()[p]
    ]
    if told:
        say(f"most often confused: {', '.join(told)}")

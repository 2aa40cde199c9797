"""What a run's pre-training did, for ``cutaway runs show RUN --pretraining``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cutaway.cli.console import say, say_json, say_table
from cutaway.errors import NotFoundError

if TYPE_CHECKING:
    from cutaway.store import Run


def show_pretraining(run: Run, runs: Sequence[Run], output: Path | None, json: bool) -> None:
    """Tell what every depth gave back and what it cost, and draw it where a file is named.

    Args:
        run: was pre-trained.
        runs: all of the store; those of the same experiment from scratch are set beside it.
        output: where to draw originals and reconstructions.
        json: in place of text.

    Raises:
        NotFoundError: nothing was pre-trained, or no images were kept to be drawn.
    """
    depths = _depths(run)
    if not depths:
        raise NotFoundError(
            f"Run {run.id} was not pre-trained, or ended in the first epoch of it. "
            "Pre-train one: --pretrain.layers '*'"
        )
    if output:
        _draw(run, output)
    compared = [_cost(one) for one in (run, *_from_scratch(run, runs))]
    if json:
        history = [asdict(row) for row in run.pretraining()]
        facts = {"run": run.id, "depths": depths, "history": history, "compared": compared}
        say_json(facts | {"file": str(output) if output else None})
        return
    _tell(run, depths, compared)
    if output:
        say(str(output))


def pretraining_seconds(run: Run) -> float:
    """How long a run's pre-training took."""
    return sum(row.seconds for row in run.pretraining())


def _depths(run: Run) -> list[dict[str, Any]]:
    """For each depth, its errors behind the first and the last epoch, and its time."""
    found = []
    for depth, rows in groupby(run.pretraining(), key=lambda row: row.depth):
        epochs = list(rows)
        errors = [row.train_error if row.validation_error is None else row.validation_error for row in epochs]
        found.append(
            {
                "depth": depth,
                "layer": epochs[0].layer,
                "epochs": len(epochs),
                "first_error": errors[0],
                "last_error": errors[-1],
                "image_error": epochs[-1].image_error,
                "seconds": sum(row.seconds for row in epochs),
            }
        )
    return found


def _from_scratch(run: Run, runs: Sequence[Run]) -> list[Run]:
    """The runs of the same experiment, its name aside, without pre-training."""
    from cutaway.config import PretrainConfig, differences

    plain = run.experiment.model_copy(update={"pretrain": PretrainConfig()})
    found = []
    for other in runs:
        experiment = other.experiment
        if experiment.pretrain.layers:
            continue
        parted = {name for name, _, _ in differences(plain, experiment)}
        if all(name == "name" or name.startswith("pretrain.") for name in parted):
            found.append(other)
    return found


def _cost(run: Run) -> dict[str, Any]:
    """What a run's training took, and what came of it."""
    epochs = run.epochs()
    best = next((epoch for epoch in reversed(epochs) if epoch.best), None)
    errors = {split: score.top1_error for split, score in best.scores.items()} if best else {}
    before = pretraining_seconds(run)
    return {
        "run": run.id,
        "pretraining_seconds": before,
        "training_seconds": run.row.seconds,
        "seconds": before + run.row.seconds,
        "epochs": len(epochs),
        "best_epoch": best.epoch if best else None,
        "errors": errors,
    }


def _tell(run: Run, depths: list[dict[str, Any]], compared: list[dict[str, Any]]) -> None:
    from cutaway.config import PretrainMode

    config = run.experiment.pretrain
    own = "the layer's own input" if config.mode is PretrainMode.LAYER_WISE else "the image"
    say(
        f"Mean squared error per value of what came back: of {own} behind the first epoch and the last, and "
        "of the image through all depths up to this one."
    )
    say_table(
        ["depth>", "layer", "first>", "last>", "image>", "epochs>", "s>"],
        [
            [
                str(depth["depth"]),
                depth["layer"],
                f"{depth['first_error']:.4f}",
                f"{depth['last_error']:.4f}",
                "" if depth["image_error"] is None else f"{depth['image_error']:.4f}",
                str(depth["epochs"]),
                f"{depth['seconds']:.1f}",
            ]
            for depth in depths
        ],
    )
    say("")
    splits = ("validation", "test")
    say_table(
        [
            "run",
            "",
            "pre-training s>",
            "training s>",
            "all s>",
            "epochs>",
            "best>",
            *(f"{s} error>" for s in splits),
        ],
        [
            [
                cost["run"],
                "pre-trained" if cost["run"] == run.id else "from scratch",
                f"{cost['pretraining_seconds']:.1f}",
                f"{cost['training_seconds']:.1f}",
                f"{cost['seconds']:.1f}",
                str(cost["epochs"]),
                "" if cost["best_epoch"] is None else str(cost["best_epoch"]),
                *(f"{cost['errors'][split]:.2%}" if split in cost["errors"] else "" for split in splits),
            ]
            for cost in compared
        ],
    )
    if len(compared) == 1:
        say(
            "To compare, train the same from scratch: "
            f'cutaway train {run.folder / "experiment.toml"} --pretrain.layers "[]"'
        )


def _draw(run: Run, output: Path) -> None:
    from cutaway.cli.picture import write_figure
    from cutaway.draw.pretraining import plot_reconstructions

    found = run.reconstructions()
    if not any(len(one.images) for one in found.values()):
        raise NotFoundError(
            f"Run {run.id} has kept no reconstructions: its pre-training did not get to the end of a depth, "
            "or pretrain.images is 0."
        )
    write_figure(plot_reconstructions(found), output)

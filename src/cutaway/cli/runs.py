"""``cutaway runs list | show | remove``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from cutaway.cli.console import Json, Output, RunName, StoreOption, say, say_json, say_table
from cutaway.cli.layers import show_layers
from cutaway.cli.pretraining import pretraining_seconds, show_pretraining
from cutaway.errors import ConfigError

if TYPE_CHECKING:
    from cutaway.store import Run

app = App(name="runs", help="List, show and remove runs.")


_SKIPPED = 5


def summary(run: Run) -> dict[str, Any]:
    """What there is to tell of a run, as plain values."""
    row = run.row
    epochs = run.epochs()
    best = next((epoch for epoch in reversed(epochs) if epoch.best), None)
    return {
        "id": run.id,
        "name": row.name,
        "status": run.status,
        "reason": row.reason,
        "created": datetime.fromtimestamp(row.created).astimezone().isoformat(timespec="seconds"),
        "seconds": row.seconds,
        "pretraining_seconds": pretraining_seconds(run),
        "device": row.device,
        "threads": row.threads,
        "versions": row.versions,
        "folder": str(run.folder),
        "skipped": len(run.skipped),
        "epochs": len(epochs),
        "best": None
        if best is None
        else {"epoch": best.epoch, "scores": {split: asdict(score) for split, score in best.scores.items()}},
    }


@app.command(name="list")
def list_runs(*, store: StoreOption = StoreOption(), json: Json = False) -> None:
    """All runs, the newest first."""
    facts = [summary(run) for run in store.open().runs()]
    if json:
        say_json({"runs": facts})
        return
    if not facts:
        say("No runs yet. Make one: cutaway demo")
        return
    rows = []
    for run in facts:
        scores = run["best"]["scores"] if run["best"] else {}
        errors = [f"{scores[s]['top1_error']:.2%}" if s in scores else "" for s in ("validation", "test")]
        created = run["created"][:16].replace("T", " ")
        rows.append([run["id"], run["name"], run["status"], created, str(run["epochs"]), *errors])
    say_table(["run", "name", "status", "created", "epochs>", "validation>", "test>"], rows)


@app.command
def show(
    run: RunName,
    /,
    *,
    layers: Annotated[bool, Parameter(negative="")] = False,
    pretraining: Annotated[bool, Parameter(negative="")] = False,
    output: Output = None,
    store: StoreOption = StoreOption(),
    json: Json = False,
) -> None:
    """One run: how it stands, its epochs, its experiment; or how its layers learnt or were pre-trained.

    Parameters
    ----------
    layers
        which layer learnt most, which hardly, which units are dead
    pretraining
        what every pre-trained layer gives back of its input and of the image, and the time that it took
        beside training from scratch
    output
        with --layers or --pretraining: where to draw it, .png, .svg or .pdf
    """
    opened = store.open()
    found = opened.find(run)
    if layers and pretraining:
        raise ConfigError("--layers and --pretraining are two pictures: give one of them.")
    if pretraining:
        show_pretraining(found, opened.runs(), output, json)
        return
    if layers:
        show_layers(found, output, json)
        return
    if output:
        raise ConfigError("-o draws how the layers learnt: add --layers, or --pretraining.")
    facts = summary(found)
    epochs = found.epochs()
    if json:
        rows = [asdict(epoch) for epoch in epochs]
        skipped = [{"file": name, "reason": reason} for name, reason in found.skipped]
        experiment = found.experiment.model_dump(mode="json")
        say_json(facts | {"history": rows, "skipped": skipped, "experiment": experiment})
        return
    say(f"{facts['id']}  {facts['name']}  {facts['status']}  {facts['created']}")
    if facts["reason"]:
        say(facts["reason"])
    say(f"{facts['device']}, {facts['threads']} threads; {facts['versions']}; {facts['folder']}\n")
    for name, reason in found.skipped[:_SKIPPED]:
        say(f"skipped {name}: {reason}")
    if facts["skipped"] > _SKIPPED:
        say(f"… and {facts['skipped'] - _SKIPPED:,} more in {found.folder / 'skipped.json'}\n")
    if epochs:
        # Held-out splits are not scored in every epoch.
        splits = list(dict.fromkeys(split for row in epochs for split in row.scores))
        say_table(
            [
                "epoch",
                *(f"{split} error>" for split in splits),
                *(f"{split} objective>" for split in splits),
                "lr>",
                "s>",
            ],
            [
                [
                    f"{row.epoch}{' ★' if facts['best'] and row.epoch == facts['best']['epoch'] else ''}",
                    *(f"{score.top1_error:.2%}" if score else "" for score in map(row.scores.get, splits)),
                    *(f"{score.objective:.4f}" if score else "" for score in map(row.scores.get, splits)),
                    f"{row.lr:.4g}",
                    f"{row.seconds:.1f}",
                ]
                for row in epochs
            ],
        )
        say("")
    say(found.row.experiment)


@app.command
def remove(run: RunName, /, *, store: StoreOption = StoreOption(), json: Json = False) -> None:
    """Delete a run: its weights, its pictures and its rows in the ledger."""
    opened = store.open()
    found = opened.find(run)
    opened.remove(found)
    if json:
        say_json({"removed": found.id})
    else:
        say(f"Removed {found.id}.")

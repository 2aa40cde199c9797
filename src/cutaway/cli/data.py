"""``cutaway data list | show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from cutaway.cli.console import Json, Output, say, say_json, say_table

if TYPE_CHECKING:
    from cutaway.data import Images

app = App(name="data", help="List sources of images, show what is in one.")


@app.command(name="list")
def list_sources(*, json: Json = False) -> None:
    """Where images can come from."""
    from cutaway.data import SOURCES

    if json:
        say_json({"sources": [{"name": name, "summary": SOURCES[name].summary} for name in SOURCES]})
    else:
        say_table(["source", "what it reads"], [[name, SOURCES[name].summary] for name in SOURCES])


@app.command
def show(
    source: str,
    /,
    *,
    path: Annotated[Path | None, Parameter(negative="")] = None,
    validation: Annotated[float, Parameter(negative="")] = 0,
    output: Output = None,
    json: Json = False,
) -> None:
    """What is in a source: sizes, classes, pixel statistics, and a sheet of examples.

    Parameters
    ----------
    source
        a name that cutaway data list gives
    path
        the folder that it reads, where it reads one
    validation
        images to hold back from the training split: a count, or a share below 1
    output
        where to write the sheet of examples: .png, .svg or .pdf
    """
    from cutaway.config import Experiment, load_experiment
    from cutaway.data import load_images

    given = {"source": source, "path": str(path) if path else "", "validation": validation}
    images = load_images(load_experiment(Experiment(), {"data": given}).data)
    facts = _facts(images)
    if output:
        _write_sheet(images, output)
    if json:
        say_json({"source": source, **facts, "sheet": str(output) if output else None})
        return
    say(f"{source}: {len(images.classes)} classes of {'×'.join(map(str, images.shape))}")
    say_table(
        ["class", *(f"{name}>" for name in facts["splits"])],
        [
            *(
                [name, *(f"{split['counts'][i]:,}" for split in facts["splits"].values())]
                for i, name in enumerate(images.classes)
            ),
            ["all", *(f"{split['images']:,}" for split in facts["splits"].values())],
        ],
        total=True,
    )
    for name, split in facts["splits"].items():
        mean, deviation = (", ".join(f"{v:.2f}" for v in split[k]) for k in ("mean", "deviation"))
        say(f"{name}: mean {mean}, standard deviation {deviation} (of 0 to 255)")
    if output:
        say(str(output))


def _facts(images: Images) -> dict[str, Any]:
    from cutaway.data import pixel_statistics

    splits = {}
    for name, split in images.splits.items():
        mean, deviation = pixel_statistics(split.pixels)
        splits[name] = {
            "images": len(split),
            "counts": split.labels.bincount(minlength=len(images.classes)).tolist(),
            "mean": list(mean),
            "deviation": list(deviation),
        }
    return {"shape": list(images.shape), "classes": list(images.classes), "splits": splits}


def _write_sheet(images: Images, output: Path) -> None:
    import io

    from cutaway.draw import plot
    from cutaway.errors import ConfigError
    from cutaway.store.files import make_folder, write_file

    kind = output.suffix.lower().removeprefix(".")
    if kind not in {"png", "svg", "pdf"}:
        raise ConfigError(f"{output} should end in .png, .svg or .pdf.")
    buffer = io.BytesIO()
    plot(images).savefig(buffer, format=kind, dpi=150)
    make_folder(output.absolute().parent)
    write_file(output.absolute(), buffer.getvalue())

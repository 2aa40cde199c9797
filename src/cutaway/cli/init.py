"""``cutaway init``: from a folder of images to an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cutaway.cli.console import Json, Output, note, say, say_json
from cutaway.errors import ConfigError

if TYPE_CHECKING:
    from cutaway.training import Proposal


def init(
    source: str,
    /,
    *,
    output: Output = None,
    minutes: Annotated[float, Parameter(negative="")] = 12.0,
    size: Annotated[str | None, Parameter(negative="")] = None,
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> None:
    """Look at the data, try the machine for five seconds, and write an experiment that fits both.

    Parameters
    ----------
    source
        a folder or archive of images, a data file, or a name that cutaway data list gives
    output
        where to write it; NAME.toml in the working folder when not given
    minutes
        what the training may take
    size
        height x width that every image is brought to, such as 64x64; chosen when not given
    skip_bad
        leave files out that can't be read
    """
    from cutaway.config import Experiment, dump_choices, load_experiment
    from cutaway.data import load_images, recognise
    from cutaway.disk import make_folder, write_file
    from cutaway.training import propose

    if not minutes > 0:
        raise ConfigError(f"--minutes should be above 0, not {minutes:g}.")
    found = recognise(source)
    name = _name(source)
    path = (output or Path(f"{name}.toml")).expanduser()
    if path.exists():
        raise ConfigError(f"{path} is there already and stays as it is. Name another one: -o FILE.toml")
    chosen: dict[str, Any] = {"name": name, "data.source": found.source}
    reasons = {"name": "what the run is called", "data.source": found.why_source}
    if found.path:
        chosen["data.path"] = str(Path(found.path).expanduser().absolute())
        reasons["data.path"] = "from the root, so that the experiment works from any folder"
    if size or found.size:
        chosen["data.size"] = size or found.size
        reasons["data.size"] = "as you said" if size else found.why_size
    if skip_bad:
        chosen["data.skip_bad"] = True
        reasons["data.skip_bad"] = "files that can't be read are left out"
    fields = {key.removeprefix("data."): value for key, value in chosen.items() if key.startswith("data.")}
    images = load_images(load_experiment(Experiment(), {"data": fields}).data)
    note(f"{_told(images)}. Trying the machine for five seconds …")
    proposal = propose(chosen, reasons, images, minutes)
    head = f"{_told(images)}.\nA trial here trained {proposal.images_per_second:,.0f} images a second: "
    head += f"about {_time(proposal.seconds)} for {_epochs(proposal)}."
    make_folder(path.absolute().parent)
    write_file(path.absolute(), dump_choices(proposal.values, proposal.reasons, head).encode())
    if json:
        say_json(
            {
                "file": str(path),
                "experiment": proposal.experiment.model_dump(mode="json"),
                "images_per_second": proposal.images_per_second,
                "seconds": proposal.seconds,
                "skipped": len(images.skipped),
            }
        )
        return
    say(f"{path}: {_epochs(proposal)}, about {_time(proposal.seconds)} here.")
    note(f"Next: cutaway train {path}")


def _name(source: str) -> str:
    """A name for the run: the folder's or the file's, without what archives end in."""
    stem = Path(source).expanduser().absolute().name if "/" in source or Path(source).exists() else source
    for ending in (".xz", ".gz", ".bz2", ".tar", ".zip", ".npz", ".tgz"):
        stem = stem.removesuffix(ending)
    return stem.replace(":", "-").replace("/", "-")[:80] or "images"


def _told(images: Any) -> str:
    counts = ", ".join(f"{len(split):,} {name}" for name, split in images.splits.items())
    return f"{len(images.classes)} classes of {'x'.join(map(str, images.shape))}; images: {counts}"


def _epochs(proposal: Proposal) -> str:
    count = proposal.experiment.train.epochs
    return "1 epoch" if count == 1 else f"{count} epochs"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"

"""``cutaway import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cutaway.cli.console import Json, StoreOption, say, say_json
from cutaway.cli.plan import parse_shape
from cutaway.errors import ConfigError

Text = Annotated[str | None, Parameter(negative="")]
File = Annotated[Path | None, Parameter(negative="")]


def import_(
    weights: Path,
    /,
    *,
    net: Annotated[str, Parameter(negative="")],
    input: Annotated[str | None, Parameter(name="--input", negative="")] = None,  # noqa: A002
    classes: File = None,
    mean: Text = None,
    deviation: Text = None,
    name: Text = None,
    store: StoreOption = StoreOption(),
    json: Json = False,
) -> None:
    """Take published weights into a net of the zoo: a run that can be looked into.

    Parameters
    ----------
    weights
        a .safetensors file with the names of torchvision's AlexNet, VGG, GoogLeNet or ResNet, or of a
        net built here
    net
        a name of the zoo, such as vgg16, or notation
    input
        channels, height and width of an image; the net's own when it has one
    classes
        a text file with a class name on each line
    mean
        of each channel, pixels from 0 to 1, such as 0.485,0.456,0.406; as published when not given
    deviation
        likewise, such as 0.229,0.224,0.225
    name
        what the run is called
    """
    from cutaway.store.imported import import_weights

    run = import_weights(
        weights.expanduser(),
        net,
        store.open(),
        input_shape=parse_shape(input) if input else None,
        classes=_lines(classes) if classes else (),
        mean=_numbers("mean", mean),
        deviation=_numbers("deviation", deviation),
        name=name or "",
    )
    if json:
        say_json({"id": run.id, "name": run.row.name, "folder": str(run.folder)})
        return
    say(f"{run.id}  {run.row.name}  Look inside: cutaway look maps {run.id} --image FILE")


def _numbers(option: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f'--{option} should be numbers such as 0.5,0.5,0.5, not "{text[:40]}".') from None


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read as text: {error}.") from None

"""``cutaway look maps | kernels``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from cutaway.cli.console import Json, Output, RunName, StoreOption, say, say_json
from cutaway.cli.evaluate import Weights
from cutaway.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from torch import Tensor

    from cutaway.look import FeatureMaps, Kernels
    from cutaway.nets.subject import Subject
    from cutaway.store import Run

app = App(name="look", help="Look inside a run: feature maps, kernels.")

Layers = Annotated[
    list[str] | None,
    Parameter(name="--layer", negative="", help="a layer; give it again for more; all when not given"),
]


@app.command
def maps(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    image: Annotated[str, Parameter(negative="")] = "0",
    weights: Weights = "best",
    output: Output = None,
    store: StoreOption = StoreOption(),
    json: Json = False,
) -> None:
    """What every unit of every layer gives for an image.

    Parameters
    ----------
    image
        an image file, or the number of a test image
    output
        .png, .svg or .pdf for a picture, .npz for the numbers; in the run's looks when not given
    """
    from cutaway.look import feature_maps

    found = store.open().find(run)
    subject = found.subject(weights)
    result = feature_maps(subject, _image(found, subject, image), layer)
    name = f"maps-{Path(image).stem}" + (f"-{'-'.join(layer)}" if layer else "")
    arrays = {"image": result.images, **{f"layer.{n}": v for n, v in result.layers.items()}}
    path = _write(found, result, arrays, name, output)
    shapes = {n: list(v.shape[1:]) for n, v in result.layers.items()}
    blank = {n: result.blank(n)[0].nonzero().flatten().tolist() for n in result.layers}
    if json:
        say_json({"run": found.id, "image": image, "layers": shapes, "blank": blank, "file": str(path)})
        return
    for layer_name, units in blank.items():
        if units:
            listed = ", ".join(map(str, units[:12])) + (" …" if len(units) > 12 else "")
            say(f"{layer_name}: {len(units)} of {shapes[layer_name][0]} blank: {listed}")
    say(str(path))


@app.command
def kernels(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    weights: Weights = "best",
    output: Output = None,
    store: StoreOption = StoreOption(),
    json: Json = False,
) -> None:
    """The kernels of every convolution.

    Parameters
    ----------
    output
        .png, .svg or .pdf for a picture, .npz for the numbers; in the run's looks when not given
    """
    from cutaway.look import kernels as find_kernels

    found = store.open().find(run)
    result = find_kernels(found.subject(weights), layer)
    name = "kernels" + (f"-{'-'.join(layer)}" if layer else "")
    path = _write(found, result, {f"layer.{n}": v for n, v in result.layers.items()}, name, output)
    if json:
        shapes = {n: list(v.shape) for n, v in result.layers.items()}
        say_json({"run": found.id, "layers": shapes, "file": str(path)})
        return
    say(str(path))


def _image(run: Run, subject: Subject, image: str) -> Tensor:
    """A test image by its number, or an image file framed as the training images are: (1, C, H, W)."""
    import torch

    from cutaway.data import Framing, read_picture

    if not image.isdecimal():
        framing = subject.framing or Framing(subject.input_shape)
        return framing(read_picture(Path(image), subject.input_shape[0]))[0][None]
    test = run.images().split("test")
    if int(image) >= len(test):
        raise NotFoundError(f"There is no test image {image}; they are numbered from 0 to {len(test) - 1}.")
    return test.batch(torch.tensor([int(image)]))


def _write(
    run: Run, result: FeatureMaps | Kernels, arrays: dict[str, Tensor], name: str, output: Path | None
) -> Path:
    """The result as a picture, or as numbers where the file's ending says so."""
    import io

    import numpy as np

    from cutaway.disk import make_folder, write_file
    from cutaway.draw import plot

    path = (output or run.folder / "looks" / f"{name}.png").expanduser()
    buffer = io.BytesIO()
    kind = path.suffix.lower().removeprefix(".")
    if kind == "npz":
        plain: dict[str, Any] = {key: value.numpy() for key, value in arrays.items()}
        np.savez_compressed(buffer, **plain)
    elif kind in {"png", "svg", "pdf"}:
        plot(result).savefig(buffer, format=kind, dpi=150)
    else:
        raise ConfigError(f"{path} should end in .png, .svg, .pdf or .npz.")
    make_folder(path.parent)
    write_file(path, buffer.getvalue())
    return path

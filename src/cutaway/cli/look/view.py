"""What all looks share on the command line: the run and its weights, images, layers, and the answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cutaway.cli.console import Json, Output, StoreOption, say, say_json
from cutaway.cli.picture import KINDS
from cutaway.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from torch import Tensor

    from cutaway.data import Images, Split
    from cutaway.nets.subject import Subject
    from cutaway.store import Run

Layers = Annotated[
    list[str] | None,
    Parameter(name="--layer", negative="", help="a layer; give it again for more; all when not given"),
]
Layer = Annotated[str, Parameter(negative="", help="a layer, as cutaway look layers RUN lists them")]
Units = Annotated[
    list[int] | None,
    Parameter(name="--unit", negative="", help="a unit, from 0; give it again for more; all when not given"),
]
Unit = Annotated[int, Parameter(negative="", help="a unit of the layer, from 0")]
ScaleName = Annotated[
    Literal["unit", "layer", "global"],
    Parameter(name="--scale", negative="", help="what shares one scale of colours"),
]
BesideWeights = Annotated[
    list[str] | None,
    Parameter(
        name="--beside",
        negative="",
        help="other weights of the run to set beside, such as random; give it again for more",
    ),
]
ImageName = Annotated[
    str, Parameter(name="--image", negative="", help="an image file, or the number of an image of the split")
]
ImageNames = Annotated[
    tuple[str, ...],
    Parameter(
        name="--image",
        negative="",
        help="an image file, or the number of an image of the split; give it again for more",
    ),
]
Shown = Annotated[
    int,
    Parameter(
        name="--shown",
        negative="",
        show_default=False,
        help="of the images, how many the picture has, the first ones; errors are of all; all when not given",
    ),
]
SplitName = Annotated[
    str,
    Parameter(
        name="--split", negative="", help="the split that --image counts in: train, validation or test"
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class ViewOptions:
    """Which weights of a run are looked at, and where the result goes.

    Args:
        weights: best, last, random for those before training, or the number of an epoch that was kept
        output: .png, .svg or .pdf for a picture, .npz for the numbers; in the run's looks when not given
        store: folder of the runs; CUTAWAY_STORE or ./runs when not given
        json: print one JSON object instead of text
    """

    weights: Annotated[str, Parameter(negative="")] = "best"
    output: Output = None
    store: Annotated[Path | None, Parameter(negative="")] = None
    json: Json = False

    def open(self, run: str) -> View:
        """The run's net, ready to be looked into.

        Raises:
            NotFoundError: there is no such run, or it has no such weights.
            ConfigError: the output's ending names nothing that can be written.
        """
        if self.output and _kind(self.output) not in (*KINDS, "npz"):
            raise ConfigError(f"{self.output} should end in .png, .svg, .pdf or .npz.")
        found = StoreOption(self.store).open().find(run)
        return View(found, found.subject(self.weights), self)


@dataclass(frozen=True)
class View:
    """A run being looked into.

    Args:
        run: whose net it is.
        subject: the net with the weights asked for.
        options: as given.
    """

    run: Run
    subject: Subject
    options: ViewOptions

    def subjects(self, beside: Sequence[str] | None) -> dict[str, Subject]:
        """The net with the weights asked for and with those to be set beside, by their names."""
        names = dict.fromkeys([self.options.weights, *(beside or ())])
        return {
            f"epoch {name}" if name.isdecimal() else name: self.subject
            if name == self.options.weights
            else self.run.subject(name)
            for name in names
        }

    def split(self, name: str = "test") -> Split:
        """The images of a split and their labels."""
        return self._dataset.split(name)

    @cached_property
    def _dataset(self) -> Images:
        return self.run.images()

    def images(self, names: Sequence[str], split: str = "test") -> Tensor:
        """Images by number, or from files framed as the training images are: ``(N, C, H, W)`` uint8.

        Raises:
            NotFoundError: there is no such number or file.
        """
        import torch

        from cutaway.data import Framing, read_picture

        framing = self.subject.framing or Framing(self.subject.input_shape)
        numbered = self.split(split) if any(name.isdecimal() for name in names) else None
        found = []
        for name in names:
            if not name.isdecimal() or numbered is None:
                found.append(framing(read_picture(Path(name), self.subject.input_shape[0]))[0][None])
                continue
            if int(name) >= len(numbered):
                told = f"they are numbered from 0 to {len(numbered) - 1}"
                raise NotFoundError(f"There is no {split} image {name}; {told}.")
            found.append(numbered.batch(torch.tensor([int(name)])))
        return torch.cat(found)

    def labels(self, names: Sequence[str], split: str = "test") -> tuple[str | None, ...]:
        """The true class of each of :meth:`images`; None for those from files."""
        if not any(name.isdecimal() for name in names):
            return (None,) * len(names)
        labels, classes = self.split(split).labels, self._dataset.classes
        return tuple(classes[int(labels[int(name)])] if name.isdecimal() else None for name in names)

    def answer(
        self,
        result: object,
        name: str,
        arrays: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        lines: Sequence[str] = (),
        **drawing: Any,
    ) -> None:
        """Write the result as a picture or as numbers, and tell where it is.

        Args:
            result: what ``cutaway.plot`` draws.
            name: of the file in the run's looks, without an ending, where no output was named.
            arrays: what an .npz gets.
            facts: what ``--json`` prints, beside the run and the file.
            lines: what is said otherwise, above the file's path.
            drawing: options of the figure, such as ``scale="unit"``.
        """
        weights = self.options.weights
        name = name if weights == "best" else f"{name}-{weights}"
        path = (self.options.output or self.run.folder / "looks" / f"{name}.png").expanduser()
        _write(path, result, arrays, drawing)
        if self.options.json:
            say_json({"run": self.run.id, **facts, "file": str(path)})
            return
        for line in (*lines, str(path)):
            say(line)


def listed(units: Sequence[int], most: int = 12) -> str:
    """Unit numbers in words: all where they are few."""
    return ", ".join(map(str, units[:most])) + (" …" if len(units) > most else "")


def file_name(look: str, *parts: Sequence[object] | None) -> str:
    """The name of a look's file: the method, then what was asked for, with signs that files may have."""
    words = [look, *(str(part) for given in parts for part in given or ())]
    name = re.sub(r"[^\w.@-]+", "_", "-".join(words))
    if len(name.encode()) <= _LONGEST:
        return name
    # Longer ones a disk does not take. What is cut off still tells two of them apart.
    return f"{name[: _LONGEST // 2]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


_LONGEST = 120
"""Bytes of a file's name, without what comes behind it."""


def _kind(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")


def _write(path: Path, result: object, arrays: Mapping[str, Tensor], drawing: Mapping[str, Any]) -> None:
    from cutaway.cli.picture import write_figure
    from cutaway.draw import plot
    from cutaway.look.archive import save

    if _kind(path) == "npz":
        save(result, path, arrays=arrays, drawing=drawing)
        return
    write_figure(plot(result, **drawing), path)

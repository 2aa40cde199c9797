"""A process that decodes: jobs come as lines of JSON on its input, results go as lines to its output.

It is a program of its own rather than a child of ``multiprocessing``: a forked child inherits locks
that PyTorch's threads may hold, and a spawned one imports the user's script once more.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

from cutaway.config import Fit
from cutaway.pictures.decode import BadPictureError, Form, Pixels, decode


def main() -> None:
    """Decode until the standard input ends."""
    serve(sys.stdin.buffer, sys.stdout.buffer)


def serve(source: BinaryIO, answers: BinaryIO) -> None:
    """Decode until ``source`` ends; a line of ``answers`` for each job."""
    setup = json.loads(source.readline())
    sides = setup["sides"]
    form = Form(setup["channels"], sides and (sides[0], sides[1]), Fit(setup["fit"]), setup["pad"])
    shape = tuple(setup["shape"])
    target = os.open(os.fsencode(setup["target"]), os.O_WRONLY)
    try:
        for line in source:
            job = json.loads(line)
            result = _work(job, source, target, form, shape)
            answers.write(json.dumps(result).encode() + b"\n")
            answers.flush()
    finally:
        os.close(target)


def _work(
    job: dict[str, Any], source: BinaryIO, target: int, form: Form, shape: tuple[int, ...]
) -> dict[str, Any]:
    """Decode a job's files and write each into its row of the target."""
    bad: list[tuple[int, str]] = []
    odd: tuple[int, list[int]] | None = None
    colour: int | None = None
    size = shape[0] * shape[1] * shape[2]
    for row, name, count in job["files"]:
        file = io.BytesIO(source.read(count)) if count >= 0 else Path(name)
        try:
            pixels = decode(file, form)
        except BadPictureError as error:
            bad.append((row, str(error)))
            continue
        if pixels.shape[1:] != shape[1:]:
            odd = odd or (row, [side - 2 * form.pad for side in pixels.shape[1:]])
        elif pixels.shape != shape:
            grey = _as_grey(pixels)
            if grey is None:
                colour = row if colour is None else colour
            else:
                os.pwrite(target, grey.tobytes(), row * size)
        else:
            os.pwrite(target, pixels.tobytes(), row * size)
    return {"done": len(job["files"]), "bad": bad, "odd": odd, "colour": colour}


def _as_grey(pixels: Pixels) -> Pixels | None:
    """One channel of a picture whose channels are equal; None where it is in colour."""
    grey = pixels[:1]
    return grey if (pixels == grey).all() else None


if __name__ == "__main__":
    main()

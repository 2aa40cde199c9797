"""Decoding many files on all cores, into the rows of one file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from cutaway.errors import DataError
from cutaway.machine import available_cores
from cutaway.pictures.decode import Form
from cutaway.pictures.place import Place
from cutaway.progress import tracked

Job = tuple[list[tuple[int, str, int]], list[bytes]]
Advance = Callable[[int], None]

_JOB_FILES = 64
_JOB_BYTES = 8 << 20
_FEW = 200
"""Files for each process, at least: one takes a third of a second to start."""


@dataclass
class Decoded:
    """What came of decoding.

    Args:
        bad: rows that could not be decoded, with the reasons.
        odd: a row whose picture has another size, with that size; None when all have the same.
        colour: a row whose picture is in colour where grey was expected.
    """

    bad: list[tuple[int, str]] = field(default_factory=list)
    odd: tuple[int, tuple[int, int]] | None = None
    colour: int | None = None


def decode_all(
    place: Place, names: Sequence[str], target: Path, shape: tuple[int, int, int], form: Form
) -> Decoded:
    """Decode files into the rows of ``target``, which has room for all of them.

    Args:
        place: where they lie.
        names: the row of each is its position here.
        target: an existing file of ``len(names)`` × C × H × W bytes.
        shape: ``(C, H, W)`` of a row.
        form: what they are brought to; without sides every picture must have the shape's.

    Raises:
        DataError: the archive can't be read.
        StoreError: the target can't be written.
    """
    crew = _Crew(place, names, target, shape, form)
    return crew.run()


class _Crew:
    """Some worker processes, a thread for each that hands it jobs."""

    def __init__(
        self, place: Place, names: Sequence[str], target: Path, shape: tuple[int, int, int], form: Form
    ) -> None:
        self.place = place
        self.rows = {name: row for row, name in enumerate(names)}
        self.names = names
        self.setup = {
            "target": os.fsdecode(target),
            "shape": shape,
            "sides": form.sides,
            "channels": form.channels,
            "fit": form.fit,
            "pad": form.pad,
        }
        self.found = Decoded()
        self.lock = threading.Lock()
        self.workers: list[_Worker] = []
        self.ended = False

    def run(self) -> Decoded:
        """Decode all, or as far as it makes sense."""
        count = min(available_cores(), -(-len(self.names) // _FEW))
        with tracked("Decoding", len(self.names), "images") as advance, ThreadPoolExecutor(count) as threads:
            jobs = self._jobs(advance)
            works = [threads.submit(self._work, jobs, advance) for _ in range(count)]
            try:
                for work in works:
                    work.result()
            except BaseException:
                self._stop()  # leaving the pool waits for its threads, and they for their workers
                raise
        self.found.bad.sort()
        return self.found

    def _stop(self) -> None:
        with self.lock:
            self.ended = True
            for worker in self.workers:
                worker.process.kill()

    def _jobs(self, advance: Advance) -> Iterator[Job]:
        """Files in portions: row, path and number of bytes that follow (−1: read it yourself)."""
        files: list[tuple[int, str, int]] = []
        contents: list[bytes] = []
        size = 0
        for name, where in self.place.read(self.names):
            row = self.rows[name]
            if isinstance(where, str):
                self.found.bad.append((row, where))
                advance(1)
                continue
            if isinstance(where, Path):
                files.append((row, os.fsdecode(where), -1))
            else:
                files.append((row, name, len(where)))
                contents.append(where)
                size += len(where)
            if len(files) >= _JOB_FILES or size >= _JOB_BYTES:
                yield files, contents
                files, contents, size = [], [], 0
        if files:
            yield files, contents

    def _work(self, jobs: Iterator[Job], advance: Advance) -> None:
        """Hand jobs to one process until there are no more."""
        try:
            with self.lock:
                if self.ended:
                    return
                worker = _Worker.started()
                self.workers.append(worker)
            try:
                self._hand_over(worker, jobs, advance)
            finally:
                worker.close()
        except BrokenPipeError:
            self.ended = True
            raise DataError("A process that decodes images has died. Is there enough memory?") from None
        except BaseException:
            self.ended = True
            raise

    def _hand_over(self, worker: _Worker, jobs: Iterator[Job], advance: Advance) -> None:
        worker.source.write(json.dumps(self.setup).encode() + b"\n")
        while True:
            with self.lock:
                job = None if self.ended else next(jobs, None)
            if job is None:
                return
            files, contents = job
            worker.source.write(json.dumps({"files": files}).encode() + b"\n")
            worker.source.writelines(contents)
            worker.source.flush()
            self._take(worker.answers.readline(), advance)

    def _take(self, line: bytes, advance: Advance) -> None:
        if not line.endswith(b"\n"):
            raise BrokenPipeError
        answer = json.loads(line)
        with self.lock:
            self.found.bad += [(row, reason) for row, reason in answer["bad"]]
            if answer["odd"] and self.found.odd is None:
                row, sides = answer["odd"]
                self.found.odd = (row, (sides[0], sides[1]))
            if answer["colour"] is not None and self.found.colour is None:
                self.found.colour = answer["colour"]
            # A dataset of other sizes or colours is decoded anew or refused: no need to go on.
            self.ended = self.ended or bool(self.found.odd) or self.found.colour is not None
            advance(answer["done"])


class _Worker(NamedTuple):
    """A process that decodes, its input and its output."""

    process: subprocess.Popen[bytes]
    source: IO[bytes]
    answers: IO[bytes]

    @classmethod
    def started(cls) -> _Worker:
        """A new one. A terminal sends Ctrl-C to whole groups; in its own, it ends when the crew says so."""
        path = [part for part in sys.path if isinstance(part, str)]  # Python leaves others alone, too
        process = subprocess.Popen(  # noqa: S603  this very interpreter and our own program
            [sys.executable, "-c", _PROGRAM, json.dumps(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        if process.stdin is None or process.stdout is None:
            raise AssertionError
        return cls(process, process.stdin, process.stdout)

    def close(self) -> None:
        """End it, whatever it is doing; what it has answered is on its way to the disk."""
        self.process.kill()
        self.process.wait()
        with suppress(OSError):  # what it has not read goes nowhere
            self.source.close()
        self.answers.close()


_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from cutaway.pictures.worker import main; main()"
)

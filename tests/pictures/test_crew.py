"""Decoding on several processes: every row is its file's, and nothing is left when it goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from PIL import Image

from cutaway.errors import DataError
from cutaway.pictures import Form, decoded, open_place
from cutaway.pictures.crew import Decoded, _Crew, _Worker, decode_all
from cutaway.pictures.place import Folder
from cutaway.progress import Progress, listening

Workers = list["subprocess.Popen[bytes]"]

COUNT = 450


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More files than one process is given, each of another grey or colour."""
    root = tmp_path_factory.mktemp("many")
    for number in range(COUNT):
        pixels = np.full((8, 8, 3), (number % 256, number // 256, 7), np.uint8)
        pixels[number % 8] = 255
        Image.fromarray(pixels).save(root / f"{number:03}.png")
    return root


def names_of(root: Path) -> list[str]:
    return open_place(root).list().names


def run(root: Path, target: Path, form: Form, shape: tuple[int, int, int] = (3, 8, 8)) -> Decoded:
    names = names_of(root)
    target.write_bytes(bytes(len(names) * shape[0] * shape[1] * shape[2]))
    return decode_all(open_place(root), names, target, shape, form)


def _room(target: Path, size: int) -> Path:
    target.write_bytes(bytes(size))
    return target


def rows(target: Path, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.fromfile(target, np.uint8).reshape(-1, *shape)


def test_each_row_is_its_own_file_s_as_pillow_decodes_it(
    many: Path, tmp_path: Path, workers: Workers
) -> None:
    found = run(many, tmp_path / "pixels", Form(3))
    assert found == Decoded()
    assert len(workers) == 2
    for row, name in zip(rows(tmp_path / "pixels", 3, 8, 8), names_of(many), strict=True):
        assert row.transpose(1, 2, 0).tolist() == np.asarray(Image.open(many / name)).tolist()


def test_few_files_are_decoded_by_one_process(many: Path, tmp_path: Path, workers: Workers) -> None:
    names = names_of(many)[:200]
    (tmp_path / "pixels").write_bytes(bytes(200 * 192))
    decode_all(open_place(many), names, tmp_path / "pixels", (3, 8, 8), Form(3))
    assert len(workers) == 1
    decode_all(open_place(many), names[:1], tmp_path / "pixels", (3, 8, 8), Form(3))
    assert len(workers) == 2


def test_processes_end_well(many: Path, tmp_path: Path, workers: Workers) -> None:
    run(many, tmp_path / "pixels", Form(3))
    assert all(worker.returncode is not None for worker in workers)
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker.pid, 0)


def test_progress_counts_every_file_once_bad_ones_too(tmp_path: Path, workers: Workers) -> None:
    for number in range(250):
        (tmp_path / f"{number:03}.png").write_bytes(b"no image")

    class Broken(Folder):
        def read(self, names: Iterable[str]) -> Iterator[tuple[str, Path | bytes | str]]:
            for number, (name, where) in enumerate(super().read(names)):
                yield name, "it is locked" if number % 50 == 3 else where

    told: list[Progress] = []
    place = Broken(tmp_path)
    names = place.list().names
    (tmp_path / "pixels").write_bytes(b"")
    with listening(told.append):
        found = decode_all(place, names, tmp_path / "pixels", (1, 8, 8), Form(1))
    assert told[0] == Progress("Decoding", 0, 250, "images")
    assert told[-1] == Progress("Decoding", 250, 250, "images")
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)
    reasons = ["it is locked" if row % 50 == 3 else "it is no image" for row in range(250)]
    assert found.bad == list(enumerate(reasons))


def test_a_picture_of_another_size_ends_it(many: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    Image.new("L", (8, 8)).save(root / "0.png")
    Image.new("L", (9, 7)).save(root / "1.png")
    for pad in (0, 2):
        side = 8 + 2 * pad
        found = run(root, tmp_path / "pixels", Form(1, pad=pad), (1, side, side))
        assert found.odd == (1, (7, 9))  # without its border


def test_a_picture_in_colour_ends_it_where_grey_was_expected(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for number, colour in enumerate([(9, 9, 9), (80, 80, 80), (80, 80, 81), (1, 1, 1)]):
        Image.new("RGB", (8, 8), colour).save(root / f"{number}.png")
    found = run(root, tmp_path / "pixels", Form(0), (1, 8, 8))
    assert found.colour == 2
    assert found.odd is None
    assert rows(tmp_path / "pixels", 64)[:, 0].tolist() == [9, 80, 0, 1]  # equal channels are one


def test_a_worker_that_is_killed_is_told_and_the_others_end(
    many: Path, tmp_path: Path, cache: Path, workers: Workers
) -> None:
    def kill(progress: Progress) -> None:
        if progress.done:
            for worker in workers:
                worker.kill()

    with listening(kill), pytest.raises(DataError) as caught:
        decoded(open_place(many), Form())
    assert str(caught.value) == "A process that decodes images has died. Is there enough memory?"
    assert list(cache.iterdir()) == []
    assert all(worker.returncode == -signal.SIGKILL for worker in workers)


def test_one_worker_s_death_ends_the_others_at_once(
    many: Path, tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is the first one's end that is waited for."""
    ended: list[bool] = []

    def hand_over(crew: _Crew, worker: _Worker, *_: object) -> None:
        if worker is not crew.workers[0]:
            raise BrokenPipeError
        tick = threading.Event()
        ended.append(any(crew.ended or tick.wait(0.01) for _ in range(1000)))

    monkeypatch.setattr(_Crew, "_hand_over", hand_over)
    with pytest.raises(DataError, match="has died"):
        run(many, tmp_path / "pixels", Form(3))
    assert ended == [True]
    assert all(worker.returncode is not None for worker in workers)


def test_an_answer_that_is_cut_off_is_no_answer(many: Path, tmp_path: Path, workers: Workers) -> None:
    crew = _Crew(open_place(many), names_of(many), tmp_path / "pixels", (3, 8, 8), Form(3))
    for line in (b"", b'{"done": 6', b'{"done": 64, "bad": [], "odd": null, "colour": null}'):
        with pytest.raises(BrokenPipeError):
            crew._take(line, lambda count: None)


def test_workers_are_in_no_group_that_a_terminal_interrupts(
    many: Path, tmp_path: Path, workers: Workers
) -> None:
    groups: set[int] = set()

    def note(progress: Progress) -> None:
        groups.update(os.getpgid(worker.pid) for worker in workers)

    with listening(note):
        decode_all(open_place(many), names_of(many)[:1], _room(tmp_path / "pixels", 192), (3, 8, 8), Form(3))
    assert groups == {worker.pid for worker in workers}


def test_an_interruption_leaves_no_process_and_no_entry(many: Path, cache: Path, workers: Workers) -> None:
    handled = threading.Event()
    told: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        handled.set()
        raise KeyboardInterrupt

    def interrupt(progress: Progress) -> None:
        told.append(progress.done)
        if progress.done and not handled.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            assert handled.wait(20)

    before = signal.signal(signal.SIGINT, handle)
    try:
        with listening(interrupt), pytest.raises(KeyboardInterrupt):
            decoded(open_place(many), Form())
    finally:
        signal.signal(signal.SIGINT, before)
    assert told[-1] < COUNT
    assert all(worker.returncode is not None for worker in workers)
    assert list(cache.iterdir()) == []


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from cutaway.pictures import Form, decoded, open_place
from cutaway.progress import listening

def interrupt(progress):
    if progress.done:
        os.killpg(0, signal.SIGINT)  # as a terminal does

try:
    with listening(interrupt):
        decoded(open_place(Path(sys.argv[1])), Form())
except KeyboardInterrupt:
    print("interrupted")
"""


def test_workers_say_nothing_of_an_interruption_from_the_terminal(many: Path, cache: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(many)]
    result = subprocess.run(command, capture_output=True, text=True, start_new_session=True, check=False)
    assert (result.stdout, result.stderr) == ("interrupted\n", "")
    assert list(cache.iterdir()) == []


def test_a_script_s_own_search_path_reaches_the_workers(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [tmp_path / "a path, which Python leaves alone", *sys.path])
    assert run(many, tmp_path / "pixels", Form(3)) == Decoded()


def test_a_place_that_fails_ends_it_with_its_own_error(many: Path, tmp_path: Path, workers: Workers) -> None:
    class Failing(Folder):
        def read(self, names: Iterable[str]) -> Iterator[tuple[str, Path | bytes | str]]:
            for number, pair in enumerate(super().read(names)):
                if number == 100:
                    raise DataError("The archive was changed.")
                yield pair

    (tmp_path / "pixels").write_bytes(bytes(COUNT * 192))
    with pytest.raises(DataError, match=r"The archive was changed\."):
        decode_all(Failing(many), names_of(many), tmp_path / "pixels", (3, 8, 8), Form(3))
    assert all(worker.returncode is not None for worker in workers)

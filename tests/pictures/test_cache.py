"""The cache: the second start finds what the first decoded, and whatever happens, only whole entries."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cutaway.config import Fit
from cutaway.disk import locked
from cutaway.errors import ConfigError, DataError, StoreError
from cutaway.pictures import Cached, Form, cache_entries, cache_folder, clear_cache, decoded, open_place
from cutaway.pictures import cache as room

pytestmark = pytest.mark.usefixtures("no_processes")


def pictures(root: Path, count: int = 5, side: int = 4, *, colour: bool = True) -> Path:
    """So many small pictures, each of other pixels."""
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(count)
    for number in range(count):
        pixels = random.integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels if colour else pixels[..., 0]).save(root / f"{number}.png")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return pictures(tmp_path / "root")


def load(path: Path, form: Form | None = None) -> Cached:
    return decoded(open_place(path), form or Form())


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on nothing is decoded."""

    def refuse(*_: object) -> None:
        raise AssertionError("decoded anew")

    monkeypatch.setattr(room, "decode_all", refuse)


def message(kind: type[Exception], path: Path, form: Form | None = None) -> str:
    with pytest.raises(kind) as caught:
        load(path, form)
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


def as_pillow(root: Path, found: Cached, mode: str = "RGB") -> None:
    """Row by row, as Pillow decodes the file of that name."""
    assert found.names == sorted(found.names)
    for name, row in zip(found.names, found.pixels, strict=True):
        wanted = np.asarray(Image.open(root / name).convert(mode))
        wanted = wanted if wanted.ndim == 3 else wanted[..., None]
        assert row.transpose(1, 2, 0).tolist() == wanted.tolist()


# What it holds.


def test_the_second_time_it_is_the_same_without_decoding(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(root)
    as_pillow(root, first)
    forbid(monkeypatch)
    second = load(root)
    assert second.pixels.tobytes() == first.pixels.tobytes()
    assert (second.names, second.folders, second.skipped) == (first.names, first.folders, first.skipped)
    assert second.names == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    for found in (first, second):
        assert isinstance(found.pixels, np.memmap)
        assert not found.pixels.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            found.pixels[0] = 0
    (entry,) = cache.iterdir()
    assert sorted(path.name for path in entry.iterdir()) == ["index.json", "pixels"]
    assert (entry / "pixels").stat().st_size == 5 * 3 * 4 * 4


def test_an_archive_is_found_without_being_read(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "packed"), "gztar", root))
    first = load(path)
    assert first.pixels.tobytes() == load(root).pixels.tobytes()
    forbid(monkeypatch)
    place = open_place(path)
    monkeypatch.setattr(place, "list", lambda: pytest.fail("listed anew"))
    assert decoded(place, Form()).pixels.tobytes() == first.pixels.tobytes()


def test_names_that_are_no_utf_8_come_back(root: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (root / "0.png").rename(root / name)
    assert load(root).names[-1] == name
    assert load(root).names == load(root).names
    as_pillow(root, load(root))


def test_bad_files_are_named_and_keep_their_rows(root: Path) -> None:
    (root / "1.png").write_bytes(b"")
    (root / "2.png").unlink()
    (root / "2.png").symlink_to("gone")
    for _ in range(2):
        found = load(root)
        assert found.names == ["0.png", "1.png", "3.png", "4.png"]
        assert found.skipped == [("2.png", "the link leads nowhere"), ("1.png", "it is no image")]
        assert found.pixels.shape == (4, 3, 4, 4)
        assert found.pixels[2].transpose(1, 2, 0).tolist() == np.asarray(Image.open(root / "3.png")).tolist()


@pytest.mark.parametrize(
    ("colours", "channels"),
    [("ggg", 1), ("gcg", 3), ("cgg", 3), ("egg", 1), ("gge", 1), ("ege", 1), ("ec", 3)],
)
def test_as_they_are_is_grey_if_all_are_and_colour_if_one_is(
    tmp_path: Path, colours: str, channels: int
) -> None:
    """Files in grey (g), in colour (c), and in three channels that are equal (e), in any order."""
    for number, kind in enumerate(colours):
        pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
        if kind == "e":
            pixels[:] = pixels[..., :1]
        Image.fromarray(pixels[..., 0] if kind == "g" else pixels).save(tmp_path / f"{number}.png")
    found = load(tmp_path)
    assert found.pixels.shape == (len(colours), channels, 4, 4)
    as_pillow(tmp_path, found, "L" if channels == 1 else "RGB")
    assert load(tmp_path, Form(1)).pixels.shape[1] == 1
    assert load(tmp_path, Form(3)).pixels.shape[1] == 3


def test_a_picture_in_colour_after_many_grey_ones_makes_all_colour(tmp_path: Path) -> None:
    pictures(tmp_path / "a", 300, 2, colour=False)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 2, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a/999.png")
    found = load(tmp_path / "a")
    assert found.pixels.shape == (301, 3, 2, 2)
    as_pillow(tmp_path / "a", found)


# What it refuses.


def test_different_sizes_want_a_size(root: Path, cache: Path) -> None:
    Image.new("RGB", (6, 5)).save(root / "3.png")
    wanted = (
        "The images have different sizes: 3.png has 5×6 pixels (height × width), others 4×4. "
        "Set data.size, such as 64x64."
    )
    assert message(ConfigError, root) == wanted
    assert message(ConfigError, root, Form(pad=2)) == wanted
    assert list(cache.iterdir()) == []
    assert load(root, Form(sides=(4, 4))).pixels.shape == (5, 3, 4, 4)


def test_a_place_without_a_picture_that_can_be_read(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "notes.txt").write_text("text")
    assert message(DataError, root) == f"{root} has no image files."
    (root / "1.png").symlink_to("gone.png")
    assert message(DataError, root) == f"{root} has no image files (1.png: the link leads nowhere)."
    (root / "2.png").write_bytes(b"")
    (root / "3.png").write_bytes(b"text")
    assert (
        message(DataError, root) == f"{root}: none of its 2 image files can be read. 2.png: it is no image."
    )
    assert not cache.exists() or list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        (
            errno.ENOSPC,
            "The disk of {} is full. Free some space, or set CUTAWAY_CACHE to a folder with more room.",
        ),
        (
            errno.EDQUOT,
            "The disk of {} is full. Free some space, or set CUTAWAY_CACHE to a folder with more room.",
        ),
        (errno.EROFS, "{} can't be written: Read-only file system. Set CUTAWAY_CACHE to a folder that can."),
    ],
)
def test_a_disk_without_room_is_told_and_left_clean(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, number: int, wanted: str
) -> None:
    load(root, Form(pad=1))
    before = list(cache.iterdir())

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert message(StoreError, root) == wanted.format(cache)
    assert list(cache.iterdir()) == before


def test_a_cache_that_can_t_be_made_is_told(root: Path, cache: Path) -> None:
    cache.parent.write_text("a file")
    assert message(StoreError, root) == (
        f"{cache} can't be written: Not a directory. Set CUTAWAY_CACHE to a folder that can."
    )


def test_a_cache_that_gives_no_lock_is_told(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert message(StoreError, root).startswith(f"{cache} can't be written: ")
    assert list(cache.iterdir()) == []


# What makes another entry.


def _change(root: Path) -> None:
    Image.new("RGB", (4, 4), "red").save(root / "2.png")


def _add(root: Path) -> None:
    Image.new("RGB", (4, 4), "red").save(root / "9.png")


def _remove(root: Path) -> None:
    (root / "2.png").unlink()


def _rename(root: Path) -> None:
    (root / "2.png").rename(root / "5.png")


def _break(root: Path) -> None:
    (root / "7.png").symlink_to("gone.png")


def _make_folder(root: Path) -> None:
    (root / "empty").mkdir()


@pytest.mark.parametrize("edit", [_change, _add, _remove, _rename, _break, _make_folder])
def test_a_changed_folder_is_decoded_anew_and_the_old_entry_removed(
    root: Path, cache: Path, edit: Any
) -> None:
    load(root)
    (old,) = cache.iterdir()
    edit(root)
    as_pillow(root, load(root))
    (new,) = cache.iterdir()
    assert new != old


def test_a_changed_archive_is_decoded_anew_and_the_old_entry_removed(tmp_path: Path, cache: Path) -> None:
    for count in (3, 4):
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
        pictures(tmp_path / "a", count)
        path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "a"))
        assert len(load(path).names) == count
        assert len(list(cache.iterdir())) == 1


def test_other_forms_and_places_are_other_entries_and_all_stay(
    tmp_path: Path, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = pictures(tmp_path / "other")
    forms = [
        Form(),
        Form(1),
        Form(3),
        Form(sides=(4, 4)),
        Form(sides=(4, 5)),
        Form(sides=(4, 5), fit=Fit.PAD),
        Form(pad=1),
    ]
    for form in forms:
        load(root, form)
    load(other)
    assert len(list(cache.iterdir())) == len(forms) + 1
    forbid(monkeypatch)
    for form in forms:
        height, width = form.sides or (4, 4)
        shape = (5, form.channels or 3, height + 2 * form.pad, width + 2 * form.pad)
        assert load(root, form).pixels.shape == shape
    load(other)


def test_a_relative_path_is_the_same_place(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(root)
    monkeypatch.chdir(root.parent)
    load(Path("root"))
    assert len(list(cache.iterdir())) == 1


# What is not whole.


def _older(entry: Path) -> None:
    values = json.loads((entry / "index.json").read_text())
    (entry / "index.json").write_text(json.dumps({**values, "version": 0}))


def _no_index(entry: Path) -> None:
    (entry / "index.json").unlink()


def _no_pixels(entry: Path) -> None:
    (entry / "pixels").unlink()


def _short(entry: Path) -> None:
    os.truncate(entry / "pixels", 239)


def _long(entry: Path) -> None:
    os.truncate(entry / "pixels", 241)


def _index_of(text: str) -> Any:
    def damage(entry: Path) -> None:
        (entry / "index.json").write_text(text)

    return damage


DAMAGES = [
    *(_older, _no_index, _no_pixels, _short, _long),
    *map(_index_of, ["", "{", "[]", "5", "{}", '{"version": 1}', '{"names": 5, "shape": 5, "version": 1}']),
    _index_of('{"version": 1, "names": ["a"], "shape": [3, -4, 4], "folders": [], "skipped": []}'),
    _index_of('{"version": 1, "names": ["a"], "shape": [3e9, 4, 4], "folders": [], "skipped": []}'),
    _index_of(
        '{"version": 1, "names": ["a"], "shape": [99999999999999999999, 4], "folders": [], "skipped": []}'
    ),
    _index_of('{"version": 1, "names": ["a"], "shape": [15, 4, 4], "folders": [], "skipped": [5]}'),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_entry_that_is_not_whole_is_made_anew(root: Path, cache: Path, damage: Any) -> None:
    load(root)
    (entry,) = cache.iterdir()
    before = {path.name: path.read_bytes() for path in entry.iterdir()}
    damage(entry)
    as_pillow(root, load(root))
    assert list(cache.iterdir()) == [entry]
    assert {path.name: path.read_bytes() for path in entry.iterdir()} == before
    as_pillow(root, load(root))


def test_another_entry_that_is_not_whole_is_removed(tmp_path: Path, root: Path, cache: Path) -> None:
    load(root, Form(pad=1))
    (entry,) = cache.iterdir()
    _older(entry)
    load(root)
    (left,) = cache.iterdir()
    assert left != entry


# Several processes.

HOLD = """
import sys
from pathlib import Path
from cutaway.disk import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_what_killed_processes_were_making_is_removed_and_what_living_ones_make_is_kept(
    root: Path, cache: Path
) -> None:
    dead, alive = cache / f"{'0' * 32}.1.aa.making", cache / f"{'1' * 32}.2.bb.making"
    for making in (dead, alive):
        making.mkdir(parents=True)
        (making / "pixels").write_bytes(b"half")
        (making / "lock").write_bytes(b"1")
    command = [sys.executable, "-c", HOLD, str(alive)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        load(root)
        assert alive in cache.iterdir()
        assert dead not in cache.iterdir()
        assert clear_cache() > 0
        assert list(cache.iterdir()) == [alive]
        holder.kill()
    load(root)
    assert alive not in cache.iterdir()


LOAD = """
import sys
from pathlib import Path
from cutaway.pictures import Form, decoded, open_place
sys.stdin.readline()
sys.stdout.write(decoded(open_place(Path(sys.argv[1])), Form()).pixels.tobytes().hex())
"""


def test_processes_that_decode_one_folder_at_once_all_succeed(root: Path, cache: Path) -> None:
    command = [sys.executable, "-c", LOAD, str(root)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert set(answers) == {load(root).pixels.tobytes().hex()}
    assert len(list(cache.iterdir())) == 1


def test_threads_that_decode_one_folder_at_once_all_succeed(root: Path, cache: Path) -> None:
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(load(root).pixels.tobytes())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert set(found) == {load(root).pixels.tobytes()}
    assert len(list(cache.iterdir())) == 1


def test_what_is_being_made_is_held_until_it_has_its_name(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that tidies up at any instant takes nothing away."""
    seen: list[str] = []

    def tidied(name: str) -> None:
        function = getattr(room, name)

        def first_tidy(*arguments: Any) -> Any:
            seen.append(name)
            room._remove_leftovers(cache)
            found = function(*arguments)
            room._remove_leftovers(cache)
            return found

        monkeypatch.setattr(room, name, first_tidy)

    for name in ("_fill", "_reserve", "_sync", "_place"):
        tidied(name)
    as_pillow(root, load(root))
    assert set(seen) == {"_fill", "_reserve", "_sync", "_place"}


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_folder_that_is_tidied_away_before_it_is_held_is_made_again(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    taken: list[Path] = []

    class Raced:
        """A lock that comes too late, the first time."""

        def __init__(self, folder: Path) -> None:
            self.lock = locked(folder)
            self.first = not taken
            self.folder = folder

        def __enter__(self) -> None:
            if self.first:
                taken.append(self.folder)
                if how == "before":
                    shutil.rmtree(self.folder)
            self.lock.__enter__()
            if self.first:
                shutil.rmtree(self.folder)

        def __exit__(self, *arguments: Any) -> None:
            self.lock.__exit__(*arguments)

    monkeypatch.setattr(room, "locked", Raced)
    as_pillow(root, load(root))
    assert len(taken) == 1
    assert len(list(cache.iterdir())) == 1


def test_a_folder_that_another_process_goes_on_tidying_is_left_to_it(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes long to remove the folder holds its lock meanwhile: another folder is made."""
    with ExitStack() as tidying:
        tried: list[Path] = []

        def taken(folder: Path) -> AbstractContextManager[None]:
            if folder.name.endswith(".making") and not tried:
                tidying.enter_context(locked(folder))
            tried.append(folder)
            return locked(folder)

        monkeypatch.setattr(room, "locked", taken)
        as_pillow(root, load(root))
        assert len(set(tried)) == 2
    assert len(list(cache.iterdir())) == 1


def test_an_entry_that_another_process_has_made_meanwhile_is_taken(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = room._place
    inodes = []

    def slow(making: Path, folder: Path) -> None:
        shutil.copytree(making, folder)
        inodes.append(folder.stat().st_ino)
        place(making, folder)

    monkeypatch.setattr(room, "_place", slow)
    as_pillow(root, load(root))
    (entry,) = cache.iterdir()
    assert [entry.stat().st_ino] == inodes


def test_an_entry_that_vanishes_at_once_is_told(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_remove_older", lambda folder, about: shutil.rmtree(folder))
    text = message(StoreError, root)
    assert text.startswith(f"The cache {cache}/")
    assert text.endswith(" was changed by another process. Try again.")


# Lists and clearing.


def test_entries_are_listed_the_one_used_last_first(
    tmp_path: Path, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_entries() == []
    assert clear_cache() == 0
    other = pictures(tmp_path / "other", 3)
    load(root)
    load(other, Form(pad=1))
    for entry in cache_entries():
        os.utime(entry.folder, (0, entry.images == 3))
    load(root)  # marks it as used
    (cache / "stray.txt").write_text("stray")
    damaged = cache / ("d" * 32)
    damaged.mkdir()
    (damaged / "index.json").write_text('{"version": 1}')
    found = cache_entries()
    assert [(entry.path, entry.images, entry.shape) for entry in found] == [
        (str(root), 5, (3, 4, 4)),
        (str(other), 3, (3, 6, 6)),
    ]
    for entry, pixels in zip(found, (5 * 48, 3 * 108), strict=True):
        assert entry.size == pixels + (entry.folder / "index.json").stat().st_size
    sizes = sum(path.stat().st_size for path in cache.glob("*/*"))
    assert clear_cache() == sizes
    assert list(cache.iterdir()) == [cache / "stray.txt"]


def test_the_cache_s_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CUTAWAY_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("CUTAWAY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg/cutaway"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache/cutaway"


@pytest.mark.parametrize("name", ["rose", "0" * 32, "0" * 32 + ".1.aa.making", "mine.making"])
def test_what_is_not_its_own_stays(root: Path, cache: Path, name: str) -> None:
    """Whoever sets CUTAWAY_CACHE to a folder of photographs keeps them, whatever they are called."""
    mine = cache / name
    mine.mkdir(parents=True)
    (mine / "holiday.jpg").write_bytes(b"the only copy")
    (cache / "empty").mkdir()
    load(root)
    (root / "0.png").unlink()
    load(root)
    clear_cache()
    assert (cache / "empty").is_dir()
    if name == "0" * 32 + ".1.aa.making":
        return  # nobody but the cache calls a folder so
    assert (mine / "holiday.jpg").read_bytes() == b"the only copy"


def test_another_pillow_looks_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one could not read another can."""
    load(root)
    monkeypatch.setattr("PIL.__version__", "99.0")
    again = load(root)
    assert len(again.names) == 5
    assert len(cache_entries()) == 1  # the older one is gone

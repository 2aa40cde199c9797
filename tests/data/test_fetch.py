"""Fetching: what servers do, what they should not do, and what is left on the disk after each."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cutaway.data import SOURCES, fetch
from cutaway.data.mirrors import DOWNLOADS, Download, RemoteFile
from cutaway.disk import locked
from cutaway.errors import ConfigError, CutawayError, DataError, NotFoundError, StoreError

FIRST = bytes((7 * n + n // 251) % 256 for n in range(300_000))
SECOND = b"labels" * 50
PATIENCE = 0.2


@dataclass
class Behaviour:
    """What a server does with requests.

    Args:
        drop: close the connection after so many bytes of a body.
        stall: fall silent after so many bytes of a body.
        content: what it has instead of the right files.
        ranges: whether it knows of ranges.
        span: what it states as the range of a part, instead of the right one.
        status: answer with this and nothing else, where a range is asked for or always.
        length: what it states as the length.
        part_only: the status is for requests with a range.
    """

    drop: int | None = None
    stall: int | None = None
    content: bytes | None = None
    ranges: bool = True
    span: str | None = None
    status: int | None = None
    part_only: bool = False
    length: int | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """Serves the two files below /MIRROR/, as the behaviour of that mirror says."""

    behaviours: dict[str, Behaviour]
    done: threading.Event

    def do_GET(self) -> None:
        _, mirror, name = self.path.split("/", 2)
        how = self.behaviours[mirror]
        wanted = self.headers.get("Range")
        how.asked.append((name, wanted))
        if how.status and (wanted or not how.part_only):
            self.send_error(how.status)
            return
        content = how.content if how.content is not None else {"first": FIRST, "second": SECOND}[name]
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and how.ranges else 0
        body = content[start:]
        self.send_response(206 if wanted and how.ranges else 200)
        if wanted and how.ranges:
            self.send_header("Content-Range", how.span or f"bytes {start}-{len(content) - 1}/{len(content)}")
        if how.length != -1:
            self.send_header("Content-Length", str(len(body) if how.length is None else how.length))
        self.end_headers()
        cut = how.drop if how.drop is not None else how.stall
        self.wfile.write(body[:cut])
        self.wfile.flush()
        if how.stall is not None:
            self.done.wait(10)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


Serve = Callable[..., list[str]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts mirrors of the given behaviours; their addresses. The dataset is called "tiny"."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    done = threading.Event()
    behaviours: dict[str, Behaviour] = {}
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Bound", (Handler,), {"behaviours": behaviours, "done": done})
    )
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    files = tuple(
        RemoteFile(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in (("first", FIRST), ("second", SECOND))
    )

    def start(*given: Behaviour) -> list[str]:
        addresses = []
        for how in given:
            behaviours[str(len(behaviours))] = how
            addresses.append(f"http://127.0.0.1:{server.server_port}/{len(behaviours) - 1}/")
        monkeypatch.setitem(DOWNLOADS._entries, "tiny", Download("idx", files, tuple(addresses)))
        return addresses

    yield start
    done.set()
    server.shutdown()
    thread.join()
    server.server_close()


def whole(folder: Path) -> bool:
    """Both files are there, right, and nothing else but the lock."""
    names = {path.name for path in folder.iterdir()}
    right = (folder / "first").read_bytes() == FIRST and (folder / "second").read_bytes() == SECOND
    return right and names == {"first", "second", "lock"}


def refused(folder: Path, kind: type[CutawayError] = DataError) -> str:
    with pytest.raises(kind) as caught:
        fetch.fetch("tiny", folder, patience=PATIENCE)
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


def test_the_files_come_with_their_names_and_progress_is_told(serve: Serve, tmp_path: Path) -> None:
    how = Behaviour()
    serve(how)
    told: list[tuple[str, int, int]] = []
    folder = tmp_path / "new" / "folder"
    paths = fetch.fetch("tiny", folder, lambda *step: told.append(step))
    assert paths == [folder / "first", folder / "second"]
    assert whole(folder)
    assert how.asked == [("first", None), ("second", None)]
    for name, content in (("first", FIRST), ("second", SECOND)):
        steps = [held for file, held, size in told if file == name and size == len(content)]
        assert steps[0] == 0
        assert steps[-1] == len(content)
        assert steps == sorted(steps)
    assert len(told) >= 6  # the first file is read in more than one piece


def test_what_is_there_is_left_alone_and_nothing_is_asked(serve: Serve, tmp_path: Path) -> None:
    how = Behaviour()
    serve(how)
    fetch.fetch("tiny", tmp_path)
    before = [(path.name, path.stat().st_mtime_ns, path.stat().st_ino) for path in tmp_path.iterdir()]
    asked = list(how.asked)
    told: list[tuple[str, int, int]] = []
    fetch.fetch("tiny", tmp_path, lambda *step: told.append(step))
    assert how.asked == asked
    assert told == [("first", len(FIRST), len(FIRST)), ("second", len(SECOND), len(SECOND))]
    files = [(path.name, path.stat().st_mtime_ns, path.stat().st_ino) for path in tmp_path.iterdir()]
    assert [entry for entry in files if entry[0] != "lock"] == [e for e in before if e[0] != "lock"]


@pytest.mark.parametrize("other", [b"mine", FIRST[:-1] + b"?", FIRST + b"?"])
def test_a_file_with_other_bytes_is_never_written_to(serve: Serve, tmp_path: Path, other: bytes) -> None:
    how = Behaviour()
    serve(how)
    (tmp_path / "first").write_bytes(other)
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path / 'first'} is there, but is not the file")
    assert "--to DIR" in message
    assert (tmp_path / "first").read_bytes() == other
    assert how.asked == []


def test_a_folder_of_that_name_is_told_too(serve: Serve, tmp_path: Path) -> None:
    serve(Behaviour())
    (tmp_path / "first").mkdir()
    assert "is there, but is not the file" in refused(tmp_path)


def test_a_file_that_appears_meanwhile_is_not_overwritten(serve: Serve, tmp_path: Path) -> None:
    serve(Behaviour())

    def meddle(name: str, held: int, size: int) -> None:
        if held == size and not (tmp_path / "first").exists():
            (tmp_path / "first").write_bytes(b"mine")

    with pytest.raises(DataError, match="is there, but is not the file"):
        fetch.fetch("tiny", tmp_path, meddle)
    assert (tmp_path / "first").read_bytes() == b"mine"


def test_a_dropped_download_goes_on_at_its_byte_with_the_next_mirror(serve: Serve, tmp_path: Path) -> None:
    bad, good = Behaviour(drop=100_000), Behaviour()
    serve(bad, good)
    fetch.fetch("tiny", tmp_path)
    assert whole(tmp_path)
    assert good.asked[0] == ("first", "bytes=100000-")
    # A mirror that failed is no longer the first that is asked for the other files.
    assert bad.asked == [("first", None)]
    assert good.asked[1] == ("second", None)


def test_a_dropped_download_goes_on_in_the_next_call(serve: Serve, tmp_path: Path) -> None:
    how = Behaviour(drop=100_000)
    serve(how)
    message = refused(tmp_path)
    assert "broke off after 100,000 of 300,000 bytes" in message
    assert (tmp_path / "first.part").read_bytes() == FIRST[:100_000]
    refused(tmp_path)
    assert (tmp_path / "first.part").read_bytes() == FIRST[:200_000]
    how.drop = None
    fetch.fetch("tiny", tmp_path)
    assert whole(tmp_path)
    assert [span for name, span in how.asked if name == "first"] == [None, "bytes=100000-", "bytes=200000-"]


def test_a_silent_server_is_given_up_and_what_it_gave_is_kept(serve: Serve, tmp_path: Path) -> None:
    silent, good = Behaviour(stall=150_000), Behaviour()
    serve(silent)
    assert "gave nothing for 0.2 s" in refused(tmp_path)
    assert (tmp_path / "first.part").read_bytes() == FIRST[:150_000]
    serve(silent, good)
    fetch.fetch("tiny", tmp_path, patience=PATIENCE)
    assert whole(tmp_path)


def test_a_server_that_knows_no_ranges_begins_from_zero(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "first.part").write_bytes(FIRST[:1000])
    how = Behaviour(ranges=False)
    serve(how)
    told: list[tuple[str, int, int]] = []
    fetch.fetch("tiny", tmp_path, lambda *step: told.append(step))
    assert whole(tmp_path)
    assert how.asked == [("first", "bytes=1000-"), ("second", None)]
    assert told[0] == ("first", 0, len(FIRST))


@pytest.mark.parametrize(
    "span",
    [
        "bytes 0-299999/300000",
        "bytes 1001-299999/300000",
        "bytes 1000-299999/300001",
        "bytes 1000-1999/300000",
        "rows 1000-299999/300000",
        "nonsense",
    ],
)
def test_a_part_that_was_not_asked_for_is_not_taken(serve: Serve, tmp_path: Path, span: str) -> None:
    (tmp_path / "first.part").write_bytes(FIRST[:1000])
    serve(Behaviour(span=span))
    assert "answered with another part" in refused(tmp_path)
    assert (tmp_path / "first.part").read_bytes() == FIRST[:1000]


def test_a_part_of_a_whole_that_is_not_stated_is_taken(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "first.part").write_bytes(FIRST[:1000])
    serve(Behaviour(span="bytes 1000-299999/*"))
    fetch.fetch("tiny", tmp_path)
    assert whole(tmp_path)


def test_a_refused_range_is_asked_for_whole(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "first.part").write_bytes(FIRST[:1000])
    how = Behaviour(status=416, part_only=True)
    serve(how)
    fetch.fetch("tiny", tmp_path)
    assert whole(tmp_path)
    assert how.asked[:2] == [("first", "bytes=1000-"), ("first", None)]


@pytest.mark.parametrize("status", [403, 404, 416, 500, 503])
def test_an_error_of_the_server_leads_to_the_next_mirror(serve: Serve, tmp_path: Path, status: int) -> None:
    (tmp_path / "first.part").write_bytes(FIRST[:1000])
    bad = Behaviour(status=status)
    serve(bad)
    assert f"answered {status}" in refused(tmp_path)
    assert (tmp_path / "first.part").read_bytes() == FIRST[:1000]
    good = Behaviour()
    serve(bad, good)
    fetch.fetch("tiny", tmp_path)
    assert whole(tmp_path)
    assert good.asked[0] == ("first", "bytes=1000-")


def test_wrong_bytes_of_the_right_length_are_thrown_away(serve: Serve, tmp_path: Path) -> None:
    wrong, good = Behaviour(content=FIRST[:-1] + b"?"), Behaviour()
    serve(wrong)
    assert "has other bytes (wrong SHA-256)" in refused(tmp_path)
    assert not (tmp_path / "first.part").exists()
    assert not (tmp_path / "first").exists()
    serve(wrong, good)
    fetch.fetch("tiny", tmp_path)
    assert whole(tmp_path)
    assert good.asked[0] == ("first", None)


@pytest.mark.parametrize("start", [b"?" * 1000, b"?" * len(FIRST), FIRST + b"?"])
def test_a_wrong_beginning_is_not_blamed_on_the_mirror(serve: Serve, tmp_path: Path, start: bytes) -> None:
    (tmp_path / "first.part").write_bytes(start)
    how = Behaviour()
    serve(how)
    fetch.fetch("tiny", tmp_path)
    assert whole(tmp_path)
    assert ("first", None) in how.asked


def test_a_whole_part_needs_no_server(serve: Serve, tmp_path: Path) -> None:
    """A process was killed after the last byte and before the rename."""
    (tmp_path / "first.part").write_bytes(FIRST)
    how = Behaviour()
    serve(how)
    fetch.fetch("tiny", tmp_path)
    assert whole(tmp_path)
    assert how.asked == [("second", None)]


def test_a_page_of_another_length_does_no_harm_to_what_is_here(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "first.part").write_bytes(FIRST[:1000])
    serve(Behaviour(content=b"<html>Log in", ranges=False))
    assert "has another file (12 bytes, not 300000)" in refused(tmp_path)
    assert (tmp_path / "first.part").read_bytes() == FIRST[:1000]


def test_a_length_that_is_not_stated_or_is_too_large_ends_nothing(serve: Serve, tmp_path: Path) -> None:
    """The known size ends a download: more is not waited for, less is not taken for the whole."""
    (tmp_path / "first.part").write_bytes(FIRST[:1000])
    (tmp_path / "second.part").write_bytes(SECOND[:10])
    serve(Behaviour(length=-1))
    fetch.fetch("tiny", tmp_path, patience=PATIENCE)
    assert whole(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    (tmp_path / "first.part").write_bytes(FIRST[:1000])
    (tmp_path / "second.part").write_bytes(SECOND[:10])
    serve(Behaviour(length=10_000_000))
    fetch.fetch("tiny", tmp_path, patience=PATIENCE)
    assert whole(tmp_path)


def test_what_comes_after_the_last_byte_is_not_read(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "second").write_bytes(SECOND)
    serve(Behaviour(content=FIRST + b"more", length=-1))
    fetch.fetch("tiny", tmp_path)
    assert whole(tmp_path)


def test_a_length_that_is_too_small_is_not_the_end(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "first.part").write_bytes(FIRST[:1000])
    serve(Behaviour(length=500))
    assert "broke off after 1,500 of 300,000 bytes" in refused(tmp_path)
    assert (tmp_path / "first.part").read_bytes() == FIRST[:1500]


def test_when_all_fail_each_reason_is_named_and_what_to_do(serve: Serve, tmp_path: Path) -> None:
    addresses = serve(Behaviour(status=404), Behaviour(drop=10))
    with pytest.raises(DataError) as caught:
        closed = "http://127.0.0.1:1/"
        fetch.fetch("tiny", tmp_path, None, [*addresses, closed, "http://nowhere.invalid/"])
    first, second = str(caught.value).splitlines()
    host = addresses[0].split("/")[2]
    assert first == (
        f"first could not be fetched: {host} answered 404; {host} broke off after 10 of 300,000 bytes; "
        "127.0.0.1:1 is out of reach (connection refused); nowhere.invalid is not known."
    )
    assert second == (
        f"Check the network and run the command again, which continues, or put the file into {tmp_path}."
    )


def test_a_server_that_speaks_no_http(tmp_path: Path, serve: Serve) -> None:
    import socket

    serve(Behaviour())
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(DataError, match="answered with nonsense"):
            fetch.fetch("tiny", tmp_path, mirrors=[address])
        thread.join()


@pytest.mark.parametrize("mirror", ["file:///etc/", "ftp://a/", "data/", ""])
def test_only_the_web_is_read(serve: Serve, tmp_path: Path, mirror: str) -> None:
    serve(Behaviour())
    with pytest.raises(ConfigError, match="is no mirror"):
        fetch.fetch("tiny", tmp_path, mirrors=[mirror])
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match='no dataset to fetch "cifar11"\\. Did you mean "cifar10"'):
        fetch.fetch("cifar11", tmp_path)


FETCH = """
import sys
from pathlib import Path
from cutaway.data import fetch, mirrors
mirrors.DOWNLOADS.add("tiny")(mirrors.Download("idx", (mirrors.RemoteFile("first", {size}, "{sum}"),), ()))
def tell(name, held, size):
    if held:
        print(held, flush=True)
fetch.fetch("tiny", Path(sys.argv[1]), tell, [sys.argv[2]])
"""


def test_a_killed_process_lets_go_and_is_continued(serve: Serve, tmp_path: Path) -> None:
    held = 120_000
    (address,) = serve(Behaviour(stall=held))
    program = FETCH.format(size=len(FIRST), sum=hashlib.sha256(FIRST).hexdigest())
    command = [sys.executable, "-c", program, str(tmp_path), address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(int(line) == held for line in process.stdout)
        message = refused(tmp_path, StoreError)
        assert message == f"Another process fetches into {tmp_path}. Wait for it or stop it."
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "first.part").read_bytes() == FIRST[:held]
    good = Behaviour()
    serve(good)
    fetch.fetch("tiny", tmp_path)
    assert whole(tmp_path)
    assert good.asked[0] == ("first", f"bytes={held}-")


def test_the_folder_is_let_go_of_afterwards(serve: Serve, tmp_path: Path) -> None:
    serve(Behaviour(status=500))
    refused(tmp_path)
    with locked(tmp_path):
        pass


def test_a_full_disk_is_told_and_what_was_there_is_kept(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Behaviour(), Behaviour()
    serve(first, second)
    (tmp_path / "first.part").write_bytes(FIRST[:1000])

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    message = refused(tmp_path, StoreError)
    assert message.startswith(f"The disk of {tmp_path / 'first.part'} is full.")
    assert (tmp_path / "first.part").exists()
    assert second.asked == []  # another mirror makes no room


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_disk_that_is_full_from_the_beginning(serve: Serve, tmp_path: Path) -> None:
    serve(Behaviour())
    (tmp_path / "first.part").symlink_to("/dev/full")
    assert "is full" in refused(tmp_path, StoreError)


def test_a_folder_that_can_t_be_made(serve: Serve, tmp_path: Path) -> None:
    serve(Behaviour())
    (tmp_path / "file").write_bytes(b"")
    assert "--to DIR" in refused(tmp_path / "file" / "folder", StoreError)
    (tmp_path / "first.part").mkdir()
    (tmp_path / "first.part" / "x").mkdir()
    assert "first.part can't be written" in refused(tmp_path, StoreError)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100"])
def test_the_table_is_complete(name: str) -> None:
    download = DOWNLOADS[name]
    assert download.source in SOURCES
    assert len(download.mirrors) >= 3
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in download.mirrors)
    assert download.mirrors[0].startswith("https://")
    assert len({file.sha256 for file in download.files}) == len(download.files)
    for file in download.files:
        assert len(file.sha256) == 64
        assert set(file.sha256) <= set("0123456789abcdef")
        assert file.name.endswith(".gz")
    # Known from elsewhere: what all the files of each weigh together, in bytes.
    totals = {
        "mnist": 11_594_722,
        "fashion-mnist": 30_878_645,
        "cifar10": 170_052_171,
        "cifar100": 168_513_733,
    }
    assert download.size == totals[name]

"""``cutaway data fetch``, from a server in this process."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import os
import pty
import re
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cutaway.data.mirrors import DOWNLOADS, Download, RemoteFile

Command = Callable[..., tuple[int, str, str]]

FILES = {
    f"{prefix}-{kind}": gzip.compress(struct.pack(">BBBB", 0, 0, 8, len(sizes)) + head + body, mtime=0)
    for prefix in ("train", "t10k")
    for kind, sizes in (("images-idx3-ubyte.gz", (4, 5, 6)), ("labels-idx1-ubyte.gz", (4,)))
    for head in [struct.pack(f">{len(sizes)}I", *sizes)]
    for body in [bytes(n % 2 for n in range(120 if len(sizes) == 3 else 4))]
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with the files of the dataset "tiny", and a working folder of our own."""
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "served").mkdir()
    for name, content in FILES.items():
        (tmp_path / "served" / name).write_bytes(content)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found = f"http://127.0.0.1:{server.server_port}/"
    files = tuple(
        RemoteFile(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in FILES.items()
    )
    monkeypatch.setitem(DOWNLOADS._entries, "tiny", Download("idx", files, (found,)))
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_files_come_and_the_next_line_is_told(cutaway: Command, address: str) -> None:
    code, out, err = cutaway("data", "fetch", "tiny")
    assert (code, err) == (0, "")
    for name, content in FILES.items():
        assert Path("data/tiny", name).read_bytes() == content
        assert f"data/tiny/{name}  {len(content)} bytes\n" in out
    use = "cutaway train EXP --data.source idx --data.path data/tiny"
    assert out.splitlines()[-1] == f"Train with it: {use}"


def test_the_next_line_reads_what_came(cutaway: Command, address: str, tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    _, out, _ = cutaway("data", "fetch", "tiny", "--to", folder)
    assert out.rstrip().endswith(f"--data.source idx --data.path '{folder}'")
    code, out, _ = cutaway("data", "show", "idx", "--path", folder, "--json")
    assert code == 0
    assert json.loads(out)["splits"]["test"]["counts"] == [2, 2]


def test_as_json(cutaway: Command, address: str) -> None:
    code, out, err = cutaway("data", "fetch", "tiny", "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert facts == {
        "dataset": "tiny",
        "source": "idx",
        "folder": "data/tiny",
        "files": [{"file": f"data/tiny/{name}", "bytes": len(content)} for name, content in FILES.items()],
        "use": "cutaway train EXP --data.source idx --data.path data/tiny",
    }


def test_a_second_time_is_the_same_and_harms_nothing(cutaway: Command, address: str) -> None:
    first = cutaway("data", "fetch", "tiny")
    assert cutaway("data", "fetch", "tiny") == first


def test_what_can_not_be_fetched_is_told(cutaway: Command, address: str, tmp_path: Path) -> None:
    code, out, err = cutaway("data", "fetch", "cifar11")
    assert (code, out) == (3, "")
    assert 'Did you mean "cifar10"?' in err
    Path("data/tiny").mkdir(parents=True)
    Path("data/tiny/t10k-labels-idx1-ubyte.gz").write_bytes(b"mine")
    code, out, err = cutaway("data", "fetch", "tiny")
    assert (code, out) == (1, "")
    assert "--to DIR" in err
    assert err.count("\n") <= 2
    (tmp_path / "served" / "train-images-idx3-ubyte.gz").unlink()
    code, out, err = cutaway("data", "fetch", "tiny", "--to", "elsewhere")
    assert (code, out) == (1, "")
    assert "answered 404" in err
    assert err.endswith("into elsewhere.\n")


PROGRAM = """
import sys
from cutaway.cli.app import main
from cutaway.data.mirrors import DOWNLOADS, Download, RemoteFile
files = tuple(RemoteFile(name, size, digest) for name, size, digest in {files!r})
DOWNLOADS.add("tiny")(Download("idx", files, ({address!r},)))
sys.exit(main(["data", "fetch", "tiny"]))
"""


def everything(handle: int) -> str:
    """What was written to a terminal whose other end is closed."""
    parts = []
    while True:
        try:
            parts.append(os.read(handle, 65536))
        except OSError:  # how Linux says that the other end was closed
            break
        if not parts[-1]:
            break
    os.close(handle)
    return b"".join(parts).decode()


def test_a_terminal_sees_a_bar_and_keeps_the_result_only(address: str, tmp_path: Path) -> None:
    files = [(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in FILES.items()]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(files=files, address=address)],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment,
        text=True,
    ) as process:
        os.close(theirs)
        out, _ = process.communicate()
        assert process.returncode == 0
    told = everything(ours)
    assert out.splitlines()[-1].startswith("Train with it: ")
    assert "\x1b" not in out
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", told)
    total = sum(len(content) for content in FILES.values())
    assert f"{total}/{total} bytes" in plain
    assert "\x1b[2K" in told[told.rindex("bytes") :]  # the bar is wiped away


def test_asking_how_needs_no_torch() -> None:
    program = (
        "import sys\n"
        "from cutaway.cli.app import main\n"
        "assert main(['data', 'fetch', '--help']) == 0\n"
        "import cutaway.cli.fetch\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "fashion-mnist" in done.stdout

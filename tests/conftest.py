"""What all tests share: a small experiment, trained once, and its store."""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from cutaway.cli.app import main
from cutaway.config import Experiment, load_experiment
from cutaway.store import Run, Store, train

SMALL_NET = """
conv 4 5x5
maxpool 2
relu
conv 6 3x3
relu
maxpool 2
dropout 0.1
flatten
dense 10
"""


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    """The same number of threads on every machine, so that numbers agree between them."""
    torch.set_num_threads(2)


@pytest.fixture(scope="session", autouse=True)
def _open_to_interrupts() -> None:
    """Ctrl-C as in the foreground: a shell makes what it starts in the background deaf to it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave the user's cache of decoded images alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUTAWAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _digits_once() -> Iterator[None]:
    """The embedded MNIST is unpacked and summed once for all tests: that takes a third of a second."""
    from cutaway.data.sources import idx, mnist

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "check_sums", functools.cache(mnist.check_sums))
        patch.setattr(mnist, "load_idx_folder", functools.cache(idx.load_idx_folder))
        yield


@pytest.fixture(scope="session")
def small() -> Experiment:
    """Two short epochs of a small net with 1 000 digits: under a second of training."""
    return load_experiment(
        Experiment(),
        {
            "name": "small",
            "net": SMALL_NET,
            "data": {"train_images": 1000, "validation": 500},
            "train": {"epochs": 2, "batch": 50, "lr": 0.1},
        },
    )


@pytest.fixture(scope="session")
def trained(small: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The small experiment, trained. Tests must leave it as it is."""
    return train(small, store=Store(tmp_path_factory.mktemp("trained")))


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Image files are decoded by threads: a process takes a third of a second to start."""
    from cutaway.pictures import crew, worker

    class Thread(threading.Thread):
        """A worker of this process, with pipes as another process has."""

        def __init__(self) -> None:
            jobs, source = os.pipe()
            answers, replies = os.pipe()
            self.source, self.answers = os.fdopen(source, "wb"), os.fdopen(answers, "rb")
            self.pipes = os.fdopen(jobs, "rb"), os.fdopen(replies, "wb")
            super().__init__()

        def run(self) -> None:
            with self.pipes[0] as jobs, self.pipes[1] as replies:
                worker.serve(jobs, replies)

        def kill(self) -> None:
            self.source.close()

        wait = threading.Thread.join

    def started() -> Any:
        thread = Thread()
        thread.start()
        return crew._Worker(thread, thread.source, thread.answers)  # type: ignore[arg-type]

    monkeypatch.setattr(crew._Worker, "started", started)


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cutaway(capsys: pytest.CaptureFixture[str]) -> Command:
    """A command line in this process: its exit code, stdout and stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        tokens: Sequence[str] = [str(argument) for argument in arguments]
        code = main(tokens)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run

"""A stand-in for a Dask client: one worker, which is this very thread."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cutaway.config import DataConfig
from cutaway.data import Images, load_images
from cutaway.study.trials.worker import Assignment


class InlineClient:
    """Does what it is given at once.

    Args:
        spoil: called with each assignment before it is carried out; may raise, or give another one.
    """

    def __init__(self, spoil: Callable[[Assignment], Assignment] = lambda assignment: assignment) -> None:
        self._spoil = spoil
        self._handlers: dict[str, Callable[[Any], None]] = {}
        self.assignments: list[Assignment] = []

    def run(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        return {"inline": function(*arguments)}

    def nthreads(self) -> dict[str, int]:
        return {"inline": 1}

    def scheduler_info(self, n_workers: int = 5) -> dict[str, Any]:
        return {"workers": {"inline": {"resources": {}}}}

    def subscribe_topic(self, topic: str, handler: Callable[[Any], None]) -> None:
        self._handlers[topic] = handler

    def unsubscribe_topic(self, topic: str) -> None:
        del self._handlers[topic]

    def log_event(self, topic: str, message: Any) -> None:
        self._handlers[topic]((0.0, {**message, "worker": "inline"}))

    def submit(self, function: Callable[..., Any], assignment: Assignment, *rest: Any, **named: Any) -> Any:
        del named
        found: Future[Any] = Future()
        self.assignments.append(assignment)
        try:
            found.set_result(function(self._spoil(assignment), *rest))
        except Exception as error:  # noqa: BLE001  a worker's error travels with its future
            found.set_exception(error)
        return found


@contextmanager
def conducted(monkeypatch: pytest.MonkeyPatch, client: InlineClient) -> Iterator[InlineClient]:
    """Inside, studies run on the client."""

    @contextmanager
    def workers(scheduler: str, count: int) -> Iterator[InlineClient]:
        yield client

    with monkeypatch.context() as patch:
        patch.setattr("cutaway.study.session.dask_workers", workers)
        worker = SimpleNamespace(log_event=client.log_event)
        patch.setattr("cutaway.study.trials.conduct.get_worker", lambda: worker)
        yield client


@functools.cache
def few_images(config: DataConfig) -> Images:
    """Images of which each split has at most 300: MNIST's own test split is large."""
    found = load_images(config)
    short = {name: split.take(torch.arange(min(300, len(split)))) for name, split in found.splits.items()}
    return Images(found.classes, short, found.skipped)

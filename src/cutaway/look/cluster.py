"""A survey in parts, by the workers of a Dask cluster."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from typing import Any

import cloudpickle
import dask
import torch
from distributed import Client, KilledWorker

from cutaway.data import Split
from cutaway.errors import LostProcessError, NotFoundError
from cutaway.look.survey import Gathered, Survey, merge
from cutaway.progress import tracked

_CHUNKS = 8
"""Chunks in a part: enough that sending what was kept costs little, few enough to share out evenly."""

_WAIT = 10
"""Seconds to wait for a scheduler."""


def run_on_cluster(scheduler: str, survey: Survey) -> Gathered:
    """What the looks of a survey keep, gathered by workers.

    Cutaway, and the code of the model, have to be installed where they are. Each part's pixels travel to a
    worker, the model once to all. Parts begin where chunks do and are merged in the order of their images,
    so the answer is that of one process, but for the rounding of sums. A part whose worker is lost is done
    again by another. Dask sends Python objects both ways: use clusters that you trust.

    Args:
        scheduler: its address.
        survey: ready to be carried out.

    Raises:
        NotFoundError: nobody answers at that address, or there are no workers.
        LostProcessError: one part has ended several workers, as one that runs out of memory does.
    """
    try:
        client = Client(scheduler, timeout=_WAIT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"There is no Dask scheduler at {scheduler} ({error}). Start one with `dask scheduler`, and "
            "workers with `dask worker ADDRESS --nthreads 1`."
        ) from error
    # Pixels travel with their task, so that a task whose worker is lost can be done by another; Dask
    # would warn of that beyond 10 MB.
    with client, dask.config.set({"distributed.admin.large-graph-warning-threshold": "4GiB"}):
        threads = sum(client.nthreads().values())
        if not threads:
            raise NotFoundError(
                f"The scheduler at {scheduler} has no workers. Start some: "
                f"dask worker {scheduler} --nthreads 1"
            )
        try:
            return _gather(client, threads, survey)
        except KilledWorker as error:
            raise LostProcessError(
                f"Workers at {scheduler} end while they survey: {error.last_worker.address} was the last. "
                "Look at its log; a worker with more memory may do."
            ) from error


def _gather(client: Any, threads: int, survey: Survey) -> Gathered:
    """The parts' gatherings, merged; a few parts for each worker are under way at a time."""
    split = survey.surveyed.split
    # As bytes, so that workers which are threads of one process don't share the model's hooks.
    plain = client.scatter(cloudpickle.dumps(_without_images(survey)), broadcast=True, hash=False)
    parts = _parts(len(split), survey.chunk * _CHUNKS)
    under_way: deque[tuple[range, Any]] = deque()
    whole: Gathered = []
    with tracked("Surveying", len(split), "images") as add:
        while True:
            while len(under_way) < 2 * threads and (numbers := next(parts, None)) is not None:
                images = _images(split, numbers)
                under_way.append((numbers, client.submit(_run, plain, numbers, images, pure=False)))
            if not under_way:
                break
            numbers, future = under_way.popleft()
            kept = future.result()
            if whole:
                merge(whole, kept)
            else:
                whole = kept
            add(len(numbers))
    return whole


def _parts(images: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, images)) for start in range(0, images, size))


def _images(split: Split, numbers: range) -> Split:
    """Some images as a split of their own, which takes no others along when it travels."""
    chosen = torch.arange(numbers.start, numbers.stop, device=split.index.device)
    return Split(split.batch(chosen).cpu(), split.labels[chosen].cpu(), torch.arange(len(numbers)))


def _without_images(survey: Survey) -> Survey:
    split = survey.surveyed.split
    none = Split(split.store[:0].clone(), split.labels[:0].clone(), split.index[:0].clone())
    return dataclasses.replace(survey, surveyed=dataclasses.replace(survey.surveyed, split=none))


def _run(survey: bytes, numbers: range, images: Split) -> Gathered:
    """A part of a survey, on a worker."""
    loaded: Survey = cloudpickle.loads(survey)
    return loaded.run(numbers, images)

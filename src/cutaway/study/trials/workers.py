"""The workers that trials run on: processes of this machine, or any Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster

from cutaway.errors import ConfigError, LostProcessError, NotFoundError
from cutaway.machine import available_cores
from cutaway.study.identity import program
from cutaway.study.trials.worker import check_program

_WAIT = 10
"""Seconds to wait for a scheduler."""


@contextmanager
def workers(scheduler: str = "", count: int = 0) -> Iterator[Any]:
    """A Dask client whose workers compute with the same program as this process.

    Args:
        scheduler: the address of a cluster; empty for processes of this machine, one thread each.
        count: how many of these; 0 for as many as there are cores.

    Raises:
        NotFoundError: nobody answers at that address, or there are no workers.
        ConfigError: a worker has another Cutaway, PyTorch or Python.
        LostProcessError: the connection to the scheduler broke off.
    """
    if count < 0:
        raise ConfigError(f"workers should be 0 (as many as there are cores) or more, not {count}.")
    # A trial's checkpoint may travel with its task where worker and study share no disk.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "4GiB"}):
        if scheduler:
            with _connected(scheduler) as client:
                yield client
            return
        with (
            # Mapped images count as a worker's memory to Dask, which would pause it: no limit.
            LocalCluster(
                n_workers=count or available_cores(),
                threads_per_worker=1,
                processes=True,
                memory_limit=0,
                dashboard_address="127.0.0.1:0",  # of two studies at once each takes a free port
                silence_logs=logging.CRITICAL,
                preload="cutaway.study.trials.deaf",
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client


@contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    try:
        client = Client(scheduler, timeout=_WAIT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"There is no Dask scheduler at {scheduler} ({error}). Start one with `dask scheduler`, and "
            f"workers with `dask worker ADDRESS --nthreads 1`."
        ) from error
    with client:
        if not client.nthreads():
            raise NotFoundError(
                f"The scheduler at {scheduler} has no workers. Start some: "
                f"dask worker {scheduler} --nthreads 1"
            )
        _check(client)
        yield client


def _check(client: Any) -> None:
    """Every worker has the study's own program."""
    try:
        found = client.run(program)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"A worker has no Cutaway, or another one ({error}). Install the same version on all workers."
        ) from error
    except OSError as error:
        raise LostProcessError(f"A worker is gone ({error}). Look at its log; start it again.") from error
    for address, theirs in found.items():
        check_program(program(), theirs, f"The worker {address}")


def thread_count(client: Any) -> int:
    """How many trials run at a time."""
    return max(1, sum(map(int, client.nthreads().values())))


def gpu_resources(client: Any, device: str) -> dict[str, float]:
    """What a trial asks of its worker: a GPU, where workers have said that they have some.

    Start them with ``dask worker ADDRESS --nthreads 1 --resources GPU=1``.
    """
    known = client.scheduler_info(n_workers=-1)["workers"].values()
    has_some = any(worker.get("resources", {}).get("GPU") for worker in known)
    return {"GPU": 1} if has_some and device != "cpu" else {}

"""Processes that train one net together, as ``torchrun`` starts them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from cutaway.errors import LostProcessError


@dataclass(frozen=True)
class Team:
    """Who trains along. One process by itself is a team too, in which nothing is exchanged.

    Args:
        rank: this process's number, from 0. Number 0 alone writes and tells.
        size: how many processes there are.
        local_rank: its number among those of its machine.
        local_size: how many there are on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def own(self, count: int) -> slice:
        """This process's share of ``count`` things in a row."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes; the argument itself where there is one."""
        if self.size == 1:
            return values
        values = values.clone()
        dist.all_reduce(values)
        return values

    def any(self, *wishes: bool) -> list[bool]:
        """For each wish whether any process has it, so that all decide alike."""
        if self.size == 1:
            return list(wishes)
        # On the CPU, so that no process waits for its GPU.
        return [count > 0 for count in self.total(torch.tensor([int(wish) for wish in wishes])).tolist()]

    def wait(self) -> None:
        """Until all processes are here."""
        self.any(False)

    def share(self, text: str, length: int) -> str:
        """The first process's text, of up to ``length`` bytes, in all of them."""
        if self.size == 1:
            return text
        content = torch.zeros(length, dtype=torch.uint8)
        if self.leads:
            encoded = text.encode()
            content[: len(encoded)] = torch.tensor(list(encoded), dtype=torch.uint8)
        return bytes(self.total(content).tolist()).rstrip(b"\0").decode()


ALONE = Team()


@contextmanager
def assembled() -> Iterator[Team]:
    """Inside, this process is connected with the others that ``torchrun`` started; mostly there are none.

    Raises:
        LostProcessError: another process is gone.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "MASTER_ADDR" not in os.environ:
        yield ALONE
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        torch.cuda.set_device(local % torch.cuda.device_count())
    # What lies on the CPU goes by gloo, what lies on a GPU by NCCL.
    with losses():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    team = Team(int(os.environ["RANK"]), size, local, int(os.environ.get("LOCAL_WORLD_SIZE", str(size))))
    try:
        with losses():
            yield team
    finally:
        dist.destroy_process_group()


@contextmanager
def last_words(team: Team) -> Iterator[None]:
    """Inside, and after another process was lost, SIGTERM does not end this one.

    ``torchrun`` sends it to all whose companion is gone, mostly between the training's end and its
    message, and nobody would know how to go on. A training inside listens to it all the same.
    """
    if team.size == 1 or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    except LostProcessError:
        raise
    except BaseException:
        signal.signal(signal.SIGTERM, before)
        raise
    signal.signal(signal.SIGTERM, before)


@contextmanager
def losses() -> Iterator[None]:
    """Turns the many words for a connection that broke off into one.

    Raises:
        LostProcessError: another process is gone.
    """
    try:
        yield
    except RuntimeError as error:
        # PyTorch has no kind of its own for what gloo says.
        if isinstance(error, dist.DistError) or any(word in str(error) for word in ("gloo", "NCCL")):
            raise LostProcessError(
                "Another process of this training is gone, so it can't go on; see above for what it said."
            ) from error
        raise

"""The gradient of a batch: however it is cut, and whoever computes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cutaway.config import derive
from cutaway.data import Varied
from cutaway.nets.builder import Net
from cutaway.nets.dropout import rows_of_batch
from cutaway.nets.order import faster_order, run
from cutaway.nets.views import Views
from cutaway.training.batches import parts
from cutaway.training.divergence import find_cause
from cutaway.training.objective import objectives
from cutaway.training.precision import Precision
from cutaway.training.room import Room
from cutaway.training.synced import synchronise
from cutaway.training.task import Task
from cutaway.training.team import Team


@dataclass(frozen=True)
class Descent:
    """What a batch's gradient was of.

    Args:
        objective: the batch's mean, a scalar, with smoothing and blending.
        plain: ``(n,)`` objectives of this process's images, without them.
        logits: ``(n, K)``, float32.
        labels: ``(n,)``.
    """

    objective: Tensor
    plain: Tensor
    logits: Tensor
    labels: Tensor


class Gradient:
    """Adds the gradient of a batch's mean objective to the weights' gradients.

    A batch that does not fit goes through in micro-batches, and of several processes each takes its
    share; the sum is the same.

    Args:
        net: on its device; its batch norms are replaced where processes share a batch.
        task: preprocessing and recipe.
        room: the largest micro-batch.
        precision: what a step's products are computed in.
        team: who trains along.
    """

    def __init__(self, net: Net, task: Task, room: Room, precision: Precision, team: Team) -> None:
        self._task = task
        self._recipe = task.experiment.train
        self._room = room
        self._precision = precision
        self._team = team
        if team.size > 1 and not self._recipe.split_batchnorm:
            synchronise(net)
        self._net = net
        self._forward = _Forward(net)
        self._apply: nn.Module = self._forward
        self._learning: list[bool] = []

    def prepare(self) -> None:
        """Take note of which weights learn: once in an epoch, after freezing."""
        learning = [parameter.requires_grad for parameter in self._net.parameters()]
        if self._team.size > 1 and learning != self._learning:
            # What is frozen gives no gradient that the others could wait for. Statistics of batch norm are
            # alike already, or else the first process's count.
            self._apply = DistributedDataParallel(
                self._forward, broadcast_buffers=self._recipe.split_batchnorm
            )
        self._learning = learning

    def logits(self, inputs: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, K)``, float32, as images are scored."""
        return Views(self._recipe.mirror, self._recipe.shifted).mean(self._forward, inputs)

    def descend(self, batch: Varied) -> Descent:
        """One batch; the global random state stands where the step begins."""
        images = len(batch.labels)
        share = self._team.own(images)
        cut = list(self._parts(share))
        found = []
        for part in cut:
            with self._quiet(last=part is cut[-1]), self._precision.step():
                found.append(self._descend(batch, part, images))
        objective = torch.stack([result[0] for result in found]).sum()
        return Descent(
            self._team.total(objective),
            torch.cat([result[1] for result in found]),
            torch.cat([result[2] for result in found]),
            batch.labels[share],
        )

    def _descend(self, batch: Varied, part: slice, images: int) -> tuple[Tensor, Tensor, Tensor]:
        """A micro-batch's share of the batch's objective; its images' plain objectives, and logits."""
        with rows_of_batch(part, images), self._precision.layers():
            logits = self._apply(self._task.preprocess(batch.pixels[part]))
        plain, objective = objectives(logits, batch, part, self._recipe.label_smoothing)
        share = objective * (len(plain) / images) if len(plain) < images else objective
        # Processes' gradients are averaged, but these are shares, to be summed.
        (share * self._team.size if self._team.size > 1 else share).backward()
        return share.detach(), plain.detach(), logits.detach()

    def _parts(self, share: slice) -> Iterator[slice]:
        """Some of a batch's images as micro-batches that fit in memory, about equal; mostly one."""
        for begin, end in parts(share.stop - share.start, self._recipe.batch, self._room.microbatch):
            yield slice(share.start + begin, share.start + end)

    def _quiet(self, *, last: bool) -> AbstractContextManager[object]:
        """Gradients go round once, behind the last micro-batch."""
        if last or not isinstance(self._apply, DistributedDataParallel):
            return nullcontext()
        return self._apply.no_sync()

    def find_cause(self, batch: Varied, seed: int) -> str:
        """What made a batch's objective or gradient other than finite, with the step's own dropout."""
        images = len(batch.labels)
        for part in self._parts(slice(0, images)):
            torch.manual_seed(seed)
            with rows_of_batch(part, images), self._precision.step(), self._precision.layers():
                inputs = self._task.preprocess(batch.pixels[part])
                cause = find_cause(self._net, inputs, partial(self._objective, batch, part))
            if cause != "the gradient":
                return cause
        return "the gradient"

    def _objective(self, batch: Varied, part: slice, logits: Tensor) -> Tensor:
        return objectives(logits.float(), batch, part, self._recipe.label_smoothing)[1]


class _Forward(nn.Module):
    """A net in the order in which it is computed, as a module.

    Args:
        net: whose weights are computed with.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        self._steps = faster_order(net)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, K)``, float32."""
        return run(self._steps, inputs).float()


def step_seed(task: Task, done: int) -> int:
    """The seed of a step's dropout."""
    return derive(task.experiment.seed, "step", done)

"""The loop: batches in, weights moved, events out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from cutaway.config import ScheduleKind, derive
from cutaway.data import Split, Varied
from cutaway.nets.builder import Net
from cutaway.nets.layout import channels_last
from cutaway.nets.randomness import seeded
from cutaway.training import events
from cutaway.training.allocator import freed_memory
from cutaway.training.averaging import Average
from cutaway.training.batches import batch_bounds, check_shares
from cutaway.training.checkpoint import Checkpoint, Position, collect, restore
from cutaway.training.clock import Clock
from cutaway.training.determinism import same_each_time
from cutaway.training.device import choose_device, threads
from cutaway.training.divergence import is_finite, largest_weight
from cutaway.training.dynamics import Dynamics
from cutaway.training.freezing import Freezing
from cutaway.training.gradient import Gradient, step_seed
from cutaway.training.optimiser import learning_rate, make_optimiser, set_rate
from cutaway.training.precision import Precision, full_products
from cutaway.training.pretraining import Pretraining
from cutaway.training.room import Room, find_room
from cutaway.training.score import Score, Tally, count
from cutaway.training.task import Task
from cutaway.training.team import ALONE, Team, losses

CUDA_CHECK_STEPS = 16
"""On a GPU the loop looks for values that are not finite this often: each look waits for the device."""


def train(
    task: Task,
    observers: Sequence[events.Observer] = (),
    stop: Callable[[], bool] = lambda: False,
    checkpoint: Checkpoint | None = None,
    team: Team = ALONE,
    *,
    spent: float = 0.0,
) -> Net:
    """Train a task's net and tell the observers.

    The same task gives the same weights, bit for bit, whether or not it was stopped and continued
    from a checkpoint on the way, on the same device, thread count and version of PyTorch. The
    global random state, thread count and memory settings are as before afterwards.

    Args:
        task: what to train on what.
        observers: called with every event, in order.
        stop: asked at every step.
        checkpoint: where to continue.
        team: the processes that train along, each with the same task.
        spent: seconds of its time limit that are gone.

    Returns:
        the net with its last weights, or their mean where it is taken, in evaluation mode.

    Raises:
        ConfigError: the device is not there, or can't compute as precisely or as repeatably as asked.
        StoreError: the checkpoint is another net's.
        LostProcessError: a process of the team is gone.
    """
    recipe = task.experiment.train
    device = choose_device(recipe.device, team.local_rank)
    room = task.room or find_room(recipe, task.plan, device, task.images.pixel_bytes)
    with (
        losses(),
        threads(recipe.threads, team.local_size),
        freed_memory(kept=room.roomy),
        seeded(0),
        full_products(device),
        same_each_time(recipe, device),
    ):
        training = _Training(task, room, device, observers=observers, stop=stop, team=team)
        if checkpoint:
            training.restore(checkpoint)
        training.run(spent)
        training.average.settle()
    return training.net


class _Training:
    """One training under way: the net, the optimiser, and where it stands."""

    def __init__(
        self,
        task: Task,
        room: Room,
        device: torch.device,
        *,
        observers: Sequence[events.Observer] = (),
        stop: Callable[[], bool] = lambda: False,
        team: Team = ALONE,
    ) -> None:
        self.team = team
        self.task = task
        self.room = room
        self.recipe = task.experiment.train
        self.device = device
        self.observers = observers
        self.stop = stop
        self.net = task.build().to(device)
        channels_last(self.net)
        precision = Precision(self.recipe.precision, device)
        self.gradient = Gradient(self.net, task, room, precision, team)
        self.optimiser = make_optimiser(self.net, self.recipe)
        self.parameters = [p for g in self.optimiser.param_groups for p in g["params"]]
        self.splits = {
            name: split.to(device) if room.holds_images else split.beside(device)
            for name, split in task.images.splits.items()
        }
        self.batches = batch_bounds(len(self.splits["train"]), self.recipe.batch)
        check_shares(self.batches, team)
        self.average = Average(self.net, self.recipe.average * len(self.batches))
        self.position = Position()
        self.tally = Tally(device)
        # Weights to compare with are more copies: where memory is short, nothing is compared.
        begun = task.build() if room.roomy and self.recipe.dynamics else None
        self.freezing = Freezing(self.recipe, task.plan)
        self.dynamics = Dynamics(self.net, begun, len(self.batches), self.recipe.dynamics)
        bounds = batch_bounds(len(self.splits["train"]), task.experiment.pretrain.batch)
        self.pretraining = Pretraining(task, self.net, self.splits, bounds, room.chunk)
        self.clock = Clock(self.recipe)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint."""
        sums = restore(checkpoint.tensors, self.net, self.optimiser).to(self.device)
        if self.team.leads:  # they are those of all processes
            self.tally.sums = sums
        self.average.restore(checkpoint.tensors)
        if "dynamics" in checkpoint.tensors:
            self.dynamics.tensor = checkpoint.tensors["dynamics"]
        self.pretraining.restore(checkpoint.tensors)
        self.position = checkpoint.position

    def run(self, spent: float) -> None:
        """Train what is left, then tell how it ended."""
        self.tell(
            events.Started(
                str(self.device),
                torch.get_num_threads(),
                self.position.epoch,
                self.recipe.epochs,
                len(self.batches),
                len(self.splits["train"]),
                self.team.size,
            )
        )
        self.clock.begin(spent)
        if not self.pretrain():
            self.net.eval()
            return
        self.clock.begin_epoch(self.position.seconds)
        if self.recipe.epochs == 0 and self.position.best_epoch < 0 and not self.score(0):
            return
        while self.position.epoch < self.recipe.epochs:
            if not self.steps() or not self.score(self.position.epoch + 1) or self.is_plateau():
                self.net.eval()
                return
            self.clock.begin_epoch()
        self.net.eval()
        self.tell(events.Finished())

    def pretrain(self) -> bool:
        """Let layers learn as an autoencoder; false when it did not get to its end."""
        for told in self.pretraining.epochs(self.position.pretrained, self.is_over):
            for event in told:
                if isinstance(event, events.Stopped) and self.clock.is_late():
                    limit = f"the time limit of {self.recipe.minutes:g} minutes"
                    self.tell(replace(event, reason=f"{limit}, {event.reason}"))
                else:
                    self.tell(event)
            if not isinstance(told[-1], events.Pretrained):
                return False
            self.average = Average(self.net, self.recipe.average * len(self.batches))
            self.position = replace(self.position, pretrained=self.position.pretrained + 1)
            self.tell(events.CheckpointDue(self.checkpoint(), best=False))
            self.clock.keep()
        return True

    def steps(self) -> bool:
        """The steps of an epoch that are left; false when it did not get to its end."""
        epoch, first = self.position.epoch, self.position.step
        seed = self.task.experiment.seed_of("order")
        generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
        train = self.splits["train"]
        order = torch.randperm(len(train), generator=generator).to(self.device)
        self.net.train()
        self.freezing.apply(self.net, epoch)
        self.gradient.prepare()
        for number in range(first, len(self.batches)):
            stopped, late, due = self.team.any(self.stop(), self.clock.is_late(), self.clock.is_due())
            if stopped or late:
                self.pause(number, late=late)
                return False
            if due:
                self.keep(number)
            begin, end = self.batches[number]
            chosen = order[begin:end]
            if not self.step(self.vary(train.batch(chosen), train.labels[chosen], number), number):
                return False
            self.tell(events.StepDone(epoch + 1, number + 1, end - begin))
        self.position = replace(self.position, step=len(self.batches))
        return True

    def vary(self, pixels: Tensor, labels: Tensor, number: int) -> Varied:
        """A batch as the augmentation gives it in this step: a whole one, however it is cut later."""
        pixels = pixels.to(self.device)
        is_plain = self.position.epoch >= self.recipe.epochs - self.recipe.plain_epochs
        if self.task.augment is None or is_plain:
            return Varied(pixels, labels)
        done = self.position.epoch * len(self.batches) + number
        seed = self.task.experiment.seed_of("augment")
        return self.task.augment(pixels, labels, derive(seed, "augment", done))

    def step(self, batch: Varied, number: int) -> bool:
        """One step on a batch; false when it diverged."""
        done = self.position.epoch * len(self.batches) + number
        torch.manual_seed(step_seed(self.task, done))
        set_rate(self.optimiser, self.rate(done))
        self.optimiser.zero_grad()
        found = self.gradient.descend(batch)
        if self.device.type == "cpu" or number % CUDA_CHECK_STEPS == 0:
            gradients = [p.grad for p in self.parameters if p.grad is not None]
            if not is_finite(found.objective, gradients):
                self.diverge(batch, number)
                return False
        self.dynamics.before(number)  # gradients as they are: what clipping hides is what one wants to see
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimiser.step()
        self.dynamics.after()
        self.average.follow(done)
        self.tally.add(found.plain, found.logits, found.labels)
        return True

    def rate(self, done: int) -> float:
        """The learning rate of a step, counted from 0 over the whole training."""
        return learning_rate(self.recipe, done, len(self.batches))

    def score(self, epoch: int) -> bool:
        """Score an epoch on all splits and offer its checkpoint; false when stopped before the end."""
        self.net.eval()
        self.optimiser.zero_grad()  # their memory is better used by scoring
        scores: dict[str, Score] = {}
        learnt = self.total_tally().score()
        if learnt:
            scores["train"] = learnt
        due = self.is_scored(epoch)
        for name in ("validation", "test"):
            if name in self.splits and due:
                with self.average.applied():
                    found = self.evaluate(self.splits[name])
                if found is None:
                    self.pause(self.position.step)
                    return False
                scores[name] = found
        if any(not _finite(score) for score in scores.values()):
            train = self.splits["train"]
            few = min(CHECKED, self.recipe.batch, len(train))  # no more than fit in a step
            first = torch.arange(few, device=self.device)
            seen = Varied(train.batch(first).to(self.device), train.labels[:few])
            self.diverge(seen, len(self.batches) - 1)
            return False
        best = self.take_best(epoch, scores)
        with self.average.applied():
            measured = self.dynamics.epoch(self.splits["train"], self.task.preprocess, self.room.chunk)
        seconds = self.clock.seconds
        images = learnt.images if learnt else 0
        self.position = replace(self.position, epoch=epoch, step=0, seconds=0.0)
        self.tally = Tally(self.device)
        rate = self.rate(epoch * len(self.batches) - 1) if epoch else 0.0  # that of its last step
        self.tell(events.EpochDone(epoch, scores, rate, seconds, images / seconds, best, measured))
        self.tell(events.CheckpointDue(self.checkpoint(), best))
        self.clock.keep()
        return True

    def evaluate(self, split: Split) -> Score | None:
        """The net's score on a split, each process taking its share; None when stopped on the way."""
        share = self.team.own(len(split))
        own = split.take(torch.arange(share.start, share.stop, device=split.labels.device))
        tally = count(
            self.gradient.logits,
            self.task.preprocess,
            own if self.team.size > 1 else split,
            self.stop,
            self.room.chunk,
        )
        if self.team.any(tally is None)[0] or tally is None:
            return None
        tally.sums = self.team.total(tally.sums)
        return tally.score()

    def total_tally(self) -> Tally:
        """What all processes have counted in this epoch."""
        tally = Tally(self.device)
        tally.sums = self.team.total(self.tally.sums)
        return tally

    def take_best(self, epoch: int, scores: dict[str, Score]) -> bool:
        """Whether this epoch is the best so far: by validation error, then by its objective.

        With no validation split the last epoch counts as the best, and an epoch that was not scored is
        none; the test split never chooses.
        """
        judge = scores.get("validation")
        if "validation" in self.splits and judge is None:
            return False
        error, objective = (judge.top1_error, judge.objective) if judge else (0.0, 0.0)
        now = self.position
        if judge and now.best_epoch >= 0 and (error, objective) >= (now.best_error, now.best_objective):
            return False
        self.position = replace(now, best_epoch=epoch, best_error=error, best_objective=objective)
        return True

    def is_plateau(self) -> bool:
        """Whether validation has not become better for as long as patience lasts; then it ends here."""
        now, patience = self.position, self.recipe.patience
        since = max(now.best_epoch, now.patient_since)
        if not patience or "validation" not in self.splits or now.epoch - since < patience:
            return False
        if now.epoch == self.recipe.epochs or not self.is_scored(now.epoch):
            return False
        reason = f"no better validation error for {patience} epochs; the best was epoch {now.best_epoch}"
        # Whoever continues it all the same gives it as many epochs again.
        self.position = replace(now, patient_since=now.epoch)
        self.tell(events.CheckpointDue(self.checkpoint(), best=False))
        self.tell(events.Plateau(now.epoch, reason))
        return True

    def is_scored(self, epoch: int) -> bool:
        """Whether the held-out splits are scored behind an epoch."""
        return epoch % self.recipe.score_every == 0 or epoch == self.recipe.epochs

    def is_over(self) -> bool:
        """Whether somebody asked to stop or the time is up, in any process."""
        return any(self.team.any(self.stop(), self.clock.is_late()))

    def keep(self, step: int) -> None:
        """Offer a checkpoint within an epoch."""
        self.position = replace(self.position, step=step, seconds=self.clock.seconds)
        self.tell(events.CheckpointDue(self.checkpoint(), best=False))
        self.clock.keep()

    def pause(self, step: int, *, late: bool = False) -> None:
        """Offer a checkpoint of this very step."""
        self.position = replace(self.position, step=step, seconds=self.clock.seconds)
        self.tell(events.CheckpointDue(self.checkpoint(), best=False))
        reason = f"the time limit of {self.recipe.minutes:g} minutes" if late else ""
        self.tell(events.Stopped(self.position.epoch + 1, step, reason))

    def diverge(self, batch: Varied, number: int) -> None:
        """Find the cause, with the same dropout as in the step, and tell it."""
        done = self.position.epoch * len(self.batches) + number
        cause = self.gradient.find_cause(batch, step_seed(self.task, done))
        warmup = "warmup" if self.recipe.schedule is ScheduleKind.ONE_CYCLE else "warmup_epochs"
        if self.recipe.epochs == 0:
            self.tell(events.Diverged(1, number + 1, f"{cause} is not finite, in a net that was not trained"))
            return
        rate = self.rate(done)
        reason = (
            f"{cause} is not finite. The learning rate was {rate:.4g}, {largest_weight(self.net)}. Try "
            f"--train.lr {rate / 10:.2g}, --train.clip 1 or a longer --train.{warmup}"
        )
        self.tell(events.Diverged(self.position.epoch + 1, number + 1, reason))

    def checkpoint(self) -> Checkpoint:
        gathered = {
            "tally": self.total_tally().sums,
            "dynamics": self.dynamics.tensor,
            **self.average.tensors(),
            **self.pretraining.tensors(),
        }
        return Checkpoint(collect(self.net, self.optimiser, gathered), self.position)

    def tell(self, event: events.Event) -> None:
        for observer in self.observers:
            observer(event)


CHECKED = 500
"""Training images that the cause of divergence is looked for on, where no step's batch is at hand."""


def _finite(score: Score) -> bool:
    return abs(score.objective) < float("inf")

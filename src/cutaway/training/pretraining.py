"""Pre-training: layers learn to give back what they see, without labels, before the first epoch.

Layer-wise (Bengio et al., "Greedy Layer-Wise Training of Deep Networks", 2007), each depth with its own
mirror gives back its own input, while the depths before it stay as they are. Stacked (Masci et al.,
"Stacked Convolutional Auto-Encoders", 2011), all depths and mirrors learn together to give back the
image. With noise, the input is masked and the whole one asked for: Vincent et al., "Extracting and
Composing Robust Features with Denoising Autoencoders", 2008.

Stacked, the objective is the mean over all depths of the image's error through that depth. With the
deepest one alone the mirrors agree with each other on values that the net itself does not have, and
what comes back from the shallower depths is noise: the errors through three depths of ``lenet-theano``
were 1.38, 0.81 and 0.09 after 3 epochs with 6 000 digits, and 0.06, 0.07 and 0.08 with the mean.

A depth that is not chosen but stands before a chosen one keeps its weights; its mirror learns.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from cutaway.config import PretrainMode, derive
from cutaway.data import Split
from cutaway.nets.autoencoder import Autoencoder
from cutaway.nets.builder import Net
from cutaway.nets.depths import find_depths
from cutaway.progress import tracked
from cutaway.training.divergence import largest_weight
from cutaway.training.events import Diverged, Pretrained, Stopped
from cutaway.training.reconstruction import (
    Reconstruction,
    judging_split,
    reconstructed,
    reconstruction_errors,
)
from cutaway.training.stage import Stage
from cutaway.training.task import Task

_MIRROR = "mirror."

_CUDA_CHECK_STEPS = 16
"""On a GPU values that are not finite are looked for this often: each look waits for the device."""

Told = Pretrained | Stopped | Diverged


class Pretraining:
    """The epochs of a net's pre-training.

    Args:
        task: what is trained on what.
        net: whose chosen layers learn, on its device.
        splits: on the same device.
        batches: where each batch of an epoch begins and ends.
        chunk: images that go through at once in scoring.

    Raises:
        ConfigError: the layers can't be chosen so.
    """

    def __init__(
        self,
        task: Task,
        net: Net,
        splits: Mapping[str, Split],
        batches: Sequence[tuple[int, int]],
        chunk: int,
    ) -> None:
        self.task = task
        self.net = net
        self.splits = splits
        self.batches = batches
        self.config = task.experiment.pretrain
        self.chunk = min(chunk, self.config.microbatch or self.config.batch)
        self.depths = find_depths(task.plan, self.config.layers)
        self.stages = [(place, place) for place in range(len(self.depths))]
        if self.depths and self.config.mode is PretrainMode.STACKED:
            self.stages = [(0, len(self.depths) - 1)]
        self.autoencoder: Autoencoder | None = None
        self.stage: Stage | None = None
        self.kept: Mapping[str, Tensor] = {}

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps while pre-training is under way: mirrors, and what Adam remembers."""
        if self.autoencoder is None:
            return {}
        mirrors = self.autoencoder.mirrors.state_dict()
        adam = self.stage.tensors() if self.stage else {}
        return {_MIRROR + name: value for name, value in mirrors.items()} | adam

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with a checkpoint's mirrors."""
        self.kept = tensors

    def epochs(self, done: int, stop: Callable[[], bool]) -> Iterator[list[Told]]:
        """Do what is left, an epoch at a time.

        Args:
            done: epochs of all stages that are done already.
            stop: asked at every step.

        Yields:
            what is to be told of each epoch. Net and :meth:`tensors` are then a state to go on from, but
            not behind an epoch that was stopped or diverged, which is the last.
        """
        epochs = self.config.epochs
        total = len(self.stages) * epochs
        if done >= total:
            return
        self.autoencoder = self._begin()
        for number in range(done, total):
            place, epoch = divmod(number, epochs)
            if self.stage is None:
                self.stage = Stage(self.autoencoder, *self.stages[place], self.config)
                self.stage.restore(self.kept)
                self.kept = {}
            told = self._epoch(self.autoencoder, self.stage, epoch, stop)
            ended = not isinstance(told[-1], Pretrained)
            if ended or epoch + 1 == epochs:
                self.stage = None
            if ended or number + 1 == total:
                self._end()
            yield told
            if ended:
                return

    def _begin(self) -> Autoencoder:
        """The mirrors, new or as they were kept."""
        seed = self.task.experiment.seed_of("weights")
        autoencoder = Autoencoder(self.net, self.depths, seed, switched=self.config.switches)
        kept = {n.removeprefix(_MIRROR): v for n, v in self.kept.items() if n.startswith(_MIRROR)}
        if kept:
            autoencoder.mirrors.load_state_dict(kept)
        return autoencoder

    def _end(self) -> None:
        """Leave the net ready to be trained, and nothing else behind."""
        self.net.requires_grad_(requires_grad=True)
        self.net.zero_grad()
        self.autoencoder = None

    def _epoch(
        self, autoencoder: Autoencoder, stage: Stage, epoch: int, stop: Callable[[], bool]
    ) -> list[Told]:
        """Train an epoch of a stage and score it; what is to be told of it."""
        start = time.perf_counter()
        layer = self.depths[stage.last].layer
        place = f"in the pre-training of {layer}, epoch {epoch + 1} of {self.config.epochs}"
        train = self.splits["train"]
        seed = self.task.experiment.seed_of("order")
        generator = torch.Generator().manual_seed(derive(seed, "pretrain", stage.last, epoch))
        order = torch.randperm(len(train), generator=generator).to(train.labels.device)
        sums = torch.zeros(stage.last - stage.first + 1, dtype=torch.float64, device=order.device)
        stage.prepare()
        with tracked(f"pre-training {layer}, epoch {epoch + 1}", len(self.batches), "steps") as advance:
            for number, (begin, end) in enumerate(self.batches):
                if stop():
                    return [Stopped(0, number, place)]
                pixels = train.batch(order[begin:end]).to(order.device)
                noise = derive(seed, "noise", stage.last, epoch, number)
                errors = stage.descend(pixels, self.task.preprocess, noise)
                watched = order.device.type == "cpu" or number % _CUDA_CHECK_STEPS == 0
                if watched and not stage.is_finite(errors):
                    return [self._diverged(place, number)]
                stage.step()
                sums += errors * (end - begin)
                advance(1)
        self.net.eval()
        learnt = [total / len(train) for total in sums.tolist()]
        judged = self._score(autoencoder, stage, stage.first, stop) if "validation" in self.splits else learnt
        if judged is None:
            return [Stopped(0, len(self.batches), place)]
        if not all(map(math.isfinite, [*learnt, *judged])):
            return [self._diverged(place, len(self.batches) - 1)]
        images: list[Reconstruction] = []
        if epoch + 1 == self.config.epochs:
            found = self._reconstruct(autoencoder, stage, stop)
            if found is None:
                return [Stopped(0, len(self.batches), place)]
            images = found
        share = (time.perf_counter() - start) / len(learnt)
        return [
            Pretrained(
                stage.first + at + 1,
                len(self.depths),
                self.depths[stage.first + at].layer,
                epoch + 1,
                self.config.epochs,
                learnt[at],
                judged[at] if "validation" in self.splits else None,
                share,
                images[at] if images else None,
            )
            for at in range(len(learnt))
        ]

    def _score(
        self, autoencoder: Autoencoder, stage: Stage, origin: int, stop: Callable[[], bool]
    ) -> list[float] | None:
        """The errors of a stage's depths in giving back the input of depth ``origin``."""
        return reconstruction_errors(
            autoencoder,
            self.task.preprocess,
            judging_split(self.splits)[1],
            (stage.first, stage.last),
            origin=origin,
            chunk=self.chunk,
            stop=stop,
        )

    def _reconstruct(
        self, autoencoder: Autoencoder, stage: Stage, stop: Callable[[], bool]
    ) -> list[Reconstruction] | None:
        """What the depths of a stage that is done give back of images; None when stopped before the end."""
        errors = self._score(autoencoder, stage, 0, stop)
        if errors is None:
            return None
        name, split = judging_split(self.splits)
        count = self.config.images
        return [
            Reconstruction(
                error, name, *reconstructed(autoencoder, self.task.preprocess, split, stage.first + at, count)
            )
            for at, error in enumerate(errors)
        ]

    def _diverged(self, place: str, number: int) -> Diverged:
        lr = self.config.lr
        reason = (
            f"{place}, what came back is not finite. The learning rate was {lr:.4g}, "
            f"{largest_weight(self.net)}. Try --pretrain.lr {lr / 10:.2g}"
        )
        return Diverged(0, number + 1, reason)

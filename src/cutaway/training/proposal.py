"""An experiment that fits a dataset and a machine, with a reason for every choice."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cutaway.config import Experiment, load_experiment
from cutaway.data import Framing, Images
from cutaway.training.events import Event, StepDone
from cutaway.training.loop import train
from cutaway.training.task import prepare

_TRIAL_SECONDS = 5.0
_WARM_STEPS = 3
"""Steps before the trial's clock starts: the first ones take memory and choose algorithms."""

_EPOCHS = (6, 60)
_SEEN = 800_000
"""Images that a training from scratch shows at most: more epochs for few images, fewer for many."""

_SMALLEST_MAP = 4
"""Pooling ends when maps have about this side: the means over them still tell places apart."""


@dataclass(frozen=True)
class Proposal:
    """A proposed experiment.

    Args:
        experiment: complete.
        values: what differs from the defaults, nested as in TOML.
        reasons: for each of these, by dotted name, why.
        images_per_second: what the trial trained.
        seconds: estimated for the whole training, scoring included.
    """

    experiment: Experiment
    values: Mapping[str, Any]
    reasons: Mapping[str, str]
    images_per_second: float
    seconds: float


@dataclass
class _Choices:
    """Values and their reasons, as they are chosen."""

    values: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def set(self, name: str, value: Any, reason: str) -> None:
        """Choose the value of a field, such as ``train.batch``."""
        *tables, last = name.split(".")
        place = self.values
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = value
        self.reasons[name] = reason


def propose(data: Mapping[str, Any], reasons: Mapping[str, str], images: Images, minutes: float) -> Proposal:
    """Choose net, recipe and augmentation for a dataset, and measure how long it will take here.

    Args:
        data: the fields of ``[data]`` that are chosen already; ``name`` may be among them.
        reasons: of these, by dotted name.
        images: what they load.
        minutes: that the training may take.
    """
    chosen = _Choices()
    for key, value in data.items():
        chosen.set(key, value, reasons.get(key, ""))
    train_split = images.split("train")
    few = len(train_split) / len(images.classes)
    framing = Framing.measured(train_split)
    figures = framing.ground >= 0
    _choose_augmentation(chosen, images, figures, few)
    _choose_recipe(chosen, len(train_split), figures)
    speed = _choose_net(chosen, images, figures, minutes)
    _choose_epochs(chosen, images, speed, minutes)
    experiment = load_experiment(Experiment(), chosen.values)
    return Proposal(
        experiment, chosen.values, chosen.reasons, speed, experiment.train.epochs * _epoch(images, speed)
    )


def _choose_augmentation(chosen: _Choices, images: Images, figures: bool, few: float) -> None:
    side = min(images.shape[1:])
    shift = max(1, round(side / 8)) if not figures else max(1, round(side / 14))
    chosen.set("data.augment.shift", shift, "an eighth of the side" if not figures else "figures stay inside")
    if figures:
        chosen.set("data.augment.fill", "edge", "figures stand on a ground, which goes on behind the edge")
        chosen.set("data.augment.rotate", 8.0, "figures lean a little; mirrored ones would be others")
    else:
        chosen.set("data.augment.flip", True, "a picture shows the same when mirrored; false for writing")
    if images.shape[0] == 1 and not figures:
        chosen.set("data.augment.flip_vertical", True, "grey pictures without a ground: textures, from above")
    if few < _FEW:
        chosen.set("data.augment.scale", 0.1, f"{few:.0f} images a class are few: vary them more")


_FEW = 200


def _choose_net(chosen: _Choices, images: Images, figures: bool, minutes: float) -> float:
    """The widest net that has time for enough epochs here, or else the narrowest; its speed."""
    _, height, width = images.shape
    pools = 0
    while min(height, width) >> (pools + 1) >= _SMALLEST_MAP - 1 and pools < 6:
        pools += 1
    reason = pooled = (
        f"{pools} pools halve {height}x{width} down to {height >> pools}x{width >> pools}; they stand before "
        "batch norm and ReLU, which then have a quarter of the work"
    )
    speed = 0.0
    for widest in (128, 64) if figures else (256, 128, 64):
        chosen.set("net", _net(widest, pools, len(images.classes)), reason)
        speed = _trial(chosen, images)
        if minutes * 60 / _epoch(images, speed) >= _EPOCHS[0]:
            break
        reason = f"{pooled}. Wider ones would be too slow here"
    return speed


def _net(widest: int, pools: int, classes: int) -> str:
    """A stage for each pool, twice as wide as the one before, and a last conv on the smallest maps."""
    layers: list[str] = []
    for stage in range(max(1, pools)):
        filters = max(8, widest >> max(0, pools - 1 - stage))
        layers += [f"conv {filters} 3x3 same nobias", *(["maxpool 2"] if pools else []), "batchnorm", "relu"]
    layers += [f"conv {widest} 3x3 same nobias", "batchnorm", "relu"]
    return "\n".join([*layers, "globalpool", "flatten", f"dense {classes}"])


def _choose_recipe(chosen: _Choices, count: int, figures: bool) -> None:
    batch = 128
    while batch > 16 and count // batch < 40:
        batch //= 2
    chosen.set("train.batch", batch, f"{count // batch} steps an epoch")
    chosen.set("train.lr", 0.2 if batch >= 64 else 0.1, "the peak of the cycle; batch norm bears it")
    chosen.set("train.weight_decay", 0.0005, "what nets of this kind are trained with")
    chosen.set("train.label_smoothing", 0.1, "keeps the net from being too sure")
    chosen.set("train.average", 0.5, "the mean of the weights over half an epoch: less noise than the last's")
    if not figures:
        chosen.set(
            "train.mirror", True, "an image and its mirror image are judged together, as they are learnt"
        )


def _choose_epochs(chosen: _Choices, images: Images, speed: float, minutes: float) -> None:
    count = len(images.split("train"))
    wanted = min(max(round(_SEEN / count), _EPOCHS[0]), _EPOCHS[1])
    fitting = max(1, int(minutes * 60 / _epoch(images, speed)))
    reason = (
        f"as many as fit into {minutes:g} minutes here" if fitting < wanted else "enough for so many images"
    )
    chosen.set("train.epochs", min(wanted, fitting), reason)


def _epoch(images: Images, speed: float) -> float:
    """Seconds that an epoch takes: forward and backward for training images, forward for the others."""
    scored = sum(len(split) for name, split in images.splits.items() if name != "train")
    return (len(images.split("train")) + scored / _FORWARD) / speed


_FORWARD = 3.0
"""A forward pass takes about a third of a training step."""


def _trial(chosen: _Choices, images: Images) -> float:
    """Images a second that training takes here, tried for five seconds."""
    longer = {**chosen.values, "train": {**chosen.values["train"], "epochs": 100_000}}  # the clock ends it
    task = prepare(load_experiment(Experiment(), longer), images)
    clock = _Clock()
    train(task, [clock], clock.over)
    return clock.speed()


class _Clock:
    """Counts images, and says when the trial is over."""

    def __init__(self) -> None:
        self._steps = 0
        self._images = 0
        self._start = 0.0
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        """Count one event."""
        if not isinstance(event, StepDone):
            return
        self._steps += 1
        self._last = time.perf_counter()
        if self._steps == _WARM_STEPS:
            self._start = self._last
        elif self._steps > _WARM_STEPS:
            self._images += event.images

    def over(self) -> bool:
        """Whether it has run long enough."""
        return self._steps > _WARM_STEPS and time.perf_counter() - self._start > _TRIAL_SECONDS

    def speed(self) -> float:
        """Images a second."""
        return self._images / max(self._last - self._start, 1e-9)

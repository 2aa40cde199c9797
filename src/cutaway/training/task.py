"""An experiment made ready: its images, its preprocessing and its net, all checked together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cutaway.config import Experiment, InitKind, derive
from cutaway.data import Augment, Framing, Images, Preprocess, Split, load_images
from cutaway.errors import ConfigError
from cutaway.nets import LayerPlan, Plan, describe, find_net, plan_net
from cutaway.nets.builder import Net, build
from cutaway.nets.initial import chosen_rules, initialise
from cutaway.nets.whitening import patch_moment
from cutaway.nets.words import BatchNorm
from cutaway.training.batches import batch_bounds, check_norms
from cutaway.training.determinism import check_same_each_time
from cutaway.training.device import choose_device
from cutaway.training.freezing import Freezing
from cutaway.training.precision import Precision
from cutaway.training.pretraining_room import fit_pretraining
from cutaway.training.room import Room, find_room


@dataclass(frozen=True)
class Task:
    """What a training needs.

    Args:
        experiment: complete, its net written out in the notation.
        images: the splits "train", "test" and, if asked for, "validation".
        preprocess: fitted to the training split.
        framing: how the training images stand in their frame.
        plan: the net on these images.
        room: the memory that a step may take and how the batch is cut; found when training begins
            unless given.
        augment: how training images are varied; None for not at all.
        moments: for each layer whose first weights whiten, of the patches that it sees.
    """

    experiment: Experiment
    images: Images
    preprocess: Preprocess
    framing: Framing
    plan: Plan
    room: Room | None = None
    augment: Augment | None = None
    moments: Mapping[str, Tensor] = field(default_factory=dict)

    def build(self) -> Net:
        """The net with its first, random weights."""
        return first_net(self.experiment, self.plan, self.moments)


def first_net(experiment: Experiment, planned: Plan, moments: Mapping[str, Tensor]) -> Net:
    """A net with the random weights that an experiment begins with."""
    seed = experiment.seed_of("weights")
    net = build(planned, derive(seed, "weights"))
    initialise(net, experiment.init, seed, moments)
    return net


def whitens(experiment: Experiment) -> bool:
    """Whether first weights depend on the images."""
    return InitKind.WHITEN in experiment.init.values()


MEASURED = 5000
"""Training images, spread evenly, over whose patches a first layer whitens."""


def first_moments(
    experiment: Experiment, planned: Plan, train: Split, preprocess: Preprocess
) -> dict[str, Tensor]:
    """What the first weights of layers that whiten depend on; mostly there are none.

    Raises:
        ConfigError: such a layer does not see the images.
    """
    if not whitens(experiment):
        return {}
    rules = chosen_rules(build(planned, seed=0), experiment.init)
    count = min(MEASURED, len(train))
    chosen = torch.arange(count) * len(train) // count
    images = train.batch(chosen)
    return {
        name: patch_moment(planned, name, images, preprocess)
        for name, kind in rules.items()
        if kind is InitKind.WHITEN
    }


def prepare(experiment: Experiment, images: Images | None = None, like: Task | None = None) -> Task:
    """Load the data, plan the net on it, and check that they fit.

    Args:
        experiment: what is to be trained.
        images: its data, where they are loaded already.
        like: another task, ready already: what was measured of the same images is not measured again.

    Raises:
        ConfigError: the net can't work on such images, or has another number of outputs than
            there are classes; the memory is too small; the device is not there.
        NotFoundError: there is no such net, source, folder or file.
        DataError: a file is damaged or does not fit the others.
    """
    recipe = experiment.train
    # What can't be is told before the data is read.
    find_net(experiment.net)
    device = choose_device(recipe.device)
    Precision(recipe.precision, device)
    check_same_each_time(recipe, device)
    images = images or load_images(experiment.data)
    planned = plan_net(experiment.net, images.shape, len(images.classes))
    check_outputs(planned, len(images.classes))
    train = images.splits["train"]
    still = Freezing(recipe, planned).frozen(0)  # a mistake in it is told before training
    room = find_room(recipe, planned, device, images.pixel_bytes)
    if recipe.epochs:
        norms = (row.name for row in planned.leaves() if _is_lone(row) and row.name not in still)
        check_norms(batch_bounds(len(train), recipe.batch), next(norms, None), recipe, room.microbatch)
    pretrain = fit_pretraining(experiment.pretrain, planned, room.limit)
    if room.microbatch < recipe.batch:
        # Written down, so that the run is continued with the same sums.
        recipe = recipe.model_copy(update={"microbatch": room.microbatch})
    if like and like.images is images and like.experiment.data == experiment.data:
        preprocess, framing = like.preprocess, like.framing
    else:
        preprocess = Preprocess.fit(experiment.data.preprocess, train)
        framing = Framing.of(train, experiment.data)
    return Task(
        experiment.model_copy(update={"net": planned.spec.text(), "train": recipe, "pretrain": pretrain}),
        images,
        preprocess,
        framing,
        planned,
        room,
        None if experiment.data.augment.idle else Augment.fit(experiment.data.augment, train),
        first_moments(experiment, planned, train, preprocess),
    )


def _is_lone(row: LayerPlan) -> bool:
    """Whether a row is a batch norm that has one value of each image in a channel."""
    return isinstance(row.layer.word, BatchNorm) and math.prod(row.output_shape[1:]) == 1


def check_outputs(planned: Plan, classes: int) -> None:
    """Check that a net gives a logit for each class.

    Raises:
        ConfigError: it gives another number; the message says how to end the net.
    """
    if planned.output_shape == (classes,):
        return
    last = planned.rows[-1]
    mend = f"End the net with: dense {classes}"
    if len(planned.output_shape) == 3:
        mend = f"End the net with: flatten | dense {classes}"
    raise ConfigError(
        f"line {last.layer.line}: {last.name} gives {describe(planned.output_shape)}, "
        f"but there are {classes} classes. {mend}."
    )

"""Data and net are checked together before anything is trained."""

from __future__ import annotations

import pytest

from cutaway.config import Experiment, load_experiment
from cutaway.errors import ConfigError
from cutaway.training import prepare


def test_the_experiment_becomes_complete(small: Experiment) -> None:
    task = prepare(load_experiment(small, {"net": "lenet-theano"}))
    assert task.experiment.net.splitlines()[0] == "conv 20 5x5"
    assert task.plan.parameters == 431_080


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (
            "flatten\ndense 12",
            "dense1 gives a vector of 12, but there are 10 classes. End the net with: dense 10",
        ),
        (
            "conv 10 3x3",
            "conv1 gives 26×26 (10 channels), but there are 10 classes. End the net with: flatten | dense 10",
        ),
    ],
)
def test_outputs_that_are_not_the_classes(small: Experiment, net: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        prepare(load_experiment(small, {"net": net}))
    assert told in str(error.value)


def test_what_was_measured_of_the_same_images_is_not_measured_again(small: Experiment) -> None:
    first = prepare(small)
    again = prepare(load_experiment(small, {"net": "flatten | dense 10"}), first.images, first)
    assert again.preprocess is first.preprocess
    assert again.framing is first.framing
    assert again == prepare(load_experiment(small, {"net": "flatten | dense 10"}), first.images)
    for other in (
        prepare(load_experiment(small, {"data": {"preprocess": "unit"}}), first.images, first),
        prepare(small, None, first),
    ):
        assert other.preprocess is not first.preprocess

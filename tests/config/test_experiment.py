"""What an experiment accepts."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cutaway.config import (
    DataConfig,
    Experiment,
    OptimiserKind,
    PreprocessKind,
    TrainConfig,
    parse_experiment,
)


def test_an_experiment_is_complete_by_default() -> None:
    experiment = Experiment()
    assert experiment.net == "lenet-theano"
    assert experiment.data.source == "mnist"
    assert experiment.data.preprocess is PreprocessKind.STANDARDISE
    assert experiment.train.optimiser is OptimiserKind.SGD


@pytest.mark.parametrize("section", [Experiment(), DataConfig(), TrainConfig()])
def test_nothing_in_it_can_be_changed(section: Experiment | DataConfig | TrainConfig) -> None:
    for name in type(section).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, name, getattr(section, name))


def test_blank_ends_of_a_net_are_dropped() -> None:
    assert Experiment(net="\n  conv 3 3x3\n  relu\n").net == "conv 3 3x3\n  relu"


@pytest.mark.parametrize("net", ["", "  ", "\n\t\n"])
def test_a_net_of_nothing_is_refused(net: str) -> None:
    with pytest.raises(ValidationError):
        Experiment(net=net)


def test_a_validation_below_one_is_a_share_and_above_a_count() -> None:
    assert DataConfig(validation=0.25).validation == 0.25
    for count in (0, 0.0, 1, 1.0, 5000.0):
        value = DataConfig(validation=count).validation
        assert value == count
        assert isinstance(value, int)


@pytest.mark.parametrize("validation", [1.5, -1, -0.1, float("nan"), float("inf")])
def test_a_validation_that_is_neither_share_nor_count_is_refused(validation: float) -> None:
    with pytest.raises(ValidationError):
        DataConfig(validation=validation)


def test_nesterov_without_momentum_is_plain_sgd() -> None:
    assert TrainConfig(momentum=0).nesterov is False
    assert TrainConfig(momentum=0.5).nesterov is True
    assert TrainConfig(momentum=0, optimiser=OptimiserKind.ADAM).nesterov is True


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_known_devices(device: str) -> None:
    assert TrainConfig(device=device).device == device


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:x", "cpu:0", "auto "])
def test_unknown_devices_are_refused(device: str) -> None:
    with pytest.raises(ValidationError):
        TrainConfig(device=device)


def test_a_net_may_be_a_list_of_layers() -> None:
    lines = ["conv 4 3x3", "relu", "flatten", "dense 10"]
    assert Experiment.model_validate({"net": lines}).net == "\n".join(lines)
    assert parse_experiment('net = ["conv 4 3x3", "relu", "flatten", "dense 10"]').net == "\n".join(lines)
    for wrong in ([], ["relu", 3], 7):
        with pytest.raises(ValueError, match="net"):
            Experiment.model_validate({"net": wrong})

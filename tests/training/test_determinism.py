"""Determinism: asked for on a GPU, given anyway on a CPU, and put back."""

from __future__ import annotations

import pytest
import torch

from cutaway.config import Experiment, TrainConfig, load_experiment
from cutaway.errors import ConfigError
from cutaway.training import prepare, train
from cutaway.training.determinism import same_each_time

CPU, GPU = torch.device("cpu"), torch.device("cuda")
WISHED, PLAIN = TrainConfig(deterministic=True), TrainConfig()


def modes() -> tuple[bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
    )


@pytest.mark.parametrize("before", [(False, False, True), (True, True, False)])
def test_inside_only_repeatable_ways_are_taken(
    monkeypatch: pytest.MonkeyPatch, before: tuple[bool, bool, bool]
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    old = modes()
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    torch.backends.cudnn.benchmark = before[2]
    try:
        with pytest.raises(KeyError), same_each_time(WISHED, GPU):
            assert modes() == (True, False, False)
            raise KeyError
        assert modes() == before
        for recipe, device in ((PLAIN, GPU), (WISHED, CPU)):
            with same_each_time(recipe, device):
                assert modes() == before
    finally:
        torch.use_deterministic_algorithms(old[0], warn_only=old[1])
        torch.backends.cudnn.benchmark = old[2]


@pytest.mark.parametrize("told", [None, "", ":1:1"])
def test_a_missing_variable_is_told(monkeypatch: pytest.MonkeyPatch, told: str | None) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if told is not None:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", told)
    before = modes()
    with (
        pytest.raises(ConfigError, match="export CUBLAS_WORKSPACE_CONFIG=:4096:8"),
        same_each_time(WISHED, GPU),
    ):
        pytest.fail("it should not begin")
    assert modes() == before
    with same_each_time(WISHED, CPU), same_each_time(PLAIN, GPU):
        pass


def test_on_a_cpu_it_changes_no_bit(small: Experiment) -> None:
    values = {"data": {"train_images": 200, "validation": 100}, "train": {"epochs": 1}}
    plain = prepare(load_experiment(small, values))
    wished = prepare(load_experiment(plain.experiment, {"train": {"deterministic": True}}))
    first, second = train(plain).state_dict(), train(wished).state_dict()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name

"""Whether a GPU gives the same bits each time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cutaway.config import TrainConfig
from cutaway.errors import ConfigError

_WORKSPACES = (":4096:8", ":16:8")
"""What NVIDIA's cuBLAS needs to be told to take one order of summing."""


@contextmanager
def same_each_time(recipe: TrainConfig, device: torch.device) -> Iterator[None]:
    """Inside, if the recipe says so, a GPU takes only ways of computing that give the same bits each time.

    On the CPU they are the same anyway. Behind, PyTorch is as before.

    Raises:
        ConfigError: cuBLAS was not told, before the program began, to do so too.
    """
    check_same_each_time(recipe, device)
    if not recipe.deterministic or device.type != "cuda":
        yield
        return
    mode = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    chosen = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(mode=True)
    torch.backends.cudnn.benchmark = False  # the fastest way of the day may be another one tomorrow
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode, warn_only=warns)
        torch.backends.cudnn.benchmark = chosen


def check_same_each_time(recipe: TrainConfig, device: torch.device) -> None:
    """Refuse a wish for the same bits each time that this program can't fulfil.

    Raises:
        ConfigError: it needs another environment.
    """
    told = os.environ.get("CUBLAS_WORKSPACE_CONFIG", "")
    if recipe.deterministic and device.type == "cuda" and told not in _WORKSPACES:
        raise ConfigError(
            "train.deterministic on a GPU needs an environment variable before Cutaway begins: "
            "export CUBLAS_WORKSPACE_CONFIG=:4096:8"
        )

"""An experiment: data, net, recipe and seed, complete and frozen."""

from __future__ import annotations

from pydantic import field_validator

from cutaway.config.data import DataConfig
from cutaway.config.section import Section, setting
from cutaway.config.train import TrainConfig


class Experiment(Section):
    """All that decides a run: the same experiment gives the same weights, bit for bit.

    The same machine, thread count and version of PyTorch are understood.
    """

    name: str = setting("experiment", "what the run is called", min_length=1, max_length=80)
    seed: int = setting(0, "the one seed of weights, data order and dropout", ge=0, le=2**32 - 1)
    net: str = setting(
        "lenet-theano",
        "a net: its name in the zoo, its notation as text or as a list of layers, or a file with it",
        min_length=1,
    )
    data: DataConfig = setting(DataConfig(), "which images, and how they are prepared")
    train: TrainConfig = setting(TrainConfig(), "the recipe")

    @field_validator("net", mode="before")
    @classmethod
    def _lines_of_a_list(cls, value: object) -> object:
        if isinstance(value, list) and all(isinstance(line, str) for line in value):
            return "\n".join(value)
        return value

    @field_validator("net")
    @classmethod
    def _without_blank_ends(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("should describe a net or name one")
        return value.strip()

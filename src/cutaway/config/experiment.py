"""An experiment: data, net, recipe and seed, complete and frozen."""

from __future__ import annotations

from enum import StrEnum

from pydantic import field_validator

from cutaway.config.data import DataConfig
from cutaway.config.pretrain import PretrainConfig
from cutaway.config.section import Section, setting
from cutaway.config.train import TrainConfig


class InitKind(StrEnum):
    """What a layer's kernel is filled with before training."""

    TORCH = "torch"
    THEANO = "theano"
    XAVIER = "xavier"
    HE = "he"
    LECUN = "lecun"
    ORTHOGONAL = "orthogonal"
    NORMAL = "normal"
    DIRAC = "dirac"
    WHITEN = "whiten"


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
    init: dict[str, InitKind] = setting(
        {},
        "what weights begin as, for all layers or by a layer's name or pattern: torch, theano, xavier, he, "
        "lecun, orthogonal, normal",
    )
    weights_seed: int = setting(-1, "seed of the first weights; -1 for the one seed", ge=-1, le=2**32 - 1)
    order_seed: int = setting(-1, "seed of the data's order; -1 for the one seed", ge=-1, le=2**32 - 1)
    augment_seed: int = setting(-1, "seed of the augmentation; -1 for the one seed", ge=-1, le=2**32 - 1)
    data: DataConfig = setting(DataConfig(), "which images, and how they are prepared")
    pretrain: PretrainConfig = setting(PretrainConfig(), "layers that first learn as an autoencoder")
    train: TrainConfig = setting(TrainConfig(), "the recipe")

    def seed_of(self, purpose: str) -> int:
        """The seed of "weights", "order" or "augment": its own where it has one, or else the one seed."""
        own: int = getattr(self, f"{purpose}_seed")
        return self.seed if own < 0 else own

    @field_validator("init", mode="before")
    @classmethod
    def _one_for_all(cls, value: object) -> object:
        return {"*": value} if isinstance(value, str) else value

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


def differences(first: Section, second: Section, prefix: str = "") -> list[tuple[str, object, object]]:
    """The fields in which two descriptions differ: dotted name, value in the first, value in the second."""
    found: list[tuple[str, object, object]] = []
    for name in type(first).model_fields:
        one, other = getattr(first, name), getattr(second, name)
        if isinstance(one, Section) and isinstance(other, Section):
            found += differences(one, other, f"{prefix}{name}.")
        elif one != other:
            found.append((f"{prefix}{name}", one, other))
    return found

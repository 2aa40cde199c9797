"""Pre-training: which layers are trained as an autoencoder first, without labels."""

from __future__ import annotations

from enum import StrEnum

from pydantic import field_validator

from cutaway.config.section import Section, setting


class PretrainMode(StrEnum):
    """In what order the layers of an autoencoder learn."""

    LAYER_WISE = "layer-wise"
    STACKED = "stacked"


class PretrainConfig(Section):
    """The ``[pretrain]`` section; as it stands by itself, nothing is pre-trained."""

    layers: tuple[str, ...] = setting(
        (),
        "convs and dense layers, by name or pattern, that first learn to give images back, without labels; "
        "* for all but the classifier; none for no pre-training",
    )
    mode: PretrainMode = setting(
        PretrainMode.LAYER_WISE,
        "layer-wise: one after another, each gives back its own input; stacked: all at once, each gives back "
        "the image",
    )
    epochs: int = setting(
        2,
        "passes over the training split, for each layer; stacked: for all of them together",
        "epochs",
        ge=1,
        le=100_000,
    )
    batch: int = setting(128, "images in one step", "images", ge=1, le=1_000_000)
    lr: float = setting(0.001, "learning rate of Adam", gt=0, le=1000)
    noise: float = setting(
        0.0, "share of the values of the input that are masked, to be filled in; 0 for none", ge=0, lt=1
    )
    switches: bool = setting(
        True,
        "unpool by the places where maxima stood; false spreads values over their windows, so that the code "
        "alone must tell",
    )
    images: int = setting(8, "images of which every depth's reconstruction is kept", "images", ge=0, le=1000)
    microbatch: int = setting(
        0,
        "images that go through at once, with the same gradient; 0 for the whole batch, or as many as fit",
        "images",
        ge=0,
        le=1_000_000,
    )

    @field_validator("layers", mode="before")
    @classmethod
    def _one_layer_or_more(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

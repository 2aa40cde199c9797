"""Which images an experiment learns from, and how they are prepared."""

from __future__ import annotations

from enum import StrEnum

from pydantic import field_validator

from cutaway.config.section import Section, setting


class PreprocessKind(StrEnum):
    """How bytes become the net's input."""

    STANDARDISE = "standardise"
    UNIT = "unit"
    NONE = "none"


class DataConfig(Section):
    """The ``[data]`` section."""

    source: str = setting("mnist", "where the images come from; `cutaway data list` names them", min_length=1)
    path: str = setting("", "the folder that the source reads; empty for an embedded one")
    validation: int | float = setting(
        5000,
        "taken from the training split for choosing: a count, or a share when below 1",
        "images or share",
        ge=0,
    )
    split_seed: int = setting(
        0, "seed of the choice of validation images, apart from the experiment's own", ge=0, le=2**32 - 1
    )
    train_images: int = setting(
        0, "train on this many images, drawn evenly over the classes; 0 for all", "images", ge=0
    )
    preprocess: PreprocessKind = setting(
        PreprocessKind.STANDARDISE,
        "standardise: zero mean and unit deviation per channel over the training split; "
        "unit: divide by 255; none: values from 0 to 255",
    )

    @field_validator("validation")
    @classmethod
    def _whole_or_share(cls, value: int | float) -> int | float:
        if value >= 1 and value != int(value):
            raise ValueError("should be a whole number of images, or a share below 1")
        return int(value) if value >= 1 or value == 0 else value

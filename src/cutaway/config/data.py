"""Which images an experiment learns from, and how they are prepared."""

from __future__ import annotations

import re
from enum import StrEnum

from pydantic import field_validator

from cutaway.config.augment import AugmentConfig
from cutaway.config.section import Section, setting

_SIZE = re.compile(r"[1-9]\d{0,4}x[1-9]\d{0,4}", re.ASCII)


class PreprocessKind(StrEnum):
    """How bytes become the net's input."""

    STANDARDISE = "standardise"
    MEAN = "mean"
    LENET5 = "lenet5"
    UNIT = "unit"
    NONE = "none"


class Fit(StrEnum):
    """How an image of other proportions comes to the size that is asked for."""

    CROP = "crop"
    PAD = "pad"
    STRETCH = "stretch"


class DataConfig(Section):
    """The ``[data]`` section."""

    source: str = setting("mnist", "where the images come from; `cutaway data list` names them", min_length=1)
    path: str = setting("", "the folder or file that the source reads; empty for an embedded one")
    size: str = setting("", "height x width, such as 64x64, that every image is brought to; empty: as it is")
    fit: Fit = setting(
        Fit.CROP,
        "how images of other proportions are brought to the size; crop: the middle; pad: whole, on a "
        "ground of the edge's grey; stretch: distorted",
    )
    pad: int = setting(
        0, "a border of the image's own ground on every side: 2 makes 28x28 32x32", "pixels", ge=0, le=4096
    )
    channels: int = setting(0, "1 for grey, 3 for colour, 0 for as they are", ge=0, le=3)
    validation: int | float = setting(
        0.1,
        "taken from the training split for choosing: a count, or a share when below 1",
        "images or share",
        ge=0,
    )
    test: int | float = setting(
        0.2,
        "taken for testing where the source has no split for it: a count, or a share when below 1",
        "images or share",
        ge=0,
    )
    split_seed: int = setting(
        0,
        "seed of the choice of validation and test images, and of images that are made; apart from the "
        "experiment's own",
        ge=0,
        le=2**32 - 1,
    )
    train_images: int | float = setting(
        0,
        "train on so many images, drawn evenly over the classes: a count, or a share when below 1; 0 for all",
        "images or share",
        ge=0,
    )
    per_class: int = setting(
        0,
        "training images of each class that patches, textures and drawn make; 0 for the source's own number",
        "images",
        ge=0,
        le=1_000_000,
    )
    characters: str = setting(
        "0123456789", "what drawn draws: digits, letters, any characters of the fonts", min_length=1
    )
    skip_bad: bool = setting(False, "leave files out that can't be read, and record which")
    preprocess: PreprocessKind = setting(
        PreprocessKind.STANDARDISE,
        "standardise: zero mean and unit deviation per channel over the training split; mean: subtract the "
        "channel's mean; lenet5: black is -0.1, white 1.175; unit: divide by 255; none: values from 0 to 255",
    )
    augment: AugmentConfig = setting(AugmentConfig(), "how training images are varied")

    @field_validator("validation", "test", "train_images")
    @classmethod
    def _whole_or_share(cls, value: int | float) -> int | float:
        if value >= 1 and value != int(value):
            raise ValueError("should be a whole number of images, or a share below 1")
        return int(value) if value >= 1 or value == 0 else value

    @field_validator("size", mode="before")
    @classmethod
    def _side_or_sides(cls, value: object) -> object:
        # A single number is a square, also as text.
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(text, str) and text.isdecimal():
            text = f"{text}x{text}"
        if isinstance(text, str) and text and not _SIZE.fullmatch(text):
            raise ValueError("should be height x width in pixels, such as 64x64")
        return text

    @field_validator("channels")
    @classmethod
    def _grey_or_colour(cls, value: int) -> int:
        if value == 2:
            raise ValueError("should be 1 for grey, 3 for colour or 0 for as they are")
        return value

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width that images are brought to; None for as they are."""
        if not self.size:
            return None
        height, width = map(int, self.size.split("x"))
        return height, width

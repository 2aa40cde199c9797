"""How training images are varied, anew in every epoch."""

from __future__ import annotations

from enum import StrEnum

from cutaway.config.section import Section, setting


class Fill(StrEnum):
    """What stands where a moved or turned image no longer reaches."""

    REFLECT = "reflect"
    EDGE = "edge"
    MEAN = "mean"


class AugmentConfig(Section):
    """The ``[data.augment]`` section; as it stands by itself, nothing is varied."""

    jitter: int = setting(
        0,
        "move the image by up to so many pixels within clutter: patches of the batch's other images",
        "pixels",
        ge=0,
        le=4096,
    )
    clutter: int = setting(16, "side of the patches in jitter's clutter", "pixels", ge=1, le=4096)
    shift: int = setting(0, "move by up to so many pixels, in both directions", "pixels", ge=0, le=4096)
    flip: bool = setting(False, "mirror left to right, each image with an even chance")
    flip_vertical: bool = setting(False, "mirror top to bottom, each image with an even chance")
    rotate: float = setting(0.0, "turn by up to so many degrees, both ways", "degrees", ge=0, le=180)
    scale: float = setting(0.0, "enlarge or shrink by up to this share", ge=0, lt=1)
    shear: float = setting(
        0.0, "slant by up to so many degrees, both ways, as italics are", "degrees", ge=0, le=60
    )
    crop: float = setting(
        1.0,
        "take a window with at least this share of the area, sides 3:4 to 4:3, and scale it back",
        gt=0,
        le=1,
    )
    cutout: int = setting(0, "cover a square of this side, anywhere, with the mean", "pixels", ge=0, le=4096)
    mixup: float = setting(
        0.0,
        "blend pairs of images and their classes with shares from Beta(a, a); each keeps at least half",
        ge=0,
        le=100,
    )
    fill: Fill = setting(Fill.REFLECT, "what shift, rotate and scale fill uncovered pixels with")

    @property
    def idle(self) -> bool:
        """Whether nothing is varied."""
        moved = self.jitter or self.shift or self.warped or self.cutout or self.mixup
        return not (moved or self.flip or self.flip_vertical)

    @property
    def warped(self) -> bool:
        """Whether pixels come to stand between others, so that an image is interpolated."""
        return bool(self.crop < 1 or self.rotate or self.scale or self.shear)

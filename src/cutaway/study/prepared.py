"""A study made ready: its images loaded, its variants made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cutaway.config import Experiment, StoppingKind, Study, load_experiment, load_study, nested
from cutaway.data import Split
from cutaway.errors import ConfigError
from cutaway.nets import Shape
from cutaway.study.expand import expand
from cutaway.study.images import ImageShelf
from cutaway.study.variant import Variant


@dataclass(frozen=True)
class Prepared:
    """A study that is ready to be run.

    Args:
        study: what was asked for.
        base: its experiment, complete.
        variants: all of them, the base first, those that can't be trained with their problem.
        input_shape: ``(C, H, W)`` of the images.
        shelf: the images.
    """

    study: Study
    base: Experiment
    variants: list[Variant]
    input_shape: Shape
    shelf: ImageShelf

    @property
    def splits(self) -> Mapping[str, Split]:
        """The splits of its images."""
        return self.shelf.images(self.base).splits


def prepare_study(study: str | Path | Study, folder: Path) -> Prepared:
    """Load a study's images and make its variants.

    Args:
        study: a TOML file or a ``Study``.
        folder: of its shared files.

    Raises:
        ConfigError, NotFoundError, DataError: the study, its base or its data is wrong.
    """
    asked = load_study(study)
    base = load_experiment(asked.base)
    shelf = ImageShelf(folder)
    first = load_experiment(base, nested(asked.experiment))
    images = shelf.images(first)

    def train_images(experiment: Experiment) -> int:
        return len(shelf.images(experiment).split("train"))

    variants = expand(asked, base, images.shape, len(images.classes), train_images)
    _check_stopping(asked, "validation" in images.splits)
    return Prepared(asked, first, variants, images.shape, shelf)


def _check_stopping(study: Study, has_validation: bool) -> None:
    if study.stopping.rule is StoppingKind.NONE:
        return
    if not has_validation:
        raise ConfigError(
            "stopping.rule chooses by validation error, but there is no validation split. "
            'Set data.validation in [experiment], or stopping.rule = "none".'
        )
    if study.budget.minutes:
        raise ConfigError(
            "stopping.rule compares variants at shares of their images, and budget.minutes is a time. "
            "Leave one of the two out."
        )

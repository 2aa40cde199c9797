"""The images of a study's variants: loaded once each, and lying in a file for the workers."""

from __future__ import annotations

from pathlib import Path

from cutaway.config import AugmentConfig, DataConfig, Experiment, PreprocessKind
from cutaway.data import Images, fingerprint, load_images
from cutaway.study.shared import share_images
from cutaway.training import Task, prepare


class ImageShelf:
    """Images by what decides them; preprocessing and augmentation don't.

    Args:
        folder: where files for the workers are written; :meth:`close` removes them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images: dict[DataConfig, Images] = {}
        self._files: dict[DataConfig, tuple[Path, str]] = {}
        self._tasks: dict[DataConfig, Task] = {}

    def images(self, experiment: Experiment) -> Images:
        """The images of an experiment.

        Raises:
            as :func:`cutaway.data.load_images`.
        """
        key = pixels_of(experiment)
        if key not in self._images:
            self._images[key] = load_images(experiment.data)
        return self._images[key]

    def task(self, experiment: Experiment) -> Task:
        """An experiment made ready on its images.

        Raises:
            as :func:`cutaway.training.prepare`.
        """
        like = self._tasks.get(experiment.data)
        self._tasks[experiment.data] = prepare(experiment, self.images(experiment), like)
        return self._tasks[experiment.data]

    def file(self, experiment: Experiment) -> tuple[Path, str]:
        """The file of an experiment's images, and their fingerprint.

        Raises:
            StoreError: the disk is full, or the folder can't be written.
        """
        key = pixels_of(experiment)
        if key not in self._files:
            images = self.images(experiment)
            found = fingerprint(images)
            path = self._folder.resolve() / f"images-{found}.safetensors"
            if not path.is_file():
                share_images(images, path)
            self._files[key] = (path, found)
        return self._files[key]

    def close(self) -> None:
        """Remove the files; workers that map one keep it until they let go."""
        for path, _ in self._files.values():
            path.unlink(missing_ok=True)
        self._files.clear()


def pixels_of(experiment: Experiment) -> DataConfig:
    """What decides the images of an experiment, before they are preprocessed and augmented."""
    plain = {"augment": AugmentConfig(), "preprocess": PreprocessKind.NONE}
    return experiment.data.model_copy(update=plain)

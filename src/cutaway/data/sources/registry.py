"""The registry of sources, and what every source gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cutaway.config import DataConfig
from cutaway.data.images import Images
from cutaway.data.sizing import bring
from cutaway.errors import NotFoundError
from cutaway.registry import Registry


@dataclass(frozen=True)
class Source:
    """A kind of place that images come from.

    Args:
        summary: one line for lists.
        load: gives the splits that there are of what a ``[data]`` section names, "train" at least.
        sized: ``load`` brings the images to the section's size, channels and border by itself.
        named: the section gives a name after it, as in ``hf:NAME``.
    """

    summary: str
    load: Callable[[DataConfig], Images]
    sized: bool = False
    named: bool = False


SOURCES: Registry[Source] = Registry("source", NotFoundError)


def load_source(config: DataConfig) -> Images:
    """The splits that the source has, their images in the size and channels that are asked for.

    Raises:
        NotFoundError: there is no such source, folder or file.
        DataError: a file is damaged or does not fit the others.
    """
    kind, colon, _ = config.source.partition(":")
    source = SOURCES[kind if colon and kind in SOURCES and SOURCES[kind].named else config.source]
    images = source.load(config)
    return images if source.sized else bring(images, config)

"""The registry of sources, and what every source gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cutaway.config import DataConfig
from cutaway.data.images import Images
from cutaway.errors import NotFoundError
from cutaway.registry import Registry


@dataclass(frozen=True)
class Source:
    """A kind of place that images come from.

    Args:
        summary: one line for lists.
        load: gives the splits "train" and "test" of what a ``[data]`` section names.
    """

    summary: str
    load: Callable[[DataConfig], Images]


SOURCES: Registry[Source] = Registry("source", NotFoundError)


def load_source(config: DataConfig) -> Images:
    """The splits "train" and "test" as the source has them.

    Raises:
        NotFoundError: there is no such source, folder or file.
        DataError: a file is damaged or does not fit the others.
    """
    return SOURCES[config.source].load(config)

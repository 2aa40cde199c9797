"""Images from anywhere, as one kind of value."""

from __future__ import annotations

from cutaway.config import DataConfig
from cutaway.data.augment import Augment, Varied
from cutaway.data.digest import division, fingerprint
from cutaway.data.framing import Framing
from cutaway.data.images import Images, Split
from cutaway.data.picture import read_picture
from cutaway.data.preprocess import Preprocess, pixel_statistics
from cutaway.data.pyramid import gaussian_pyramid
from cutaway.data.recognise import Recognised, recognise
from cutaway.data.sources import SOURCES, Source, load_source
from cutaway.data.split import divide

__all__ = [
    "SOURCES",
    "Augment",
    "Framing",
    "Images",
    "Preprocess",
    "Recognised",
    "Source",
    "Split",
    "Varied",
    "divide",
    "division",
    "fingerprint",
    "gaussian_pyramid",
    "load_images",
    "load_source",
    "pixel_statistics",
    "read_picture",
    "recognise",
]


def load_images(config: DataConfig) -> Images:
    """The dataset that a ``[data]`` section describes, with its splits train, validation and test.

    Raises:
        NotFoundError: there is no such source, folder or file.
        DataError: a file is damaged or does not fit the others.
        ConfigError: the splits can't be made as asked for.
    """
    return divide(load_source(config), config)

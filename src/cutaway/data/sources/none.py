"""``none``: a run whose weights came from elsewhere, with no images of its own."""

from __future__ import annotations

from cutaway.config import DataConfig
from cutaway.data.images import Images
from cutaway.data.sources.registry import SOURCES, Source
from cutaway.errors import NotFoundError


def _load(config: DataConfig) -> Images:
    del config
    raise NotFoundError("This run was imported and has no images of its own: give image files.")


SOURCES.add("none")(Source("no images: for weights from elsewhere", _load))

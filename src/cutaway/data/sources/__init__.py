"""Where images come from: a file a source, one registry."""

from cutaway.data.sources.registry import SOURCES, Source, load_source

from cutaway.data.sources import cifar, drawn, folder, hub, idx, mnist, none, npz, patches, textures  # isort: skip  # noqa: F401  importing registers them

__all__ = ["SOURCES", "Source", "load_source"]

"""Where images come from: a file a source, one registry."""

from cutaway.data.sources.registry import SOURCES, Source, load_source

from cutaway.data.sources import idx, mnist, none  # isort: skip  # noqa: F401  importing registers them

__all__ = ["SOURCES", "Source", "load_source"]

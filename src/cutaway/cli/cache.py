"""``cutaway data cache``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from cutaway.cli.console import Json, say, say_json, say_table


def cache(*, clear: Annotated[bool, Parameter(negative="")] = False, json: Json = False) -> None:
    """What decoded images take on the disk, and from which folders and archives they are.

    Parameters
    ----------
    clear
        remove all of it; what is needed is decoded again
    """
    from cutaway.config import show_bytes
    from cutaway.pictures import cache_entries, cache_folder, clear_cache

    if clear:
        freed = clear_cache()
        if json:
            say_json({"folder": str(cache_folder()), "freed": freed})
        else:
            say(f"{show_bytes(freed)} freed in {cache_folder()}.")
        return
    entries = cache_entries()
    if json:
        facts = [
            {"path": entry.path, "images": entry.images, "shape": list(entry.shape), "bytes": entry.size}
            for entry in entries
        ]
        say_json({"folder": str(cache_folder()), "entries": facts})
        return
    say(f"{cache_folder()} (CUTAWAY_CACHE names another)")
    if entries:
        say_table(
            ["images>", "shape", "size>", "from"],
            [[f"{e.images:,}", "×".join(map(str, e.shape)), show_bytes(e.size), e.path] for e in entries],
        )

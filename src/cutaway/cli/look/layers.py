"""``cutaway look layers``."""

from __future__ import annotations

from cutaway.cli.console import Json, RunName, StoreOption, say_json, say_table


def layers(run: RunName, /, *, store: StoreOption = StoreOption(), json: Json = False) -> None:
    """What can be looked at: every layer in the order of computing, as the other looks name it."""
    from cutaway.look import layers as find_layers

    found = store.open().find(run)
    rows = find_layers(found.subject())
    if json:
        told = [{"name": row.name, "kind": row.kind, "shape": list(row.shape)} for row in rows]
        say_json({"run": found.id, "layers": told})
        return
    say_table(
        ["layer", "kind", "gives"], [[row.name, row.kind, "×".join(map(str, row.shape))] for row in rows]
    )

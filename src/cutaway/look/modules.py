"""The modules of a model by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from cutaway.errors import NotFoundError


def named_modules(model: nn.Module) -> dict[str, nn.Module]:
    """All modules inside a model by dotted name, and the model itself under "".

    The names are those of ``named_modules()``. A module that stands in two places has the name of the
    first one. Keras keeps its layers in a list that PyTorch does not look into; they are found by
    their own names.
    """
    found: dict[str, nn.Module] = {}
    known: set[int] = set()
    for prefix, module in [("", model), *_hidden(model, "")]:
        for name, inner in module.named_modules(prefix=prefix):
            if id(inner) not in known:
                known.add(id(inner))
                found[name] = inner
    return found


def refuse_second_names(model: nn.Module, modules: Mapping[str, nn.Module], layers: Sequence[str]) -> None:
    """A module in two places has two names but one count of its calls: nobody should guess which is meant.

    Raises:
        NotFoundError: a layer is the second name of a module; the message has the first one.
    """
    if all(layer in modules for layer in layers):
        return
    everywhere = dict(model.named_modules(remove_duplicate=False))
    for layer in layers:
        if layer in everywhere and layer not in modules:
            first = next(name for name, module in modules.items() if module is everywhere[layer])
            told = f"{first}@1, {first}@2 and so on in the order of computing"
            raise NotFoundError(f"{layer} is the same module as {first}, whose outputs are {told}.")


def _hidden(model: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """Layers that a model lists as ``layers``, each with its ``name``: Keras does."""
    layers = getattr(model, "layers", None)
    if not isinstance(layers, list):
        return
    for layer in layers:
        name = getattr(layer, "name", None)
        if isinstance(layer, nn.Module) and isinstance(name, str):
            yield f"{prefix}{name}", layer
            yield from _hidden(layer, f"{prefix}{name}.")

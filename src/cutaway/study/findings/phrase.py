"""What a variant changes, as the beginning of a sentence: "Without relu1", "With relu1 → tanh"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cutaway.errors import ConfigError
from cutaway.nets import parse_edits
from cutaway.nets.edits import Edit, EditKind
from cutaway.study.variant import Origin, Variant


def phrase(variant: Variant) -> str:
    """What is changed, from a capital letter on.

    A variant with a name of its own is called by that; any other by its edits and fields, or by the
    layers that a study takes out or freezes.
    """
    if variant.origin is Origin.BASE:
        return "The base"
    if variant.origin in {Origin.FREEZE, Origin.FREEZE_UP_TO} and variant.layers:
        return f"With {_through(variant.layers)} {_frozen(variant)}"
    if variant.name.lower().startswith(("without ", "with ")):
        return variant.name[0].upper() + variant.name[1:]
    if variant.origin in {Origin.ABLATE, Origin.STAGE} and variant.layers:
        return f"Without {_listed(variant.layers)}"
    said = ", ".join(_parts(variant)) if _speaks_for_itself(variant) else ""
    return said[0].upper() + said[1:] if said else f'With "{variant.name}"'


def _speaks_for_itself(variant: Variant) -> bool:
    """Whether the name is only what is changed, which a sentence says better."""
    told = [*([variant.edits] if variant.edits else []), *variant.changes]
    return bool(told) and all(text in variant.name for text in told)


def _parts(variant: Variant) -> list[str]:
    edits = _edits(variant.edits)
    without = [edit.name for edit in edits if edit.kind is EditKind.REMOVE]
    kept = [edit.name for edit in edits if edit.kind is EditKind.KEEP]
    given = [_FORMS[edit.kind].format(edit=edit) for edit in edits if edit.kind in _FORMS]
    given += _fields(variant.changes, _frozen(variant))
    return [
        *([f"without {_listed(without)}"] if without else []),
        *(f"cut off after {name}" for name in kept),
        *([f"with {_listed(given)}"] if given else []),
    ]


_FORMS = {
    EditKind.REPLACE: "{edit.name} → {edit.value}",
    EditKind.CHANGE: "{edit.name}.{edit.argument} {edit.value}",
    EditKind.INSERT: "{edit.value} after {edit.name}",
    EditKind.APPEND: "{edit.value} at the end",
}


def _edits(text: str) -> tuple[Edit, ...]:
    try:
        return parse_edits(text)
    except ConfigError:  # the variant has it as its problem
        return ()


def _fields(changes: Mapping[str, object], frozen: str) -> list[str]:
    return [
        f"{_shown(value)} {frozen}" if name == "train.freeze" else f"{name} {_shown(value)}"
        for name, value in changes.items()
    ]


def _frozen(variant: Variant) -> str:
    # Layers that learnt as an autoencoder before are not random any more.
    return "frozen" if variant.experiment.pretrain.layers else "random and frozen"


def _shown(value: object) -> str:
    return _listed([str(one) for one in value]) if isinstance(value, list | tuple) else str(value)


def _through(layers: Sequence[str]) -> str:
    return layers[0] if len(layers) == 1 else f"{layers[0]} to {layers[-1]}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if len(names) > 1 else []), names[-1]]) if names else ""

"""Edits of a net: layers taken out, replaced, changed, added, or all behind one cut off.

An edit is text, blanks between several, as a person writes an ablation:

    -relu1                  take a layer out; -relu* every one that the pattern names
    relu*=tanh              replace; the new word may have arguments: pool1=maxpool 3 stride 2
    conv1.filters=3         change one argument
    conv2+=batchnorm        put a layer behind another one
    ..pool2                 keep the layers up to and including this one
    +dense 10               add a layer at the end

Edits are done one after another; a layer that one brings in can be named by those behind it, and
the names of layers that stay do not change. Shapes follow by themselves when the edited net
is planned; where they can't, :func:`edited_plan` says which edit would mend it.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from cutaway.errors import ConfigError, NotFoundError, nearest
from cutaway.nets.notation import NetSpec, parse_net
from cutaway.nets.plan import Plan, PlanError, plan
from cutaway.nets.words import Layer, Shape, Word


class EditKind(StrEnum):
    """What an edit does; the value shows its form."""

    REMOVE = "-NAME"
    REPLACE = "NAME=WORD"
    CHANGE = "NAME.ARGUMENT=VALUE"
    INSERT = "NAME+=WORD"
    KEEP = "..NAME"
    APPEND = "+WORD"


@dataclass(frozen=True)
class Edit:
    """One edit.

    Args:
        kind: what it does.
        name: the layer's name, or a pattern with ``*`` for several; empty for ``APPEND``.
        value: a word with its arguments, or an argument's value.
        argument: for ``CHANGE``, which one.
    """

    kind: EditKind
    name: str = ""
    value: str = ""
    argument: str = ""

    def text(self) -> str:
        """The edit as it is written; parsing it gives an equal one."""
        form = {
            EditKind.REMOVE: f"-{self.name}",
            EditKind.REPLACE: f"{self.name}={self.value}",
            EditKind.CHANGE: f"{self.name}.{self.argument}={self.value}",
            EditKind.INSERT: f"{self.name}+={self.value}",
            EditKind.KEEP: f"..{self.name}",
            EditKind.APPEND: f"+{self.value}",
        }
        return form[self.kind]


def parse_edits(text: str) -> tuple[Edit, ...]:
    """The edits that a text describes; none for an empty one.

    Raises:
        ConfigError: a piece is no edit; the message shows the forms.
    """
    pieces: list[str] = []
    for token in text.replace(",", " ").split():
        starts = token[0] in "-+." or "=" in token
        # "tanh" in "relu1=leakyrelu 0.1" belongs to what stands before it, "0.1" too.
        if starts and not _is_number(token):
            pieces.append(token)
        elif pieces and ("=" in pieces[-1] or pieces[-1].startswith("+")):
            pieces[-1] += f" {token}"
        else:
            raise _no_edit(token)
    return tuple(_edit(piece) for piece in pieces)


def apply_edits(spec: NetSpec, edits: str | Sequence[Edit]) -> NetSpec:
    """The net after some edits. Layers that stay keep their names.

    Raises:
        ConfigError: a piece of the text is no edit, a value is wrong, or nothing would be left.
        NotFoundError: no layer has such a name.
    """
    names = _Names(spec)
    layers = list(spec.layers)
    for edit in parse_edits(edits) if isinstance(edits, str) else edits:
        if edit.kind is EditKind.APPEND:
            layers.append(names.layer(_word(edit)))
            continue
        chosen = _chosen(layers, edit.name)
        if edit.kind is EditKind.KEEP:
            layers = layers[: 1 + max(layers.index(layer) for layer in chosen)]
        else:
            layers = list(_changed(layers, chosen, edit, names))
    if not layers:
        raise ConfigError("These edits leave no layer.")
    return NetSpec(tuple(_numbered(layers)))


def edited_plan(spec: NetSpec, edits: str | Sequence[Edit], input_shape: Shape) -> Plan:
    """The plan of an edited net.

    Raises:
        as :func:`apply_edits`, and
        PlanError: a layer can't work on what is now before it; the message ends with edits that
            would mend it.
    """
    edited = apply_edits(spec, edits)
    try:
        return plan(edited, input_shape)
    except PlanError as error:
        ways = mending_edits(edited, input_shape)
        told = f"\n    Mended by: {', or '.join(ways)}" if ways else ""
        raise PlanError(f"{error}{told}", error.layer) from None


def mending_edits(spec: NetSpec, input_shape: Shape, most: int = 3) -> list[str]:
    """Single edits with which a net that can't be planned can be, the gentlest first."""
    try:
        plan(spec, input_shape)
    except PlanError as error:
        failing = error.layer
    else:
        return []
    names = [layer.name for layer in spec.layers]
    at = names.index(failing)
    shrinking = [layer.name for layer in spec.layers[:at] if layer.word.stem in {"pool", "conv"}]
    tries = [f"{failing}.same=true", f"{failing}.padding=1"]
    tries += [f"{names[at - 1]}+=flatten"] if at else []
    tries += [f"{failing}.{field}={size}" for size in range(7, 0, -1) for field in ("kernel", "size")]
    tries += [f"-{name}" for name in [failing, *reversed(shrinking)]]
    tries += [f"-{layer.name}" for layer in spec.layers if layer.word.stem == "flatten"]
    found: list[str] = []
    for text in tries:
        field = text.partition("=")[0]
        if len(found) < most and not any(other.partition("=")[0] == field for other in found):
            found += [text] if _works(spec, text, input_shape) else []
    return found


def show_edits(before: NetSpec, after: NetSpec) -> str:
    """The edits as a diff of the two texts: ``-`` for lines that went, ``+`` for those that came."""
    old, new = ([f"{layer.name}: {layer.word.text()}" for layer in net.layers] for net in (before, after))
    return "\n".join(line for line in difflib.ndiff(old, new) if line[0] != "?")


def _works(spec: NetSpec, text: str, input_shape: Shape) -> bool:
    try:
        plan(apply_edits(spec, text), input_shape)
    except (ConfigError, NotFoundError):
        return False
    return True


def _edit(piece: str) -> Edit:
    left, equals, value = (part.strip() for part in piece.partition("="))
    if piece.startswith("..") and piece[2:] and not equals:
        return Edit(EditKind.KEEP, piece[2:])
    if piece.startswith("-") and piece[1:] and not equals:
        return Edit(EditKind.REMOVE, piece[1:])
    if piece.startswith("+") and piece[1:] and not equals:
        return Edit(EditKind.APPEND, value=piece[1:])
    if not equals or not left or not value or left[0] in "-+.":
        raise _no_edit(piece)
    if left.endswith("+"):
        return Edit(EditKind.INSERT, left[:-1], value)
    name, dot, argument = left.rpartition(".")
    if dot:
        return Edit(EditKind.CHANGE, name, value, argument)
    return Edit(EditKind.REPLACE, left, value)


def _no_edit(piece: str) -> ConfigError:
    forms = ", ".join(kind.value for kind in EditKind)
    return ConfigError(f'"{piece[:40]}" is no edit of a net. The forms are: {forms}.')


def _is_number(token: str) -> bool:
    return token.lstrip("-+.")[:1].isdigit()


def _chosen(layers: Sequence[Layer], pattern: str) -> list[Layer]:
    """The layers that a name or a pattern means; ``relu*`` also means those that got a name."""
    kind = pattern.removesuffix("*")
    found = [
        layer
        for layer in layers
        if fnmatch.fnmatchcase(layer.name, pattern)
        or (kind != pattern and layer.word.text().split()[0] == kind)
    ]
    if not found:
        raise NotFoundError(
            f'There is no layer "{pattern[:40]}".{nearest(pattern, [x.name for x in layers])}'
        )
    return found


def _changed(layers: Sequence[Layer], chosen: Sequence[Layer], edit: Edit, names: _Names) -> Iterator[Layer]:
    for layer in layers:
        if layer not in chosen:
            yield layer
        elif edit.kind is EditKind.REPLACE:
            word = _word(edit)
            # Of the same kind it is still that layer; of another one its name says what it is now.
            same = word.stem == layer.word.stem or layer.named
            yield replace(layer, word=word) if same else names.layer(word, like=layer)
        elif edit.kind is EditKind.CHANGE:
            yield replace(layer, word=_with_argument(layer, edit))
        elif edit.kind is EditKind.INSERT:
            yield layer
            yield names.layer(_word(edit))


class _Names:
    """Names for new layers: none that the net before the edits has."""

    def __init__(self, spec: NetSpec) -> None:
        self._taken = {layer.name for layer in spec.layers}

    def layer(self, word: Word, like: Layer | None = None) -> Layer:
        """A layer of a new word, with the number of the layer that it stands for where that is free."""
        number = like.name.removeprefix(like.word.stem) if like else ""
        name = f"{word.stem}{number}" if number else f"{word.stem}1"
        count = 1
        while name in self._taken:
            count += 1
            name = f"{word.stem}{count}"
        self._taken.add(name)
        return Layer(name, word)


def _numbered(layers: Sequence[Layer]) -> Iterator[Layer]:
    """The layers a line each; those whose name is no longer their count have it written out."""
    counts: dict[str, int] = {}
    for line, layer in enumerate(layers, 1):
        stem = layer.word.stem
        counts[stem] = counts.get(stem, 0) + 1
        named = layer.named or layer.name != f"{stem}{counts[stem]}"
        yield replace(layer, named=named, line=line, column=1)


def _word(edit: Edit) -> Word:
    """The word that an edit brings in."""
    try:
        (layer,) = parse_net(edit.value).layers
    except ValueError:
        raise ConfigError(f'"{edit.text()}": {edit.value} should be one layer without a name.') from None
    except ConfigError as error:
        raise _in_edit(edit, error) from None
    if layer.named:
        raise ConfigError(f'"{edit.text()[:60]}": {edit.value[:40]} should be one layer without a name.')
    return layer.word


def _with_argument(layer: Layer, edit: Edit) -> Word:
    """A layer's word with one argument changed, checked as if it were written so."""
    word, name = layer.word, _ALIASES.get(edit.argument, edit.argument)
    known = [field.name for field in fields(word)]
    if name not in known:
        raise ConfigError(f'"{edit.text()}": {layer.name} has no argument "{name}".{nearest(name, known)}')
    value = _value(getattr(word, name), edit)
    changes = {name: value}
    if name == "same" and value and "padding" in known:
        changes["padding"] = (0, 0)
    if name == "padding" and "same" in known:
        changes["same"] = False
    if name == "size" and "stride" in known and _same_value(word, "stride", "size"):
        changes["stride"] = value  # a pool's stride follows its window where it did before
    try:
        (checked,) = parse_net(replace(word, **changes).text()).layers
    except ConfigError as error:
        raise _in_edit(edit, error) from None
    return checked.word


def _same_value(word: Word, *names: str) -> bool:
    return len({getattr(word, name) for name in names}) == 1


_ALIASES = {"pad": "padding", "window": "size", "p": "probability", "eps": "epsilon"}


def _value(before: object, edit: Edit) -> object:
    """An argument's new value, of the type of the one before it."""
    text = edit.value.lower()
    kinds: dict[type, tuple[str, str]] = {
        bool: ("true or false", r"true|false"),
        int: ("a whole number", r"\d{1,12}"),
        float: ("a number", r"\d*\.?\d+(?:e[-+]?\d+)?"),
        tuple: ("a size such as 3 or 3x5", r"\d{1,12}(?:x\d{1,12})?"),
    }
    wanted, pattern = kinds[type(before)]
    if not re.fullmatch(pattern, text, re.ASCII):
        raise ConfigError(
            f'"{edit.text()[:60]}": {edit.argument} should be {wanted}, not "{edit.value[:40]}".'
        )
    if isinstance(before, bool):
        return text == "true"
    if isinstance(before, tuple):
        height, _, width = text.partition("x")
        return int(height), int(width or height)
    return float(text) if isinstance(before, float) else int(text)


def _in_edit(edit: Edit, error: ConfigError) -> ConfigError:
    """A mistake in an edit's word, without the line and column of a net's text."""
    problem = str(error).splitlines()[0].split(": ", 1)[-1]
    return ConfigError(f'"{edit.text()[:60]}": {problem}')

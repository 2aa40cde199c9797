"""Experiments and studies as TOML: read, overridden, written out complete."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel

from cutaway.config.experiment import Experiment
from cutaway.config.section import Section, parse, section_of
from cutaway.config.study import Study
from cutaway.errors import ConfigError, NotFoundError, nearest

_CATALOGUE = resources.files("cutaway.config") / "catalogue"


def catalogue() -> list[str]:
    """The names of the built-in experiments."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in _CATALOGUE.iterdir() if entry.name.endswith(".toml")
    )


def load_experiment(
    experiment: str | Path | Experiment, overrides: Mapping[str, Any] | None = None
) -> Experiment:
    """The experiment in a TOML file, or a built-in one, with some fields replaced.

    Args:
        experiment: a path, the name of a built-in experiment, or an experiment already made.
        overrides: nested fields, as ``{"train": {"lr": "0.05"}}``; strings are read as TOML
            values where they are some, and as they are where the field holds text.

    Raises:
        NotFoundError: there is neither such a file nor such a built-in experiment.
        ConfigError: the file is no TOML, or a field is unknown, of the wrong type or out of range.
    """
    if isinstance(experiment, Experiment):
        values, origin = experiment.model_dump(), "experiment"
    else:
        text, origin = _read(experiment)
        values = _parse(text, origin)
    return parse(Experiment, _merge(values, overrides or {}, Experiment), origin)


def load_study(
    study: str | Path | Study, fields: Mapping[str, Any] | None = None, *, quick: bool = False
) -> Study:
    """The study in a TOML file, its base found from where the file lies.

    Args:
        study: a path, or a study already made.
        fields: of the experiment, nested, to replace in all trials.
        quick: replace what the study has under ``quick``, and say so in its name.

    Raises:
        NotFoundError: there is no such file.
        ConfigError: the file is no TOML, or a field is unknown, of the wrong type or out of range.
    """
    if isinstance(study, Study):
        values, origin, folder = study.model_dump(), "study", Path()
    else:
        path = Path(study)
        if not path.is_file():
            raise NotFoundError(
                f'There is no study file "{study}". See docs/studies.md for how one is written.'
            )
        text, origin = _read(path)
        values, folder = _parse(text, origin), path.parent
    if quick:
        found = parse(Study, values, origin)
        if not found.quick:
            raise ConfigError(f"{origin} has no [quick] fields, so there is no quick one of it.")
        values["experiment"] = nested(found.experiment)
        values = _merge(values, nested(found.quick), read=False) | {"name": f"{found.name}, quick"[:80]}
    for name in ("name", "seed"):
        if name in (fields or {}):
            raise ConfigError(f"--{name}: a study has its own; set name, seeds and first_seed in {origin}.")
    if fields:
        values["experiment"] = _merge(nested(values.get("experiment", {})), fields, Experiment)
    found = parse(Study, values, origin)
    beside = folder / found.base
    return found.model_copy(update={"base": str(beside.resolve())}) if beside.is_file() else found


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by dotted name as nested tables; those that are tables already are taken as they are.

    Raises:
        ConfigError: a name goes on behind a field that has a value.
    """
    found: dict[str, Any] = {}
    for name, value in fields.items():
        place = found
        *tables, last = name.split(".", 1 if name.startswith(_KEYED) else -1)
        for table in tables:
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise ConfigError(f'"{name}": "{table}" has a value already.')
        if isinstance(value, Mapping) and isinstance(place.get(last), dict):
            place[last] |= nested(value)
        else:
            place[last] = nested(value) if isinstance(value, Mapping) and last not in _TABLES else value
    return found


_KEYED = ("init.",)
"""Tables whose keys are layers: the dots in a layer's name are its own."""

_TABLES = ("init", "freeze_after", "grid", "set")


def parse_study(text: str, origin: str = "study") -> Study:
    """The study that a TOML text describes; ``origin`` names it in errors."""
    return parse(Study, _parse(text, origin), origin)


def dump_study(study: Study) -> str:
    """The study as TOML, every default written out, every field explained."""
    return _dump(study)


def parse_experiment(text: str, origin: str = "experiment") -> Experiment:
    """The experiment that a TOML text describes; ``origin`` names it in errors."""
    return parse(Experiment, _parse(text, origin), origin)


def dump_experiment(experiment: Experiment) -> str:
    """The experiment as TOML, every default written out, every field explained."""
    return _dump(experiment)


def _dump(section: Section) -> str:
    document = tomlkit.document()
    _fill(document, section)
    return tomlkit.dumps(document)


def dump_choices(values: Mapping[str, Any], reasons: Mapping[str, str], head: str = "") -> str:
    """Some fields of an experiment as TOML, each with the reason for it; the rest has its defaults.

    Args:
        values: nested fields.
        reasons: by dotted name.
        head: lines to begin with.
    """
    document = tomlkit.document()
    for line in head.splitlines():
        document.add(tomlkit.comment(line))
    _add_choices(document, values, reasons, "")
    return tomlkit.dumps(document)


def _add_choices(
    table: tomlkit.TOMLDocument | tomlkit.items.Table,
    values: Mapping[str, Any],
    reasons: Mapping[str, str],
    prefix: str,
) -> None:
    # Plain values first: TOML reads what follows a table's heading as the table's own.
    for name in sorted(values, key=lambda n: isinstance(values[n], Mapping)):
        value = values[name]
        if isinstance(value, Mapping):
            below = tomlkit.table()
            _add_choices(below, value, reasons, f"{prefix}{name}.")
            table.add(tomlkit.nl())
            table.add(name, below)
            continue
        reason = reasons.get(f"{prefix}{name}", "")
        if reason:
            table.add(tomlkit.comment(reason))
        table.add(name, _item(name, value))


def _read(experiment: str | Path) -> tuple[str, str]:
    path = Path(experiment)
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} can't be read: {error}") from None
    if str(experiment) in catalogue():
        return (_CATALOGUE / f"{experiment}.toml").read_text(encoding="utf-8"), str(experiment)
    raise NotFoundError(
        f'There is no file and no built-in experiment "{experiment}".{nearest(str(experiment), catalogue())}'
    )


def _parse(text: str, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin} is no valid TOML: {error}") from None


def _merge(
    values: dict[str, Any],
    overrides: Mapping[str, Any],
    owner: type[Section] | None = None,
    *,
    read: bool = True,
) -> dict[str, Any]:
    """Values with some replaced.

    Args:
        values: nested fields.
        overrides: likewise.
        owner: the section that they are fields of, where it is known.
        read: strings may be numbers, as on a command line; in TOML they are strings.
    """
    merged = dict(values)
    for key, value in overrides.items():
        field = owner.model_fields.get(key) if owner else None
        if isinstance(value, Mapping):
            below = merged.get(key, {})
            inner = section_of(field.annotation) if field else None
            merged[key] = _merge(below if isinstance(below, dict) else {}, value, inner, read=read)
        elif isinstance(value, str) and read:
            merged[key] = _value(value, text=field is not None and field.annotation is str)
        else:
            merged[key] = value
    return merged


def _value(given: str, *, text: bool) -> Any:
    """A command line's value: a TOML one where it is some, else the text itself.

    Args:
        given: what was typed.
        text: the field holds text, such as a folder named 12; a list may stand for the text of a net.
    """
    if "\n" in given:
        return given
    try:
        value = tomllib.loads(f"value = {given}")["value"]
    except tomllib.TOMLDecodeError:
        return given
    return given if text and not isinstance(value, str | list) else value


def _fill(table: tomlkit.TOMLDocument | tomlkit.items.Table, section: Section) -> None:
    fields = type(section).model_fields
    # Plain values first: TOML reads what follows a table's heading as the table's own.
    for name in sorted(fields, key=lambda n: _is_table(getattr(section, n))):
        value = getattr(section, name)
        if isinstance(value, Section):
            below = tomlkit.table()
            _fill(below, value)
            table.add(name, below)
            continue
        table.add(tomlkit.comment(str(fields[name].description)))
        table.add(name, _item(name, value))


def _is_table(value: Any) -> bool:
    """Whether TOML writes a value under a heading of its own."""
    return isinstance(value, BaseModel) or (isinstance(value, tuple) and _is_table(next(iter(value), None)))


def _item(name: str, value: Any) -> Any:
    """A value as TOML writes it."""
    # A net is read without its blank ends, so it may end in a line break; TOML would read "\r\n" as "\n".
    if name == "net" and "\n" in value and "\r" not in value:
        return tomlkit.string(value + "\n", multiline=True)
    if isinstance(value, Mapping):
        table = tomlkit.inline_table()
        table.update({key: _item("", below) for key, below in value.items()})
        return table
    if isinstance(value, tuple | list):
        return [_item("", below.model_dump() if isinstance(below, Section) else below) for below in value]
    return str(value) if isinstance(value, str) else value

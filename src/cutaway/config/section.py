"""What all parts of a description share: frozen, complete, every number with its range."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from cutaway.errors import ConfigError, nearest


class Section(BaseModel):
    """A frozen value with checked fields; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        kinds = {annotation, *get_args(annotation)}
        if isinstance(value, bool) and bool not in kinds and kinds & {int, float}:
            raise ValueError("should be a number")
        return value


S = TypeVar("S", bound=Section)


def setting(default: Any, description: str, unit: str = "", **bounds: Any) -> Any:
    """A field with its description, its unit and the range that it must lie in.

    Args:
        default: the value where none is given.
        description: one line for help texts and the reference.
        unit: what the number counts, such as "images"; empty for a ratio or a word.
        bounds: ``ge``, ``gt``, ``le``, ``lt``, ``min_length`` … as pydantic takes them.
    """
    return Field(default=default, description=description, json_schema_extra={"unit": unit}, **bounds)


def parse(model: type[S], values: dict[str, Any], origin: str) -> S:
    """The checked section that ``values`` describe.

    Args:
        model: the section's class.
        values: nested fields as TOML gives them.
        origin: where they came from, for the message.

    Raises:
        ConfigError: a field is unknown, of the wrong type or out of range; the message names up
            to two of them with their dotted path, and the nearest known field.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = dict.fromkeys(_line(model, e["loc"], e) for e in error.errors())
        shown = list(lines)[:2]
        more = f" (and {len(lines) - 2} more)" if len(lines) > 2 else ""
        raise ConfigError(f"{origin}: " + "\n".join(shown) + more) from None


def _line(model: type[Section], location: tuple[int | str, ...], error: Any) -> str:
    path = ".".join(str(part) for part in location if str(part) in _words(model, location))
    if error["type"] == "extra_forbidden":
        owner, name = _owner(model, location), str(location[-1])
        return f'unknown field "{".".join(map(str, location))}".{nearest(name, owner.model_fields)}'
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    return f"{path} {message}, not {error['input']!r}."


def _words(model: type[Section], location: tuple[int | str, ...]) -> set[str]:
    """The parts of a location that a person wrote; pydantic adds the names of union members."""
    names = {str(location[0])}
    owner: type[Section] | None = model
    for part in location:
        if isinstance(part, int) and owner is not None:
            continue  # a place in a list of sections
        field = owner.model_fields.get(str(part)) if owner else None
        if field is None:
            break
        names.add(str(part))
        owner = section_of(field.annotation) or owner
    return names


def _owner(model: type[Section], location: tuple[int | str, ...]) -> type[Section]:
    """The section that the last part of a location belongs to."""
    owner = model
    for part in location[:-1]:
        field = owner.model_fields.get(str(part))
        owner = (section_of(field.annotation) if field else None) or owner
    return owner


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a field holds, one or several of; None where it holds something else."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None

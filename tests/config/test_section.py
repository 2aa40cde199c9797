"""Sections: what a field must state, and what is said of a wrong one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import annotated_types
import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from cutaway.config import Experiment
from cutaway.config.section import Section, parse, setting
from cutaway.errors import ConfigError


class Inner(Section):
    size: int = setting(3, "how large", "pixels", ge=1, le=9)
    share: int | float = setting(0.5, "a count or a share", ge=0)


class Outer(Section):
    title: str = setting("x", "what it is called", min_length=1)
    inner: Inner = setting(Inner(), "the inside")


def _fields(section: type[Section], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        yield f"{path}{name}", field
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _fields(field.annotation, f"{path}{name}.")


FIELDS = dict(_fields(Experiment))


def _is_number(field: FieldInfo) -> bool:
    return field.annotation in (int, float, int | float)


def test_the_fields_of_all_sections_are_seen() -> None:
    assert {"seed", "net", "data.validation", "train.lr"} <= FIELDS.keys()


@pytest.mark.parametrize("path", FIELDS)
def test_every_field_is_described_with_its_unit(path: str) -> None:
    field = FIELDS[path]
    assert field.description
    assert "\n" not in field.description
    assert isinstance(field.json_schema_extra, dict)
    assert isinstance(field.json_schema_extra["unit"], str)


@pytest.mark.parametrize("path", [path for path, field in FIELDS.items() if _is_number(field)])
def test_every_number_has_a_least_value(path: str) -> None:
    assert any(isinstance(m, annotated_types.Ge | annotated_types.Gt) for m in FIELDS[path].metadata)


@pytest.mark.parametrize("path", FIELDS)
def test_every_field_has_a_default(path: str) -> None:
    assert not FIELDS[path].is_required()


def test_a_section_can_t_be_changed() -> None:
    inner = Inner()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(inner, "size", 4)  # noqa: B010  mypy refuses the plain assignment too
    assert inner.size == 3


def test_what_is_not_given_has_its_default() -> None:
    assert parse(Outer, {"inner": {"size": 5}}, "here") == Outer(inner=Inner(size=5))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"titel": "y"}, 'unknown field "titel". Did you mean "title"? Known: inner, title.'),
        ({"inner": {"sise": 1}}, 'unknown field "inner.sise". Did you mean "size"? Known: share, size.'),
        ({"inner": {"qqqq": 1}}, 'unknown field "inner.qqqq". Known: share, size.'),
        ({"inner": {"size": 0}}, "inner.size should be greater than or equal to 1, not 0."),
        ({"inner": {"size": 10}}, "inner.size should be less than or equal to 9, not 10."),
        ({"inner": {"size": []}}, "inner.size should be a valid integer, not []."),
        ({"inner": {"size": float("nan")}}, "inner.size should be a finite number, not nan."),
        ({"inner": {"share": float("inf")}}, "inner.share should be a finite number, not inf."),
        ({"inner": {"share": -1}}, "inner.share should be greater than or equal to 0, not -1."),
        ({"title": 3}, "title should be a valid string, not 3."),
        ({"inner": 3}, "inner should be a valid dictionary or instance of Inner, not 3."),
    ],
)  # fmt: skip
def test_a_wrong_field_is_told_by_its_path(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Outer, values, "exp.toml")
    assert str(caught.value) == f"exp.toml: {message}"


def test_two_wrong_fields_are_told_and_the_others_counted() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Outer, {"a": 1, "b": 2, "title": "", "inner": {"size": 0}}, "exp.toml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("(and 2 more)")


def test_true_is_no_number() -> None:
    for field in ("train.epochs", "data.validation", "train.lr"):
        section, name = field.split(".")
        with pytest.raises(ConfigError, match=f"{field} should be a number, not True"):
            parse(Experiment, {section: {name: True}}, "mine.toml")
    assert parse(Experiment, {"train": {"mirror": True}}, "mine.toml").train.mirror

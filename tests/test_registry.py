"""The registry: entries by name, duplicates refused, unknown names answered."""

from __future__ import annotations

import pytest

from cutaway.errors import ConfigError, NotFoundError
from cutaway.registry import Registry


def _made() -> Registry[int]:
    registry: Registry[int] = Registry("number")
    registry.add("two")(2)
    registry.add("one")(1)
    return registry


def test_entries_are_found_by_name_and_stand_in_the_order_of_registration() -> None:
    registry = _made()
    assert registry["one"] == 1
    assert list(registry) == ["two", "one"]
    assert len(registry) == 2
    assert "two" in registry
    assert "three" not in registry


def test_the_decorator_gives_back_what_it_registers() -> None:
    registry: Registry[type] = Registry("class")

    @registry.add("thing")
    class Thing:
        pass

    assert registry["thing"] is Thing


def test_a_second_entry_of_one_name_is_refused_and_the_first_stays() -> None:
    registry = _made()
    with pytest.raises(ValueError, match="two entries called 'one' in the registry of numbers"):
        registry.add("one")(3)
    assert registry["one"] == 1


def test_an_unknown_name_is_answered_with_the_nearest_and_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        _made()["on"]
    assert str(caught.value) == 'There is no number "on". Did you mean "one"? Known: one, two.'


def test_the_kind_of_error_is_the_registry_s_own() -> None:
    registry: Registry[int] = Registry("number", NotFoundError)
    with pytest.raises(NotFoundError) as caught:
        registry["one"]
    assert str(caught.value) == 'There is no number "one".'

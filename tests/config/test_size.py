"""Sizes of memory as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway.config import Experiment, load_experiment, parse_bytes, show_bytes
from cutaway.errors import ConfigError

SIZES = {
    "0": 0,
    "1234567890": 1_234_567_890,
    "1_000_000_000": 10**9,
    "7B": 7,
    "1k": 1000,
    "1kB": 1000,
    "1KB": 1000,
    "1Ki": 1024,
    "1KiB": 1024,
    "1kib": 1024,
    "500MB": 500_000_000,
    "500 MiB": 500 * 1024 * 1024,
    "  2GiB  ": 2 * 1024**3,
    "2GB": 2_000_000_000,
    "2G": 2_000_000_000,
    "1.5GiB": 3 * 1024**3 // 2,
    "0.25 TiB": 1024**4 // 4,
    "3tb": 3 * 10**12,
}


@pytest.mark.parametrize("text", SIZES)
def test_sizes_are_read(text: str) -> None:
    assert parse_bytes(text) == SIZES[text]
    assert load_experiment(Experiment(), {"train": {"memory": f'"{text}"'}}).train.memory == text


WRONG = ["", " ", "foo", "GiB", "-1", "-1GiB", "+1", "1e9", "1,5GiB", "1.GiB", ".5GiB", "5iB", "5i", "2GiBs",
         "2 G iB", "2PB", "inf", "nan", "2GiB\n3", "٣GiB", "1" * 13, "2GiB free"]  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_size_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="should be a size such as 2GiB or 500MB"):
        parse_bytes(text)


@pytest.mark.parametrize("text", [text for text in WRONG if "\n" not in text])
def test_a_wrong_memory_of_a_recipe_is_told_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_experiment(Experiment(), {"train": {"memory": f'"{text}"'}})
    message = str(caught.value)
    assert "train.memory should be a size such as 2GiB" in message
    assert "\n" not in message


def test_a_wrong_memory_is_repeated_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_experiment(Experiment(), {"train": {"memory": "foo"}})
    assert str(caught.value).count("foo") == 1


# A command line's value that is a number comes as one, and TOML has numbers too.
def test_a_number_alone_is_bytes_in_a_recipe_too() -> None:
    for value in ("2000000000", 2_000_000_000):
        assert (
            parse_bytes(load_experiment(Experiment(), {"train": {"memory": value}}).train.memory) == 2 * 10**9
        )


SHOWN = {
    0: "0 B",
    1: "1 B",
    1023: "1023 B",
    1024: "1.0 KiB",
    1536: "1.5 KiB",
    102_400: "100 KiB",
    10 << 20: "10.0 MiB",
    256 << 20: "256 MiB",
    3 << 29: "1.5 GiB",
    5 << 40: "5120 GiB",
}


@pytest.mark.parametrize("count", SHOWN)
def test_sizes_are_shown(count: int) -> None:
    assert show_bytes(count) == SHOWN[count]


@given(st.integers(0, 1 << 44))
def test_what_is_shown_is_read_as_nearly_the_same(count: int) -> None:
    assert abs(parse_bytes(show_bytes(count)) - count) <= 0.05 * count
    assert len(show_bytes(count)) <= 9

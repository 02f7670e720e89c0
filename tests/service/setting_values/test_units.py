"""Amounts with units are read as they are shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.setting_values import units


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("33554432", 33554432),
        ("32 MiB", 33554432),
        ("32mib", 33554432),
        ("2 GB", 2_000_000_000),
        ("1.5 kB", 1500),
        ("1_000", 1000),
        ("2,048 B", 2048),
    ],
)
def test_bytes(text: str, value: int) -> None:
    assert units.parse_bytes(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("30", 30), ("30 s", 30), ("500 ms", 0.5), ("0.5", 0.5), ("2 min", 120), ("1e-3", 0.001)],
)
def test_seconds(text: str, value: float) -> None:
    assert units.parse_seconds(text) == value


@pytest.mark.parametrize("text", ["", "MiB", "3 lb", "three MB", "1,2 MB", "1.2.3 MB", "30 s"])
def test_what_is_no_amount_of_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="such as 32 MiB or 2 GB"):
        units.parse_bytes(text)


def test_a_part_of_a_byte() -> None:
    with pytest.raises(ValueError, match="whole number of bytes"):
        units.parse_bytes("1.5 B")


@given(st.integers(0, 2**50))
def test_bytes_are_read_as_they_are_shown(value: int) -> None:
    assert units.parse_bytes(units.show_bytes(value)) == value


@given(st.integers(0, 3_600_000))
def test_seconds_are_read_as_they_are_shown(milliseconds: int) -> None:
    shown = units.show_seconds(milliseconds / 1000)
    assert units.parse_seconds(shown) == pytest.approx(milliseconds / 1000, rel=1e-5)


@given(st.integers(0, 2**40))
def test_counts_are_read_as_they_are_shown(value: int) -> None:
    assert int(str(units.parse_count(units.show_count(value)))) == value


def test_numbers_stay() -> None:
    assert (units.parse_bytes(5), units.parse_seconds(0.5), units.parse_count(7)) == (5, 0.5, 7)

"""Amounts as people write them: `32 MiB`, `500 ms`, `25,000,000` ↔ numbers.

A number without a unit is in bytes or seconds.
"""

import re

_BYTES = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_SECONDS = {"µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_SWITCH = dict.fromkeys(("on", "true", "t", "yes", "y", "1"), True)  # pydantic's words
_SWITCH |= dict.fromkeys(("off", "false", "f", "no", "n", "0"), False)
_AMOUNT = re.compile(r"\s*(?P<number>-?[\d.,_]*\d\.?(?:[eE][+-]?\d+)?)\s*(?P<unit>[a-zA-Zµ]*)\s*")


def parse_bytes(value: object) -> object:
    """Parse text such as `32 MiB` to bytes, 33554432; return other values unchanged.

    Raises `ValueError`, which lists the units.
    """
    if not isinstance(value, str):
        return value
    amount = _parse(value, _BYTES, "a number of bytes, such as 32 MiB or 2 GB")
    if not amount.is_integer():
        raise ValueError("should be a whole number of bytes")
    return int(amount)


def parse_seconds(value: object) -> object:
    """Parse text such as `500 ms` to seconds, 0.5; return other values unchanged.

    Raises `ValueError`, which lists the units.
    """
    if not isinstance(value, str):
        return value
    return _parse(value, _SECONDS, "a time, such as 30 s or 500 ms")


def parse_count(value: object) -> object:
    """Remove the commas of a number such as `25,000,000`; other values are returned unchanged."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,3}(,\d{3})+\s*", value):
        return value.replace(",", "")
    return value


def parse_switch(value: object) -> object:
    """Convert `on` or `off` to a boolean; `true`, `yes`, `1` and their opposites are taken, too.

    Values that are no text are returned unchanged. Raises `ValueError` for other text.
    """
    if not isinstance(value, str):
        return value
    word = value.strip().lower()
    if word not in _SWITCH:
        raise ValueError("should be on or off")
    return _SWITCH[word]


def show_switch(value: bool) -> str:
    """Format a boolean as `on` or `off`."""
    return "on" if value else "off"


def show_bytes(value: float) -> str:
    """Format a number of bytes: 33554432 → `32 MiB`, 2000000000 → `2 GB`."""
    for unit in ("GiB", "GB", "MiB", "MB", "KiB", "kB"):
        if value and value % _BYTES[unit] == 0:
            return f"{value // _BYTES[unit]:,.0f} {unit}"
    return f"{value:,.0f} B"


def show_seconds(value: float) -> str:
    """Format a number of seconds: 0.5 → `500 ms`, 30.0 → `30 s`."""
    return f"{value * 1000:g} ms" if 0 < value < 1 else f"{value:g} s"


def show_count(value: float) -> str:
    """Format a number with commas: 25000000 → `25,000,000`."""
    return f"{value:,}"


def _parse(text: str, units: dict[str, float] | dict[str, int], allowed: str) -> float:
    found = _AMOUNT.fullmatch(text)
    by_name = {name.lower(): factor for name, factor in units.items()}
    if found is None or (found["unit"] and found["unit"].lower() not in by_name):
        raise ValueError(f"should be {allowed} (units: {', '.join(units)})")
    number = found["number"].replace("_", "")
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", number):
        number = number.replace(",", "")
    try:
        return round(float(number) * by_name.get(found["unit"].lower(), 1), 9)
    except ValueError:
        raise ValueError(f"should be {allowed} (units: {', '.join(units)})") from None

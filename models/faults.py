"""Errors of pydantic in plain words.

A `fault` here is one of the dicts that `pydantic.ValidationError.errors()` returns.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from models.registry import nearest

if TYPE_CHECKING:
    from pydantic import ValidationError

_PLAIN = {  # by the type of pydantic's error
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "dict_type": "should be a mapping",
    "extra_forbidden": "is not known",
    "finite_number": "should be a finite number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "int_from_float": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_parsing_size": "has too many digits",
    "int_type": "should be a whole number",
    "list_type": "should be a list",
    "missing": "is missing",
    "model_type": "should be a mapping",
    "string_type": "should be text",
    "tuple_type": "should be a list",
}
_LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_SHOW_VALUE = {*_PLAIN, "literal_error"} - {"extra_forbidden", "missing"}
_EXACT_FLOATS = 2**53  # up to which every whole number is a float
_LONGEST_VALUE = 60  # characters of a value that is repeated
_LONGEST_PLACE = 200  # characters


def limit(fault: Mapping[str, Any], show: Callable[[float], str] | None = None) -> str | None:
    """Return a text such as `should be at least 1`; None if the fault is not about a limit.

    `show` formats the number, for example with its unit. Without it every digit is shown.
    """
    for name, words in _LIMITS.items():
        if isinstance(value := fault.get("ctx", {}).get(name), int | float):
            return f"should be {words} {(show or number)(value)}"
    return None


def number(value: float) -> str:
    """Return the number with all of its digits, and whole numbers without a fraction: `1`."""
    is_whole = float(value).is_integer() and abs(value) < _EXACT_FLOATS
    return str(int(value)) if is_whole else str(value)


def reason(fault: Mapping[str, Any]) -> str:
    """Return what is wrong, without the value: `should be a whole number`, for example."""
    if fault["type"] == "json_invalid":
        return f"is no valid JSON: {fault['ctx']['error']}"
    message = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return _PLAIN.get(fault["type"]) or limit(fault) or message


def with_value(fault: Mapping[str, Any]) -> str:
    """Return what is wrong, the value that was given, and the most similar of the allowed words.

    For example: `should be 'grey' or 'viridis', not 'viridi'; did you mean 'viridis'?`
    """
    kind, value = fault["type"], fault.get("input")
    shows_value = kind in _SHOW_VALUE or limit(fault) is not None
    if not shows_value or not isinstance(value, str | int | float):
        return reason(fault)
    if len(text := ascii(value)) > _LONGEST_VALUE:
        text = f"{text[:_LONGEST_VALUE]}…"
    allowed = re.findall("'([^']*)'", str(fault.get("ctx", {}).get("expected", "")))
    near = nearest(str(value), allowed)
    return f"{reason(fault)}, not {text}" + (f"; did you mean {near!r}?" if near else "")


def first(error: "ValidationError") -> str:
    """Return what is wrong first, without the field: `should be a whole number`, for example."""
    return reason(error.errors()[0])


def in_file(error: "ValidationError") -> str:
    """Return what is wrong first in the content of a file, with the field's name.

    For example: `input.width: should be a whole number`. Without a field it is `the file: …`.
    """
    found = error.errors()[0]
    place = ".".join(map(str, found["loc"]))[:_LONGEST_PLACE]  # of the file, which may be anything
    return f"{ascii(place)[1:-1] or 'the file'}: {reason(found)}"

"""An architecture's arguments on the command line: `hidden=[1000,1000] batchnorm=true`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from pydantic import JsonValue

from models.errors import OptionError


def parse(pairs: Sequence[str]) -> dict[str, JsonValue]:
    """Parse arguments that are written as NAME=JSON.

    Raises `OptionError` if one has another form, or if a name is given twice.
    """
    arguments: dict[str, JsonValue] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name.isidentifier() or not equals:
            raise OptionError(f"the argument {pair!r} must be NAME=JSON, dropout=0.5 for example")
        if name in arguments:
            raise OptionError(f"the argument {name!r} is given twice")
        try:
            arguments[name] = json.loads(value, parse_constant=_refuse)
        except ValueError as error:
            raise OptionError(
                f"the argument {name!r} must be JSON, not {value!r}: a number, true, false, null, "
                '[…], or "text" in quotes'
            ) from error
    return arguments


def _refuse(constant: str) -> NoReturn:
    """Raise `ValueError` for NaN and infinities, which Python's parser accepts and JSON doesn't
    have."""
    raise ValueError(constant)


def show(arguments: Mapping[str, Any]) -> str:
    """The arguments as they are written on a command line."""
    return " ".join(
        f"{name}={json.dumps(value, separators=(',', ':'))}" for name, value in arguments.items()
    )


@dataclass(frozen=True)
class Pairs:
    """Marks a field that is written NAME=JSON …; see `parse` and `show`."""


Arguments = Annotated[Mapping[str, Any], Pairs()]
"""The type of a command's field that holds the arguments of an architecture."""

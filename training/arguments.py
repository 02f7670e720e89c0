"""An architecture's arguments on the command line: `hidden=[1000,1000] batchnorm=true`."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NoReturn

import tyro
from pydantic import JsonValue


def parse(pairs: Sequence[str]) -> dict[str, JsonValue]:
    """NAME=JSON, each.

    Raises `ValueError` for what is written otherwise, and for a name given twice.
    """
    arguments: dict[str, JsonValue] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name.isidentifier() or not equals:
            raise ValueError(f"the argument {pair!r} must be NAME=JSON, dropout=0.5 for example")
        if name in arguments:
            raise ValueError(f"the argument {name!r} is given twice")
        try:
            arguments[name] = json.loads(value, parse_constant=_refuse)
        except ValueError as error:
            raise ValueError(
                f"the argument {name!r} must be JSON, not {value!r}: a number, true, false, null, "
                '[…], or "text" in quotes'
            ) from error
    return arguments


def _refuse(constant: str) -> NoReturn:
    """NaN and infinities, which Python reads and JSON doesn't have."""
    raise ValueError(constant)


def _is_arguments(value: Any) -> bool:
    return isinstance(value, Mapping)


Arguments = Annotated[
    Mapping[str, Any],
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="[NAME=JSON ...]",
        instance_from_str=lambda pairs: parse(pairs),
        is_instance=_is_arguments,
        str_from_instance=lambda value: [
            f"{name}={json.dumps(each, separators=(',', ':'))}" for name, each in value.items()
        ],
    ),
]
"""The type of a command's field that holds them."""

"""An architecture's arguments on the command line: `hidden=[1000,1000] batchnorm=true`."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import tyro
from pydantic import JsonValue


def parse(pairs: Sequence[str]) -> dict[str, JsonValue]:
    """NAME=JSON, each; raises `ValueError` for what is not."""
    arguments: dict[str, JsonValue] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        try:
            if not equals or not name.isidentifier():
                raise ValueError(f"write it as NAME={pair or 'VALUE'}")
            arguments[name] = json.loads(value)
        except ValueError as error:
            raise ValueError(f"{pair!r} is not NAME=JSON, as in hidden=[1000] ({error})") from error
    return arguments


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

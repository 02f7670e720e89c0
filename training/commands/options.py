"""Options that several commands take."""

import json
import os
from pathlib import Path
from typing import NoReturn

from pydantic import JsonValue


def data_root() -> Path:
    """The folder named by FANLIGHT_DATA, otherwise ./data."""
    return Path(os.environ.get("FANLIGHT_DATA", "data"))


def repository() -> Path:
    """The folder named by FANLIGHT_REPOSITORY, otherwise ./checkpoints."""
    return Path(os.environ.get("FANLIGHT_REPOSITORY", "checkpoints"))


def arguments(pairs: tuple[str, ...]) -> dict[str, JsonValue]:
    """Arguments of an architecture, each NAME=JSON: hidden=[1000,1000] batchnorm=true.

    Raises `ValueError` for what is written otherwise, and for a name given twice.
    """
    parsed: dict[str, JsonValue] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name.isidentifier() or not equals:
            raise ValueError(f"the argument {pair!r} must be NAME=JSON, dropout=0.5 for example")
        if name in parsed:
            raise ValueError(f"the argument {name!r} is given twice")
        try:
            parsed[name] = json.loads(value, parse_constant=_refuse)
        except ValueError as error:
            raise ValueError(
                f"the argument {name!r} must be JSON, not {value!r}: a number, true, false, null, "
                '[…], or "text" in quotes'
            ) from error
    return parsed


def _refuse(constant: str) -> NoReturn:
    """NaN and infinities, which Python reads and JSON doesn't have."""
    raise ValueError(constant)

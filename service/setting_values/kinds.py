"""Kinds of values that settings have: how each is read, and how help shows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from models import repository_paths
from models.files import EMPTY_PATH
from models.permission import modules
from models.remote.address import address_of
from service.setting_values import addresses, units


@dataclass(frozen=True)
class Shown:
    """How the help shows a setting: `show` formats its default, `metavar` names its value."""

    show: Callable[[Any], str]
    metavar: str


Bytes = Annotated[int, BeforeValidator(units.parse_bytes), Shown(units.show_bytes, "SIZE")]
Seconds = Annotated[float, BeforeValidator(units.parse_seconds), Shown(units.show_seconds, "TIME")]
Switch = Annotated[bool, BeforeValidator(units.parse_switch), Shown(units.show_switch, "on|off")]
Modules = Annotated[tuple[str, ...], NoDecode, BeforeValidator(modules)]
Proxies = Annotated[tuple[str, ...], NoDecode, BeforeValidator(addresses.proxies)]
AllowedOrigins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(addresses.origins)]
Count = Annotated[int, BeforeValidator(units.parse_count), Shown(units.show_count, "N")]


def _not_empty(value: Any) -> Any:
    if value == "":
        raise ValueError(EMPTY_PATH)
    return value


NonEmptyPath = Annotated[Path, BeforeValidator(_not_empty)]


def _folders(value: Any) -> Any:
    """Convert the value of `repository`: one text, one folder, or a folder from each option.

    Raises `ValueError` for an empty name.
    """
    if isinstance(value, str):
        return repository_paths.split(value)
    if isinstance(value, Path):
        value = (value,)
    if isinstance(value, Sequence):
        if "" in value:
            raise ValueError(EMPTY_PATH)
        for each in value:
            address_of(each)  # raises for an address with a password
    return value


Folders = Annotated[tuple[Path, ...] | None, NoDecode, BeforeValidator(_folders)]

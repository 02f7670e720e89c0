"""`fanlight serve`: options and variables → settings → a running server."""

import os
from collections.abc import Sequence
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import click
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsError

from fanlight import errors
from fanlight.fields import given
from fanlight.parameters import NOTHING, Command, Example, OneOf, Option
from models import faults
from models.registry import nearest
from service import launch
from service.setting_values.environment import PREFIX
from service.setting_values.kinds import Shown
from service.settings import GROUPS, Settings

EXAMPLES = (
    Example("fanlight serve", "./checkpoints and what Fanlight ships, at http://127.0.0.1:8000"),
    Example("fanlight serve --repository checkpoints --port 9000"),
    Example("fanlight serve --repository mine --repository theirs", "mine hides theirs"),
    Example("fanlight serve --max-body-bytes '64 MiB' --request-timeout '10 s'"),
    Example("fanlight serve --api-key-file keys.txt --rate-limit 50", "keys by 'fanlight key'"),
    Example("fanlight serve --tls-certificate chain.pem --tls-key key.pem", "HTTPS"),
    Example("FANLIGHT_API_KEY=secret fanlight serve --host 0.0.0.0 --workers 4"),
)
_WORDS = {
    "host": "ADDRESS",
    "repository": "FOLDER",
    "graph_cache": "FOLDER",
    "api_key": "KEY",
    "api_key_file": "FILE",
    "tls_certificate": "FILE",
    "tls_key": "FILE",
    "device": "DEVICE",
    "architectures": "MODULE",
    "trusted_proxies": "ADDRESS",
    "cors_origins": "ORIGIN",
    "root_path": "PATH",
    "invocations_model": "MODEL",
}

_SECRET = ("api_key", "repository")
"""Settings whose wrong value is not shown: it may hold a password."""
_REPEATED = ("repository",)
"""Settings of several values whose option is repeated for each value."""


def command() -> click.Command:
    settings = Settings.model_fields
    grouped = [(group, name) for group, names in GROUPS.items() for name in names]
    return Command(
        "serve",
        callback=_serve,
        help=Settings.__doc__,
        params=[option(name, settings[name], group) for group, name in grouped],
        examples=EXAMPLES,
    )


@click.pass_context
def _serve(ctx: click.Context, /, **values: Any) -> int:
    settings = chosen(ctx, given(ctx))
    with errors.printed():
        if reason := launch.refusal(settings):
            raise click.ClickException(reason)
        launch.serve(settings)
    return 0


def chosen(ctx: click.Context, options: dict[str, Any]) -> Settings:
    """Make the settings of the options that were given, and of variables for the others.

    Raises `click.UsageError` that names what is wrong.
    """
    try:
        return Settings(**options)
    except ValidationError as error:
        raise click.UsageError(error_text(error, options), ctx) from None
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def option(name: str, field: FieldInfo, group: str) -> Option:
    """Make the option of a setting. Pydantic parses its text as it parses a variable's."""
    shown = _shown(field)
    words = _words(field.annotation)
    if shown is not None:
        metavar = shown.metavar
    else:
        metavar = _WORDS.get(name) or ("N" if _is_number(field.annotation) else "NAME")
    default = "" if field.default is None else (shown.show if shown else str)(field.default)
    several: dict[str, Any] = {}
    if get_origin(field.annotation) is tuple:
        metavar = f"{metavar} ..."
        several = {"multiple": True, "takes": lambda word: True, "callback": _several}
    if name in _REPEATED:
        several = {"multiple": True}
    return Option(
        ["--" + name.replace("_", "-"), name],
        **several,
        type=OneOf(name.replace("_", " "), words) if words else click.STRING,
        metavar=None if words else metavar,
        help=(field.description or "").partition("; default: ")[0],
        shown=_elsewhere(field) or default,
        variable=PREFIX + name.upper(),
        group=group,
    )


def _several(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> Any:
    return tuple(value for value in values if value != NOTHING)


def _shown(field: FieldInfo) -> Shown | None:
    """Return how to show values of the setting with their unit; None if it has no unit."""
    parts = (*field.metadata, *(m for kind in get_args(field.annotation) for m in get_args(kind)))
    return next((mark for mark in parts if isinstance(mark, Shown)), None)


def _elsewhere(field: FieldInfo) -> str:
    """Return the default in words if the description ends with one, else an empty string."""
    return (field.description or "").partition("; default: ")[2]


def _words(annotation: Any) -> Sequence[str]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _is_number(annotation: Any) -> bool:
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return bool({int, float} & set(kinds))


def error_text(error: ValidationError, options: dict[str, Any]) -> str:
    """Return a line for each setting that is wrong; `options` were given on the command line."""
    return "\n".join(_line(each, options) for each in error.errors())


def _message(name: str, fault: Any) -> str:
    """Return why pydantic refused the value of a setting, in plain words. Limits have the unit in
    which the setting is given, such as `1 KiB`."""
    field = Settings.model_fields.get(name)
    shown = None if field is None else _shown(field)
    limit = None if shown is None else faults.limit(fault, shown.show)
    return limit or faults.reason(fault)


def _line(fault: Any, options: dict[str, Any]) -> str:
    """Return the line of an error: the setting, what is wrong, and the variable with the value."""
    name = ".".join(map(str, fault["loc"])) or "settings"
    shown = f"--{name.replace('_', '-')}" if name in options else name
    line = f"{shown}: {_message(name, fault)}"
    value = options.get(name, os.environ.get(PREFIX + name.upper(), fault["input"]))
    if fault["loc"] and name not in _SECRET and value not in ("", ("",)):
        line += f", not {value!r}"
        near = nearest(str(value), _words(Settings.model_fields[name].annotation))
        line += f"; did you mean {near!r}?" if near else ""
    if name not in options and PREFIX + name.upper() in os.environ:
        line += f" (variable {PREFIX}{name.upper()})"
    return line

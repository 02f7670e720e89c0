"""The fields of a command's dataclass ↔ the parameters of a command line.

Help and parsing use a field's type, its docstring or `Doc`, and its default.
"""

import ast
import dataclasses
import inspect
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import click
from click.shell_completion import CompletionItem
from typing_extensions import Doc

from fanlight.parameters import (
    NOTHING,
    NUMBER,
    WHOLE_NUMBER,
    Argument,
    Completed,
    NonEmptyPath,
    OneOf,
    Option,
    OrNone,
    is_number,
)
from models.errors import OptionError
from models.registry import Completion
from training.commands.options import File, Positional, Repeated, Variable
from training.recipes import arguments
from training.recipes.arguments import Pairs

_UNSET = object()


def parameters(
    kind: type,
    *,
    without: str | None = None,
    defaults: Any = None,
    group: Callable[[str], str | None] = lambda name: None,
) -> list[click.Parameter]:
    """Make the options of a command: one for each field of the dataclass `kind`.

    The field named `without` is left out. The help shows the values of `defaults`, an instance of
    `kind`, as the defaults, and puts each option under the heading that `group` gives for the name
    of its field.
    """
    hints = get_type_hints(kind, include_extras=True)
    documented = _docstrings(kind)
    return [
        _parameter(field, hints[field.name], documented, defaults, group(field.name))
        for field in dataclasses.fields(kind)
        if field.name != without
    ]


def given(ctx: click.Context) -> dict[str, Any]:
    """Return the values that were given on the command line, without defaults, by field name."""
    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }


def _parameter(
    field: Field[Any], hint: Any, documented: Mapping[str, str], defaults: Any, group: str | None
) -> click.Parameter:
    plain, marks = _split_annotated(hint)
    docs = (mark.documentation for mark in marks if isinstance(mark, Doc))
    text: str = next(docs, documented.get(field.name, ""))
    is_optional, plain = _without_none(plain)
    positional = next((mark for mark in marks if isinstance(mark, Positional)), None)
    if positional is not None:
        word = positional.kind or field.name
        return Argument(field.name, text, type=_type(word, plain, marks), metavar=word.upper())
    variable = next((mark for mark in marks if isinstance(mark, Variable)), None)
    if variable is not None:  # whose value is read when the command runs, where it may be wrong
        default = variable.default
    else:
        default = _default(field) if defaults is None else getattr(defaults, field.name)
    name = "--" + field.name.replace("_", "-")
    settings: dict[str, Any] = {
        "help": text,
        "required": default is _UNSET,
        "shown": "" if default is _UNSET else _shown(default),
        "variable": variable.name if variable else "",
        "group": group or _group(field.name),
    }
    if any(isinstance(mark, Pairs) for mark in marks):
        return Option(
            [name, field.name],
            type=str,
            multiple=True,
            takes=lambda word: "=" in word,
            callback=_pairs,
            metavar="[NAME=JSON ...]",
            **settings,
        )
    if plain is bool:
        return Option([f"{name}/--no-{name[2:]}", field.name], default=None, **settings)
    if any(isinstance(mark, Repeated) for mark in marks):
        (inner_plain, _) = get_args(plain)
        return Option(
            [name, field.name],
            type=_type(field.name, inner_plain, marks),
            multiple=True,
            metavar=_metavar(field.name, inner_plain),
            **settings,
        )
    if get_origin(plain) is tuple:
        inner = _type(field.name, get_args(plain)[0], marks)
        takes = is_number if inner is NUMBER else _anything
        return Option(
            [name, field.name],
            type=_OrNothing(inner),
            multiple=True,
            takes=takes,
            callback=_several,
            metavar=f"{_metavar(field.name, get_args(plain)[0])} ...",
            **settings,
        )
    kind = _type(field.name, plain, marks)
    file = next((mark for mark in marks if isinstance(mark, File)), None)
    metavar = "FILE" if file is not None else _metavar(field.name, plain)
    return Option(
        [*([f"-{file.short}"] if file is not None else []), name, field.name],
        type=OrNone(kind) if is_optional else kind,
        metavar="|".join(kind.words) if isinstance(kind, OneOf) else metavar,
        **settings,
    )


def _type(name: str, plain: Any, marks: Sequence[Any]) -> click.ParamType[Any]:
    for mark in marks:
        if isinstance(mark, Completion):
            return Completed(mark.words, or_folder=mark.or_folder)
    if get_origin(plain) is Literal:
        return OneOf(name.replace("_", " "), [str(word) for word in get_args(plain)])
    if plain is Path:
        return NonEmptyPath()
    if plain is int:
        return WHOLE_NUMBER
    return NUMBER if plain is float else click.STRING


_WORDS = {
    "dataset": "NAME|FOLDER",
    "device": "DEVICE",
    "layers": "LAYER",
    "architectures": "MODULE",
    "labels": "LABEL",
    "pretrained": "FILE|imagenet|download|auto",
}
_FILES = ("json", "weights", "file")


def _metavar(name: str, plain: Any) -> str:
    if plain is Path:
        return "FILE" if name in _FILES else "FOLDER"
    return {int: "N", float: "X"}.get(plain) or _WORDS.get(name, "NAME")


def _group(name: str) -> str:
    return "Folders and device" if name in _PLACES else "Options"


_PLACES = (
    *("data_root", "repository", "architectures", "runs", "docs", "output", "plots", "device"),
    "json",
)


class _OrNothing(click.ParamType[Any]):
    """The type of one value of an option that takes several values, such as `--labels`.

    The marker `NOTHING`, which stands for an empty list, passes without conversion.
    """

    name = "value"

    def __init__(self, inner: click.ParamType[Any]) -> None:
        self.inner = inner

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == NOTHING else self.inner.convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return self.inner.shell_complete(ctx, param, incomplete)


def _anything(word: str) -> bool:
    return True


def _several(ctx: click.Context, parameter: click.Parameter, values: tuple[Any, ...]) -> Any:
    return tuple(value for value in values if value != NOTHING)


def _pairs(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Any:
    try:
        return arguments.parse([value for value in values if value != NOTHING])
    except OptionError as error:
        raise click.BadParameter(
            str(error), ctx, parameter, param_hint=f"{parameter.opts[0]} NAME=JSON"
        ) from None


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return _UNSET if field.default_factory is MISSING else field.default_factory()


def _shown(value: Any) -> str:
    """Format a default as a user would write it, a boolean as yes or no; empty without default."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return arguments.show(value)
    if isinstance(value, tuple):
        return " ".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _split_annotated(hint: Any) -> tuple[Any, list[Any]]:
    """Split `Annotated[int, mark]` into `int` and the list of its marks."""
    if get_origin(hint) is not Annotated:
        return hint, []
    plain, *marks = get_args(hint)
    return plain, marks


def _without_none(hint: Any) -> tuple[bool, Any]:
    """Return True and `int` for `int | None`; False and the type itself if None is not allowed."""
    if get_origin(hint) not in (types.UnionType, Union):
        return False, hint
    (plain,) = [each for each in get_args(hint) if each is not type(None)]
    return True, plain


@cache
def _docstrings(kind: type) -> Mapping[str, str]:
    """Return the docstring below each field by field name, with the fields of base classes."""
    return {
        name: text
        for each in reversed(kind.__mro__)
        if dataclasses.is_dataclass(each)
        for name, text in _documented(each)
    }


def _documented(kind: type) -> Iterator[tuple[str, str]]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101
    for one, other in zip(definition.body, definition.body[1:], strict=False):
        if not isinstance(one, ast.AnnAssign) or not isinstance(one.target, ast.Name):
            continue
        if isinstance(other, ast.Expr) and isinstance(other.value, ast.Constant):
            yield one.target.id, " ".join(str(other.value.value).split())

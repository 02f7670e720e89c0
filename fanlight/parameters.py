"""Commands, options and help in Fanlight's form, on top of click.

Help is grouped, shows examples, defaults and variables. Options may stand before or after
positional arguments. `--labels cat dog` gives an option several values.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
from click.shell_completion import CompletionItem

from models.files import EMPTY_PATH
from models.registry import listed, unknown

MAX_WIDTH = 100  # columns of help
NOTHING = "\0"  # the value of an option for several values that is given without one


class OneOf(click.ParamType[Any]):
    """A type that accepts only some words. The error for another word suggests the nearest."""

    name = "word"

    def __init__(self, kind: str, words: Sequence[str]) -> None:
        self.kind, self.words = kind, words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in self.words:
            self.fail(unknown(self.kind, str(value), self.words), param, ctx)
        return value

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "|".join(self.words)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(word) for word in self.words if word.startswith(incomplete)]


class NonEmptyPath(click.Path):
    """A file or folder as a `Path`. An empty one is refused: it would mean the working folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail(EMPTY_PATH, param, ctx)
        return super().convert(value, param, ctx)


class Number(click.ParamType[Any]):
    """A type for numbers, with an error like `should be a whole number, not 'two'`.

    click's own types say it in other words than our errors elsewhere.
    """

    def __init__(self, inner: click.ParamType[Any], name: str) -> None:
        self.inner, self.name = inner, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.inner.convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"should be a {self.name}, not {value!r}", param, ctx)


WHOLE_NUMBER = Number(click.INT, "whole number")
NUMBER = Number(click.FLOAT, "number")


class Completed(click.ParamType[Any]):
    """A type for any text, of which the shell completes some words."""

    name = "text"

    def __init__(self, words: Callable[[], Iterable[str]], *, or_folder: bool = False) -> None:
        self.words, self.or_folder = words, or_folder

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return click.STRING.convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        found = [CompletionItem(word) for word in self.words() if word.startswith(incomplete)]
        return [*found, *([CompletionItem(incomplete, type="dir")] if self.or_folder else [])]


class OrNone(click.ParamType[Any]):
    """A type that accepts the word `none`, converted to None, or a value of another type."""

    name = "value or none"

    def __init__(self, inner: click.ParamType[Any]) -> None:
        self.inner = inner

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        return self.inner.convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return self.inner.shell_complete(ctx, param, incomplete)


class Option(click.Option):
    """An option that help shows in a group, with its default and its variable.

    With `takes` the option has several values. After the first value, `takes(word)` is True if the
    next word is a value of the option too.
    """

    def __init__(
        self,
        declarations: Sequence[str],
        *,
        group: str = "Options",
        shown: str | None = None,
        variable: str | None = None,
        takes: Callable[[str], bool] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(declarations, **settings)
        self.group, self.shown, self.variable, self.takes = group, shown, variable, takes

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        if record is None:
            return None
        extra = [
            *([f"default: {self.shown}"] if self.shown else []),
            *([f"env: {self.variable}"] if self.variable else []),
        ]
        name, text = record
        return name, f"{text}  [{'; '.join(extra)}]" if extra else text


def flag(name: str, callback: Callable[..., None], text: str) -> Option:
    """An option without a value, such as `--version`, that shows something and ends."""
    return Option(
        [name], is_flag=True, is_eager=True, expose_value=False, callback=callback, help=text
    )


class Argument(click.Argument):
    """A positional argument that help explains."""

    group = "Arguments"

    def __init__(self, name: str, text: str, **settings: Any) -> None:
        super().__init__([name], **settings)
        self.text = text

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        return self.make_metavar(ctx), self.text


@dataclass(frozen=True)
class Example:
    """A command line, and what it does."""

    line: str
    does: str | None = None


class Command(click.Command):
    """A command whose usage shows positional arguments first, and whose help has examples."""

    def __init__(self, name: str, *, examples: Sequence[Example] = (), **settings: Any) -> None:
        super().__init__(name, context_settings=_CONTEXT, **settings)
        self.examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self.expand_multi_values(args))

    def expand_multi_values(self, args: Sequence[str]) -> list[str]:
        """Repeat an option for each value: `--labels cat dog` → `--labels=cat --labels=dog`."""
        several = {
            name: option
            for option in self.params
            if isinstance(option, Option) and option.takes
            for name in option.opts
        }
        line: list[str] = []
        words = list(args)
        while words:
            word = _dashes(words.pop(0))
            if word == "--":
                return [*line, word, *words]
            word, is_joined, first = word.partition("=")
            option = several.get(word)
            if option is None or option.takes is None:
                line.append(word + is_joined + first)
                continue
            values = [first] if is_joined else []
            while words and _is_value(words[0]) and (not values or option.takes(words[0])):
                values.append(words.pop(0))
            line += [f"{word}={value}" for value in values or [NOTHING]]
        return line

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        options, *positional = super().collect_usage_pieces(ctx)
        return [*positional, options]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        format_groups(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        format_examples(self.examples, formatter)


def format_groups(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    """Write the options, one section a group, in the order of their first options."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        if record := parameter.get_help_record(ctx):
            groups.setdefault(getattr(parameter, "group", "Options"), []).append(record)
    for name, records in groups.items():
        with formatter.section(name):
            formatter.write_dl(records, col_max=28)


def format_examples(examples: Sequence[Example], formatter: click.HelpFormatter) -> None:
    """Write the examples, which are not wrapped: they can be copied."""
    if not examples:
        return
    with formatter.section("Examples"):
        for example in examples:
            if example.does:
                formatter.write(f"{'':>{formatter.current_indent}}# {example.does}\n")
            formatter.write(f"{'':>{formatter.current_indent}}{example.line}\n")


def is_number(word: str) -> bool:
    """Return True if `float` accepts the word."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def _is_value(word: str) -> bool:
    return not word.startswith("-") or is_number(word)


def _dashes(word: str) -> str:
    """Replace underscores in the name of an option: `--batch_size=64` → `--batch-size=64`."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


_CONTEXT: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": MAX_WIDTH,
}


class Group(click.Group):
    """A command with subcommands, which help shows in groups.

    `synonyms` has words that people try first, each with the name of the command.
    """

    synonyms: Mapping[str, str] = MappingProxyType({})

    def __init__(self, name: str, *, examples: Sequence[Example] = (), **settings: Any) -> None:
        super().__init__(name, context_settings=_CONTEXT, no_args_is_help=True, **settings)
        self.examples = examples

    def sections(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Name and help of each subcommand, by the heading of its group."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return {"Commands": [(n, c.get_short_help_str(200)) for n, c in commands if c]}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            there = self.list_commands(ctx)
            text = unknown("command", args[0], there)
            if meant := self.synonyms.get(args[0]):
                text = f"no command {args[0]!r}: it is called {meant!r}; there are {listed(there)}"
            raise click.UsageError(text, ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        commands = [record for records in self.sections(ctx).values() for record in records]
        return [
            *(CompletionItem(n, help=text) for n, text in commands if n.startswith(incomplete)),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, records in self.sections(ctx).items():
            with formatter.section(heading):
                formatter.write_dl(records)
        format_groups(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        format_examples(self.examples, formatter)

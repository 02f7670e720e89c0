"""The commands of `training`: a command line → a command's dataclass → its call."""

import os
import platform
import re
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any, TextIO, get_args, get_type_hints

import click
from rich.console import Console

from fanlight.fields import given, parameters
from fanlight.parameters import Command, Example, Group
from models.errors import OptionError, message, next_step
from models.repositories import RemoteWarning
from service.setting_values.environment import unknown
from training import torchrun

_GO_ON = {
    "score": "; the same command goes on where files are missing",
    "fit": "; the same command with --resume goes on after the last finished epoch",
    "study": "; the same command goes on after the last finished epoch",
}


def command(name: str, module: str, examples: Sequence[Example]) -> click.Command:
    """Make the command `name` from the dataclass `Name` in a module of `training.commands`."""
    kind: type = getattr(import_module(f"training.commands.{module}"), name.capitalize())
    if name == "fit":
        from fanlight.fit import FitCommand

        return FitCommand(examples)
    if name == "visualize":
        return _group_of_subcommands(name, kind, "what", examples)

    @click.pass_context
    def callback(ctx: click.Context, /, **values: Any) -> int:
        return run(name, build(kind, given(ctx)))

    return Command(
        name, callback=callback, help=kind.__doc__, params=parameters(kind), examples=examples
    )


def build(kind: type, values: dict[str, Any]) -> Any:
    """Make an instance of a command's dataclass. Raises `click.UsageError` for wrong values."""
    try:
        return kind(**values)
    except (OptionError, OSError) as error:
        if (text := _text(error)) is None:
            raise
        raise click.UsageError(text) from None


def run(name: str, command: Any) -> int:
    """Run a command, print its error, and return the exit code.

    It is 0, 2 for an option or name that is not allowed, 1 after another error that the user can
    mend, or 130 after an interrupt. Other errors are raised.
    """
    try:
        process = torchrun.process()
    except OptionError as error:
        _tell(str(error))
        return 2
    if name != "fit" and process is not None:
        _tell(f"{name} is one process, and torchrun has started several: start it without torchrun")
        return 2
    if torchrun.is_first():
        _warn_of_variables()
    warnings.showwarning = _show_warning
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of metadata that no network sees
    try:
        command(console())
    except torchrun.ReportedElsewhereError:
        return 1
    except Exception as error:
        text = _text(error)
        if text is None:
            raise
        is_usage = isinstance(error, OptionError)
        see = f"\nSee fanlight {name} --help" if is_usage else ""
        where = f"{process} on {platform.node()}: " if process and process.rank else ""
        console(stderr=True).print(f"error: {where}{text}{see}")
        return 2 if is_usage else 1
    except KeyboardInterrupt:
        console(stderr=True).print(f"interrupted{_GO_ON.get(name, '')}")
        return 130
    return 0


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning that is meant for the user in one line, and others with their place."""
    if issubclass(category, RemoteWarning):
        console(stderr=True).print(f"warning: {message}")
        return
    text = warnings.formatwarning(message, category, filename, lineno, line)
    (file or sys.stderr).write(text)


def _text(error: Exception) -> str | None:
    """Return what is printed of an error, with the next step and its notes; None if it is a bug.

    A note is what a command added to the error, such as how to go on afterwards.
    """
    text = message(error)
    if text is None or not isinstance(error, OSError):
        return text
    return "; ".join(filter(None, [text, next_step(error), *getattr(error, "__notes__", [])]))


def _tell(text: str) -> None:
    """Print an error, once for all processes of a group."""
    if torchrun.is_first():
        console(stderr=True).print(f"error: {text}")


def console(*, stderr: bool = False) -> Console:
    """Make a console that prints text as it is: brackets and colons in paths are not markup."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _warn_of_variables() -> None:
    """Warn of unknown variables with our prefix. Needs the extra `service`, else does nothing."""
    try:
        from service.settings import Settings
    except ModuleNotFoundError:  # the extra `service` is not installed
        return
    for name, near in unknown(os.environ, Settings.model_fields).items():
        meant = f"; did you mean {near}?" if near else ""
        console(stderr=True).print(f"warning: nothing reads the variable {name}{meant}")


def _group_of_subcommands(name: str, kind: type, choice: str, examples: Sequence[Example]) -> Group:
    """A command with a subcommand for each type that its field `choice` may have.

    The other fields are options of the command and of each subcommand.
    """
    shared = parameters(kind, without=choice)
    group = Group(name, help=kind.__doc__, params=shared, examples=examples)
    for part in get_args(get_type_hints(kind)[choice]):
        group.add_command(_part(name, kind, choice, part, shared))
    return group


def _part(
    name: str, kind: type, choice: str, part: type, shared: Sequence[click.Parameter]
) -> click.Command:
    own_name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", part.__name__).lower()

    @click.pass_context
    def callback(ctx: click.Context, /, **values: Any) -> int:
        found = given(ctx)
        outside = {each.name for each in shared}
        own = {name: value for name, value in found.items() if name not in outside}
        above = given(ctx.parent) if ctx.parent else {}
        common = above | {name: value for name, value in found.items() if name in outside}
        return run(f"{name} {own_name}", build(kind, {choice: build(part, own), **common}))

    return Command(
        own_name,
        callback=callback,
        help=part.__doc__,
        params=[*parameters(part), *shared],
    )

"""`python -m training`: parse the command line, run the command, tell errors in a line."""

import sys
import warnings
from typing import Annotated

import tyro
from rich.console import Console

from models.checkpoint import CheckpointError
from models.devices import DeviceError
from models.registry import ArchitectureError
from training.commands.evaluate import Evaluate
from training.commands.fit import Fit, listing, own_pictures
from training.commands.import_weights import Import
from training.commands.profile import Profile
from training.commands.results import Results
from training.commands.study import Study
from training.commands.visualize import Visualize
from training.datasets import DatasetError

Command = (
    Annotated[Fit, tyro.conf.subcommand("fit")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Import, tyro.conf.subcommand("import")]
    | Annotated[Profile, tyro.conf.subcommand("profile")]
    | Annotated[Results, tyro.conf.subcommand("results")]
    | Annotated[Study, tyro.conf.subcommand("study")]
    | Annotated[Visualize, tyro.conf.subcommand("visualize")]
)


def main(arguments: list[str] | None = None) -> int:
    """Returns 0, or 1 after an error that the user can mend, or 130 after an interrupt."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["fit", "--list"]:
        Console().print(listing())
        return 0
    try:
        arguments = own_pictures(arguments)
    except ValueError as error:
        return _fail(error)
    command: Fit | Evaluate | Import | Profile | Results | Study | Visualize = tyro.cli(
        Command,
        args=arguments,
        prog="python -m training",
        description="Train small image classifiers and publish them as checkpoints to serve.",
        config=(
            tyro.conf.CascadeSubcommandArgs,
            tyro.conf.OmitArgPrefixes,
            tyro.conf.OmitSubcommandPrefixes,
        ),
    )
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of metadata that no network sees
    try:
        command(_console())
    except _MENDABLE as error:
        return _fail(error)
    except KeyboardInterrupt:
        told = _TO_GO_ON.get(type(command), "")
        _console(stderr=True).print(f"interrupted{told}")
        return 130
    return 0


_TO_GO_ON: dict[type, str] = {
    Fit: "; the same command with --resume goes on after the last finished epoch",
    Study: "; the same command goes on after the last finished epoch",
}
_MENDABLE = (ArchitectureError, CheckpointError, DatasetError, DeviceError, OSError, ValueError)


def _fail(error: Exception) -> int:
    _console(stderr=True).print(f"error: {error}")
    return 1


def _console(*, stderr: bool = False) -> Console:
    """Prints paths and labels as they are: brackets and colons in them are not markup."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())

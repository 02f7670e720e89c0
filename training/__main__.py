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
from training.commands.fit import Fit
from training.commands.import_weights import Import
from training.datasets import DatasetError

Command = (
    Annotated[Fit, tyro.conf.subcommand("fit")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Import, tyro.conf.subcommand("import")]
)


def main(arguments: list[str] | None = None) -> int:
    """Returns 0, or 1 after an error that the user can mend, or 130 after an interrupt."""
    command: Fit | Evaluate | Import = tyro.cli(
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
        command(Console(highlight=False, soft_wrap=True))
    except (ArchitectureError, CheckpointError, DatasetError, DeviceError, ValueError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

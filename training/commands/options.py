"""Options that several commands take, and how a field says what the command line can't guess."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc


@dataclass(frozen=True)
class Positional:
    """Marks a field that is given by its place, as in `evaluate MODEL`.

    `kind` is the word for its values in errors; by default the field's name.
    """

    kind: str | None = None


@dataclass(frozen=True)
class Variable:
    """Names the environment variable that a field's default comes from."""

    name: str
    default: str


DATA = Variable("FANLIGHT_DATA", "data")
REPOSITORY = Variable("FANLIGHT_REPOSITORY", "checkpoints")

DataRoot = Annotated[Path, DATA, Doc("Where data sets lie or are downloaded to.")]
Repository = Annotated[Path, REPOSITORY, Doc("The model repository.")]
PublishTo = Annotated[Path, REPOSITORY, Doc("The model repository to publish to.")]
Device = Annotated[str, Doc("auto, cpu, cuda or cuda:n.")]


def data_root() -> Path:
    """The folder named by FANLIGHT_DATA, otherwise ./data."""
    return _folder(DATA)


def repository() -> Path:
    """The folder named by FANLIGHT_REPOSITORY, otherwise ./checkpoints."""
    return _folder(REPOSITORY)


def _folder(variable: Variable) -> Path:
    return Path(os.environ.get(variable.name) or variable.default)

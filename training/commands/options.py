"""Options that several commands take, and how a field says what the command line can't guess."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc

import models
from models import checkpoint
from models.registry import Completion


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
READ_REPOSITORY = Variable(REPOSITORY.name, "checkpoints, or that of Fanlight if there is none")

DataRoot = Annotated[Path, DATA, Doc("Where data sets lie or are downloaded to.")]
Repository = Annotated[Path, READ_REPOSITORY, Doc("The model repository.")]
PublishTo = Annotated[Path, REPOSITORY, Doc("The model repository to publish to.")]
LabelsChanged = Annotated[
    bool, Doc("Publish although the classes are others than those of the version before.")
]
Device = Annotated[
    str, Doc("auto, cpu, cuda or cuda:n."), Completion(lambda: ("auto", "cpu", "cuda"))
]


def data_root() -> Path:
    """The folder named by FANLIGHT_DATA, otherwise ./data."""
    return _folder(DATA)


def repository() -> Path:
    """The folder named by FANLIGHT_REPOSITORY, otherwise ./checkpoints."""
    return _folder(REPOSITORY)


def readable_repository() -> Path:
    """The same for what publishes nothing: where ./checkpoints isn't there, that of Fanlight.

    So the networks that Fanlight ships can be looked at before any is trained.
    """
    named = repository()
    if named.is_dir() or os.environ.get(REPOSITORY.name):
        return named
    return Path(models.__file__).parent / "checkpoints"


def model_names() -> list[str]:
    """The models of the readable repository, for completion in a shell."""
    return checkpoint.names(readable_repository())


ModelName = Annotated[str, Positional("model"), Completion(model_names)]


def _folder(variable: Variable) -> Path:
    return Path(os.environ.get(variable.name) or variable.default)

"""Options that several commands take, and how a field says what the command line can't guess."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc

import models
from models import checkpoint
from models import permission as permissions
from models.errors import OptionError
from models.permission import Permission, is_reference, module_of
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


@dataclass(frozen=True)
class File:
    """Marks the path of one file, and names the letter of its short option, as in `-o FILE`."""

    short: str


DATA = Variable("FANLIGHT_DATA", "data")
REPOSITORY = Variable("FANLIGHT_REPOSITORY", "checkpoints")
ARCHITECTURES = Variable("FANLIGHT_ARCHITECTURES", "none")
READ_REPOSITORY = Variable(REPOSITORY.name, "checkpoints, or that of Fanlight if there is none")

DataRoot = Annotated[Path, DATA, Doc("Where data sets lie or are downloaded to.")]
Repository = Annotated[Path, READ_REPOSITORY, Doc("The model repository.")]
PublishTo = Annotated[Path, REPOSITORY, Doc("The model repository to publish to.")]
LabelsChanged = Annotated[
    bool, Doc("Publish although the classes are others than those of the version before.")
]
Architectures = Annotated[
    tuple[str, ...],
    ARCHITECTURES,
    Doc(
        "Modules of yours, as package.module, whose code may be imported for a model that names a "
        "network of theirs."
    ),
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


def architectures() -> tuple[str, ...]:
    """The modules named by FANLIGHT_ARCHITECTURES, separated by commas; otherwise none."""
    return permissions.modules(os.environ.get(ARCHITECTURES.name) or "")


def permission(modules: tuple[str, ...]) -> Permission:
    """For the code of these modules, which the user has named; raises `OptionError`."""
    try:
        return Permission(permissions.modules(modules), Path.cwd())
    except ValueError as error:
        raise OptionError(f"architectures: {error}") from error


def to_open(repository: Path, architecture: str) -> str:
    """The options that a command needs to open what was published there."""
    allowed = f" --architectures {module_of(architecture)}" if is_reference(architecture) else ""
    return f"--repository {repository}{allowed}"


def _folder(variable: Variable) -> Path:
    return Path(os.environ.get(variable.name) or variable.default)

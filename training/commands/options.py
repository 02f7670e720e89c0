"""Options that several commands share, and markers for fields that the command line needs."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc

from models import permission as permissions
from models import repositories, repository_paths
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


@dataclass(frozen=True)
class Repeated:
    """Marks a field of several values whose option is given once for each of them."""


DATA = Variable("FANLIGHT_DATA", "data")
REPOSITORY = Variable(repository_paths.VARIABLE, "checkpoints")
READ_REPOSITORIES = Variable(REPOSITORY.name, "checkpoints, then the models of Fanlight")
ARCHITECTURES = Variable("FANLIGHT_ARCHITECTURES", "none")

DataRoot = Annotated[Path, DATA, Doc("Where data sets lie or are downloaded to.")]
Repositories = Annotated[
    tuple[Path, ...],
    READ_REPOSITORIES,
    Repeated(),
    Doc(
        "The model repository, a folder or an address such as s3://bucket/models; may be given "
        "several times: the first that has the model counts."
    ),
]
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
    """Return the folder to publish in: the first of FANLIGHT_REPOSITORY that can be written to.

    A folder that does not exist yet counts if it can be created. If none can be written to, it is
    the first one, and publishing reports the error. Without that variable it is ./checkpoints;
    never the folder of the models that Fanlight ships.
    """
    return repository_paths.to_publish()


def readable_repositories() -> tuple[Path, ...]:
    """Where models are looked for: the folders of FANLIGHT_REPOSITORY.

    Without that variable these are ./checkpoints and the models that Fanlight ships, as in the
    service.
    """
    return repository_paths.chosen()


def model_names() -> list[str]:
    """The models that a command finds by name, for completion in a shell."""
    return repositories.names([repositories.copied(each) for each in readable_repositories()])


ModelName = Annotated[str, Positional("model"), Completion(model_names)]


def architectures() -> tuple[str, ...]:
    """The modules named by FANLIGHT_ARCHITECTURES, separated by commas; otherwise none."""
    return permissions.modules(os.environ.get(ARCHITECTURES.name) or "")


def permission(modules: tuple[str, ...]) -> Permission:
    """Return the permission to import these modules, which the user has named; raises
    `OptionError`."""
    try:
        return Permission(permissions.modules(modules), Path.cwd())
    except ValueError as error:
        raise OptionError(f"--architectures: {error}") from error


def at_least_one(options: object, *names: str) -> None:
    """Raise `OptionError` if one of these fields is a number below 1; None is allowed."""
    for name in names:
        if (value := getattr(options, name)) is not None and value < 1:
            raise OptionError(f"--{name.replace('_', '-')} must be 1 or more, not {value}")


def to_open(repository: Path, architecture: str) -> str:
    """Return the options of a command that opens what was published, each after a space."""
    allowed = f" --architectures {module_of(architecture)}" if is_reference(architecture) else ""
    return repository_paths.options([repository]) + allowed


def _folder(variable: Variable) -> Path:
    return Path(os.environ.get(variable.name) or variable.default)

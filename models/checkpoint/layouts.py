"""What a repository folder holds: models, the versions of one model, or one version.

    <repository>/<model>/<version>/card.json   models
    <repository>/<version>/card.json           versions of one model; its cards tell the name
    <repository>/card.json                     one version; its card tells name and number

The second and third are what a server gets that mounts one model alone, such as KServe's.
"""

from dataclasses import dataclass
from pathlib import Path

from models.checkpoint.card import CARD, Card, read_any_card
from models.checkpoint.errors import CheckpointError
from models.checkpoint.folder import NAME, subfolders, versions
from models.checkpoint.place import Place
from models.registry import proposal


@dataclass(frozen=True)
class Layout:
    """The layout of the repository folder `root`.

    `name` is the model that the folder holds alone; None if it holds models by their names.
    `number` is the version that it holds alone.
    """

    root: Path
    name: str | None = None
    number: int | None = None

    def names(self) -> list[str]:
        """Return the names of the models, sorted."""
        return sorted(subfolders(self.root, NAME)) if self.name is None else [self.name]

    def versions(self, name: str) -> list[int]:
        """Return the published versions of a model, in ascending order, without drafts."""
        if self.name is None:
            return versions(self.root / name) if NAME.fullmatch(name) else []
        if name != self.name:
            return []
        return versions(self.root) if self.number is None else [self.number]

    def may_have(self, name: str, number: int) -> bool:
        """Return whether a version of that name and number has a place here."""
        return self.name in (None, name) and self.number in (None, number)

    def place(self, name: str, number: int) -> Place:
        """Return where a version lies, whether or not it is there."""
        if self.name is None:
            return Place.usual(self.root, name, number)
        return Place(self.root, name, number, "" if self.number is not None else str(number))

    def to_publish(self, name: str) -> Path:
        """Return the folder for further versions of a model.

        Raises `CheckpointError` if the folder is of one version, or of another model.
        """
        if self.name is None:
            return self.root / name
        if self.number is None and name == self.name:
            return self.root
        what = self.name if self.number is None else f"{self.name}/{self.number}"
        raise CheckpointError(
            f"the folder {self.root} holds {what} alone, and {name!r} can't be published in it; "
            "name another --repository"
        )


def of(repository: Path) -> Layout:
    """Find out the layout of a repository folder, which need not exist.

    Raises `CheckpointError` if its cards can't be read, or if it mixes layouts.
    """
    if (repository / CARD).exists():
        card = _card(Place(repository, "", 0, ""))
        beside = [each for each in subfolders(repository, NAME) if versions(repository / each)]
        if beside or _own_versions(repository):
            raise CheckpointError(
                f"{repository} holds a {CARD} and other versions: keep a version by itself, or "
                "all in folders <model>/<version>"
            )
        return Layout(repository, card.name, card.version)
    if not (own := _own_versions(repository)):
        return Layout(repository)
    if models := [each for each in subfolders(repository, NAME) if versions(repository / each)]:
        raise CheckpointError(
            f"{repository} holds versions ({own[-1]}) beside models ({models[0]}): keep the "
            "versions of one model by themselves, or all in folders <model>/<version>"
        )
    return Layout(repository, _card(Place(repository, "", own[-1], str(own[-1]))).name)


def names(repository: Path) -> list[str]:
    """Return the names of the models in a repository, sorted."""
    return of(repository).names()


def find(repository: Path, name: str, version: int | None = None) -> Place:
    """Return the place of a model's version, by default the highest.

    Raises `CheckpointError` if there is none.
    """
    if not repository.is_dir():
        raise CheckpointError(
            f"there is no folder {repository}, in which {name!r} is looked for; publish a model "
            "into it, or name another repository"
        )
    layout = of(repository)
    if name not in (there := layout.names()):
        known = ", ".join(there) or "none"
        raise CheckpointError(
            f"no model {name!r} in the repository {repository}; {proposal(name, there)}"
            f"there are: {known}"
        )
    numbers = layout.versions(name)
    if not numbers or version not in (None, *numbers):
        known = ", ".join(map(str, numbers)) or "none"
        raise CheckpointError(
            f"no version {'at all' if version is None else version} of {name!r}; there are: {known}"
        )
    return layout.place(name, version or numbers[-1])


def _own_versions(repository: Path) -> list[int]:
    """Return the versions that lie in the folder itself, in ascending order.

    A folder with a number for its name and no card is a model's, or nothing yet.
    """
    return [each for each in versions(repository) if (repository / str(each) / CARD).exists()]


def _card(place: Place) -> Card:
    try:
        return read_any_card(place)
    except CheckpointError as error:
        raise CheckpointError(f"{place.folder}: {error}") from error

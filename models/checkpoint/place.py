"""Where a version lies: repository folder, name of the model, number, and the folder in it."""

from pathlib import Path
from typing import NamedTuple, Self


class Place(NamedTuple):
    """The location of a version.

    `inside` is the version's folder relative to `root`, with "/" between its parts; "" is `root`
    itself. Two repositories can each have a version of the same name and number.
    """

    root: Path
    name: str
    number: int
    inside: str

    @classmethod
    def usual(cls, root: Path, name: str, number: int) -> Self:
        """Return the place `<model>/<version>/` in a repository."""
        return cls(root, name, number, f"{name}/{number}")

    @classmethod
    def of(cls, folder: "Path | Place") -> "Place":
        """Return the place of a version's folder whose path ends in `<model>/<version>`.

        A place is returned as it is. The number of a folder that has none is 0.
        """
        if isinstance(folder, Place):
            return folder
        name, number = folder.parent.name, folder.name
        is_number = number.isascii() and number.isdecimal()
        return cls(folder.parent.parent, name, int(number) if is_number else 0, f"{name}/{number}")

    def absolute(self) -> Self:
        """Return the place with an absolute path, for a process with another working folder."""
        return self._replace(root=self.root.absolute())

    @property
    def folder(self) -> Path:
        return self.root / self.inside

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the folders between `root` and the version's files."""
        return tuple(self.inside.split("/")) if self.inside else ()

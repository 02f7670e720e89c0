"""Where a version lies: the form of its repository folder, and its place in it.

A repository folder has one of three forms:

    nested   <folder>/<model>/<version>/card.json   what Fanlight publishes
    model    <folder>/<version>/card.json           the versions of one model
    version  <folder>/card.json                     one version

The last two are what a container gets whose platform mounts one model. There, names come from the
cards, since the folders above are the platform's.
"""

import os
import re
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Self

from models.checkpoint.errors import CheckpointError

CARD = "card.json"
NUMBER = re.compile("[1-9][0-9]{0,17}")


class Form(Enum):
    """The form of a repository folder. The value says where the cards lie in it."""

    NESTED = "<model>/<version>/card.json"
    MODEL = "<version>/card.json"
    VERSION = "card.json"


class Place(NamedTuple):
    """The location of a version: repository folder, name of the model, number.

    It can be given where a path can (`os.PathLike`): it is that of the version's folder. Two
    repositories can each have the same `name/number`.
    """

    root: Path
    name: str
    number: int
    form: Form = Form.NESTED

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the folders below `root` that lead to the version."""
        if self.form is Form.VERSION:
            return ()
        number = str(self.number)
        return (number,) if self.form is Form.MODEL else (self.name, number)

    def absolute(self) -> Self:
        """Return the place with an absolute path, for a process with another working folder."""
        return self._replace(root=self.root.absolute())

    @property
    def folder(self) -> Path:
        return self.root.joinpath(*self.parts)

    def __fspath__(self) -> str:
        return os.fspath(self.folder)


def placed(version: Path | Place) -> Place:
    """Return the place of a version; a path is taken as `<repository>/<model>/<version>`.

    Raises `CheckpointError` for a path that ends with no number.
    """
    if isinstance(version, Place):
        return version
    if not NUMBER.fullmatch(version.name):
        raise CheckpointError(
            f"{version} can't be the folder of a version: its name must be a number from 1, as in "
            "<model>/<version>; rename it"
        )
    return Place(version.parent.parent, version.parent.name, int(version.name))

"""Whose code may be imported for a network: names of modules → `Permission`. Needs no torch.

A repository alone never makes code run: a card that names code of others is believed only where
the user, or the operator of a service, has named its module. Installed plug-ins (entry points of
`GROUP`) are allowed, since somebody has installed them. `models.architectures.own_code` imports it.
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

GROUP = "fanlight.architectures"
OURS = frozenset(("fanlight", "models", "service", "training"))
FORM = "package.module:Class"


@dataclass(frozen=True)
class Permission:
    """The modules whose code may be imported for a network, with all that is below them.

    `folder` is where modules are looked for that are not installed; None if nowhere.
    """

    modules: tuple[str, ...] = ()
    folder: Path | None = None

    @classmethod
    def named(cls, architecture: str) -> "Permission":
        """Return the permission of a user who names the architecture: for its module.

        The module may lie in the working folder.
        """
        return cls((module_of(architecture),), Path.cwd())

    def allows(self, module: str) -> bool:
        modules = (*self.modules, *(each.module for each in plugins()))
        return any(module == each or module.startswith(f"{each}.") for each in modules)


NOTHING = Permission()


def plugins() -> Iterable[EntryPoint]:
    """The entry points of the installed plug-ins."""
    return entry_points(group=GROUP)


def is_reference(architecture: str) -> bool:
    """Return whether the name of an architecture has the form `package.module:Name`."""
    return ":" in architecture


def module_of(reference: str) -> str:
    """The module of `package.module:Name`."""
    return reference.partition(":")[0]


def modules(given: str | Iterable[str]) -> tuple[str, ...]:
    """Split names of modules at commas and spaces, and drop repeated ones.

    Raises `ValueError` for a name that no module can have.
    """
    texts = (given,) if isinstance(given, str) else tuple(given)
    parts = (each for text in texts for each in re.split(r"[,\s]+", text))
    found = tuple(dict.fromkeys(each for each in parts if each))
    for each in found:
        if (problem := module_problem(each)) is not None:
            raise ValueError(problem)
    return found


def module_problem(module: str) -> str | None:
    """Return why this can't be a module of the user's, and what to write; None if it can."""
    if module.endswith(".py") or "/" in module or "\\" in module:
        stem = re.split(r"[/\\]", module.removesuffix(".py"))[-1]
        return f"{module!r} is a file: write its module, {stem}, from the folder that it lies in"
    if ":" in module:
        return f"{module!r} is more than a module: write {module.partition(':')[0]}"
    parts = module.split(".")
    if not all(part.isidentifier() and not part.startswith("__") for part in parts):
        return f"{module!r} is no module: write package.module"
    if parts[0] in OURS:
        return (
            f"{parts[0]} is a package of Fanlight's own: a file or folder of yours with that name "
            "can't be imported beside it; rename it"
        )
    if parts[0] in sys.stdlib_module_names:
        return (
            f"{parts[0]} is a module of Python's own, and has no networks; a file of yours with "
            "that name can't be imported beside it: rename it"
        )
    return None

"""Lookup in several repositories: the first that has a model hides the later ones.

The first repository with a published version of that name counts, with all of its versions and with
no others: a version number means one thing. Of a repository elsewhere, the versions of the model
that is looked for are fetched into the cache first; if it can't be reached, those in the cache
count, with a warning.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from models import checkpoint, repository_paths
from models.checkpoint import Checkpoint, CheckpointError, Place
from models.errors import InstallationError
from models.permission import NOTHING, Permission
from models.registry import proposal
from models.remote.address import RemoteError, address_of
from models.remote.mirror import Mirror

MAX_SHOWN = 10  # labels in a message


class RemoteWarning(UserWarning):
    """A repository elsewhere could not be read, or not as a whole; its copies are used."""


def local(repository: Path, name: str | None = None) -> Path:
    """Return the folder of a repository; for one elsewhere that of its copy, brought up to date.

    Fetches the model `name`, or all models. Raises `RemoteError` if nothing can be reached and no
    version is in the cache.
    """
    address = address_of(repository)
    if address is None:
        return repository
    mirror = Mirror(address)
    try:
        problems = mirror.sync(name).problems
    except (RemoteError, InstallationError, OSError) as error:
        if not checkpoint.names(mirror.folder):
            raise
        problems = [f"{error}; the copies in {mirror.folder} are used"]
    for problem in problems:
        warnings.warn(problem, RemoteWarning, stacklevel=2)
    return mirror.folder


def copied(repository: Path) -> Path:
    """Return the folder of a repository, without asking elsewhere; its copy may be missing."""
    address = address_of(repository)
    return repository if address is None else address.cache


def names(repositories: Sequence[Path]) -> list[str]:
    """The models of all repositories, sorted."""
    return sorted({name for each in repositories for name in checkpoint.names(local(each))})


def having(repositories: Sequence[Path], name: str) -> Path:
    """Return the first repository with a version of the model; else raise `CheckpointError`.

    For one elsewhere it is the folder of its copy.
    """
    folders: list[Path] = []
    for each in repositories:
        folder = local(each, name)
        if checkpoint.contents(folder).versions(name):
            return folder
        folders.append(folder)
    if len(folders) == 1:
        checkpoint.find(folders[0], name)  # tells what is wrong there
    shown = ", ".join(
        str(address_of(each) or each) + ("" if folder.is_dir() else " (no folder)")
        for each, folder in zip(repositories, folders, strict=True)
    )
    known = sorted({each for folder in folders for each in checkpoint.names(folder)})
    raise CheckpointError(
        f"no model {name!r} in the repositories {shown}; {proposal(name, known)}"
        f"there are: {', '.join(known) or 'none'}"
    )


def find(repositories: Sequence[Path], name: str, version: int | None = None) -> Place:
    """Return the place of a model's version, by default the highest; raise `CheckpointError` if
    there is none."""
    return checkpoint.find(having(repositories, name), name, version)


def load_named(
    repositories: Sequence[Path],
    name: str,
    version: int | None,
    device: torch.device,
    permission: Permission = NOTHING,
) -> Checkpoint:
    """Find and load a model's version; raise `CheckpointError`, as `checkpoint.load_named` does."""
    return checkpoint.load_named(having(repositories, name), name, version, device, permission)


def check_same_labels(target: Path, name: str, labels: Sequence[str]) -> None:
    """Raise `CheckpointError` if the version that clients get now has other labels.

    Another order counts as other labels. That version is the one in `target`. If `target` is one of
    the chosen folders (`repository_paths.chosen`) and has none, it is the one in a later folder,
    which a new version in `target` would hide. If its card can't be read, nothing is raised.
    """
    places = [os.path.realpath(each) for each in repository_paths.chosen()]
    if address_of(target) is not None:
        return  # nothing is published there
    place = os.path.realpath(target)  # however it is written: relative, absolute, a symlink
    if place in places and not checkpoint.contents(target).versions(name):
        later = map(Path, places[places.index(place) + 1 :])
        target = next(
            (e for e in map(copied, later) if checkpoint.contents(e).versions(name)), target
        )
    _check_same(target, name, labels)


def _check_same(repository: Path, name: str, labels: Sequence[str]) -> None:
    """Raise `CheckpointError` if the model's highest version has other labels, or another order.

    Otherwise clients would get other classes under the same name without noticing.
    """
    inside = checkpoint.contents(repository)
    there = inside.versions(name)
    if not there:
        return
    try:
        before = checkpoint.read_card(inside.place(name, there[-1])).labels
    except CheckpointError:  # it can't be served either
        return
    if before != tuple(labels):
        raise CheckpointError(
            f"{name}/{there[-1]} has the labels {_shown(before)}, and the new version would have "
            f"{_shown(labels)}: clients would get other classes under the same name. Take another "
            "--name, or --labels-changed if it is meant"
        )


def _shown(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - MAX_SHOWN} more" if len(labels) > MAX_SHOWN else ""
    return ", ".join(labels[:MAX_SHOWN]) + more

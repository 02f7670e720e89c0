"""Lookup in several repositories: the first that has a model hides the later ones.

The first repository with a published version of that name counts, with all of its versions and with
no others: a version number means one thing.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from models import checkpoint, repository_paths
from models.checkpoint import Checkpoint, CheckpointError, Place
from models.permission import NOTHING, Permission
from models.registry import proposal

MAX_SHOWN = 10  # labels in a message


def names(repositories: Sequence[Path]) -> list[str]:
    """The models of all repositories, sorted."""
    return sorted({name for each in repositories for name in checkpoint.names(each)})


def having(repositories: Sequence[Path], name: str) -> Path:
    """Return the first repository with a version of the model; else raise `CheckpointError`."""
    for each in repositories:
        if checkpoint.contents(each).versions(name):
            return each
    if len(repositories) == 1:
        checkpoint.find(repositories[0], name)  # tells what is wrong there
    shown = ", ".join(
        str(each) + ("" if each.is_dir() else " (no folder)") for each in repositories
    )
    known = names(repositories)
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
    place = os.path.realpath(target)  # however it is written: relative, absolute, a symlink
    if place in places and not checkpoint.contents(target).versions(name):
        later = map(Path, places[places.index(place) + 1 :])
        target = next((e for e in later if checkpoint.contents(e).versions(name)), target)
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

"""The rank of this process and the number of processes, from the variables that torchrun sets.

Imports no torch: a mistake in the command line is reported in a moment, and by one process.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import OptionError

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Process:
    """One process of a group: its number among all `count` and on its machine, from 0."""

    rank: int
    count: int
    local_rank: int

    def __str__(self) -> str:
        return f"process {self.rank} of {self.count}"


class ReportedElsewhereError(Exception):
    """This process ends, and another one of the group has printed the error."""


def process(variables: Mapping[str, str] = os.environ) -> Process | None:
    """Return which process of a group this is, or None if it was started alone.

    A group of one process counts as alone. Raises `OptionError` for variables that aren't numbers,
    or don't fit together.
    """
    if not all(variables.get(name) for name in _NAMES):
        return None
    try:
        rank, count, local_rank = (int(variables[name]) for name in _NAMES[:3])
    except ValueError:
        rank, count, local_rank = 0, 0, 0
    if not (0 <= rank < count and 0 <= local_rank < count):
        told = ", ".join(f"{name}={variables[name]}" for name in _NAMES[:3])
        raise OptionError(
            f"{told}: these variables must be numbers from torchrun, with 0 <= RANK < WORLD_SIZE; "
            "unset them to train in one process"
        )
    return Process(rank, count, local_rank) if count > 1 else None


def is_first(variables: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process speaks for its machine: it is alone, or the first one there.

    This is for what is said before the processes have found each other.
    """
    try:
        found = process(variables)
    except OptionError:
        return True
    return found is None or found.local_rank == 0

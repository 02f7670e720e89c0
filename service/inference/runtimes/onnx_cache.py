"""A cache of exported graphs: a folder that stays from one start of the service to the next.

Importing and running torch's exporter is most of the time that a small network takes to load, and
megabytes of it stay in memory. The name of a graph's file is a hash of everything that decides its
content: the weights' SHA-256, other fields of the card, and torch's version.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from models import files
from models.permission import is_reference
from service.monitoring import logs

if TYPE_CHECKING:
    from models.checkpoint import Card

log = logs.Log()
_FORMAT = 2  # to be raised when other graphs are exported
_DECIDING = {  # fields of the card
    "weights_sha256",
    "architecture",
    "arguments",
    "input",
    "calibration",
    "familiarity",
    "trust_sha256",
}
_KEPT = 90 * 86_400  # seconds
_SUFFIX = ".onnx"
_OWN = re.compile(rf"[0-9a-f]{{64}}\.onnx|{re.escape(files.DRAFT)}[0-9a-f]{{32}}")


def usual_folder() -> Path | None:
    """Return the default folder, in the user's cache (XDG Base Directory Specification).

    None if the user has no home folder.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (given if given.is_absolute() else Path.home() / ".cache") / "fanlight"
    except RuntimeError:
        return None


class Graphs:
    """A folder of graphs; without one, or if it can't be written, nothing is kept.

    A folder that other users can write into is not used: a graph decides what is predicted. The
    first failure to keep a graph is logged as a warning if a setting `asked` for the folder; others
    are logged at level debug.
    """

    def __init__(self, folder: Path | None, *, asked: bool = False) -> None:
        self._folder = folder
        self._tell = log.warning if asked else log.debug

    def find(self, card: Card) -> Path | None:
        """Return the path of the cached graph for a card; None if there is none.

        The content of the file is not checked, so it may be damaged. A folder that other users can
        write to is not read. Networks of the user's own code are never cached, because the card
        does not determine what they compute. Sets the file's modification time to now.
        """
        if self._folder is None or is_reference(card.architecture):
            return None  # what the user's code computes is not in the card
        path = self._path(self._folder, card)
        try:
            if not path.is_file() or not _is_ours(self._folder):
                return None
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)  # it is still of use
        return path

    def write(self, card: Card, graph: bytes) -> None:
        """Keep the graph of a version, written as a whole; remove graphs that were long unused."""
        if self._folder is None or is_reference(card.architecture):
            return
        path = self._path(self._folder, card)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_ours(self._folder):
                raise PermissionError("other users can write there")
            files.write(path, graph)
        except OSError as error:
            self._tell(
                "graphs not kept (setting graph_cache)", folder=str(self._folder), reason=str(error)
            )
            self._tell = log.debug
        else:
            _remove_old(self._folder)

    @staticmethod
    def _path(folder: Path, card: Card) -> Path:
        import torch

        deciding = {
            "format": _FORMAT,
            "torch": torch.__version__,
            **card.model_dump(
                mode="json",
                include=_DECIDING,
                exclude_none=True,
            ),
        }
        key = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
        return folder / f"{key}{_SUFFIX}"


def _is_ours(folder: Path) -> bool:
    """Return whether only this user and root can put files there; raise `OSError`."""
    status = folder.stat()
    mine = status.st_uid in (0, os.geteuid()) if hasattr(os, "geteuid") else True
    return mine and not status.st_mode & 0o022


def _remove_old(folder: Path) -> None:
    """Remove graphs unused for `_KEPT` seconds, and equally old drafts of killed processes."""
    before = time.time() - _KEPT
    with suppress(OSError):
        for path in folder.iterdir():
            if _OWN.fullmatch(path.name):
                with suppress(OSError):  # another process removes it, too
                    if path.stat().st_mtime < before:
                        path.unlink()

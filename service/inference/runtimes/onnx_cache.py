"""Exported graphs, kept in a folder from one start of the service to the next.

What torch's exporter needs to be imported and to run is most of what a small network takes to load,
and megabytes of it stay. A graph is found again by all that decides it, the weights' SHA-256 first.
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
    """In the user's cache (XDG Base Directory Specification), unless there is no home."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (given if given.is_absolute() else Path.home() / ".cache") / "fanlight"
    except RuntimeError:
        return None


class Graphs:
    """A folder of graphs; without one, or where it can't be written, nothing is kept.

    A folder that others can write into is not used: a graph decides what is predicted. That nothing
    can be kept is told once, where the folder was `asked` for.
    """

    def __init__(self, folder: Path | None, *, asked: bool = False) -> None:
        self._folder = folder
        self._tell = log.warning if asked else log.debug

    def find(self, card: Card) -> Path | None:
        """The file with the graph of a version, if there is one; it may be damaged."""
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
        """Keep the graph of a version; it appears whole. What was of no use for long is removed."""
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
    """Whether no other user can put files there, but the system's; raises `OSError`."""
    status = folder.stat()
    mine = status.st_uid in (0, os.geteuid()) if hasattr(os, "geteuid") else True
    return mine and not status.st_mode & 0o022


def _remove_old(folder: Path) -> None:
    """Graphs that no start has used for long, and drafts that a killed process has left."""
    before = time.time() - _KEPT
    with suppress(OSError):
        for path in folder.iterdir():
            if _OWN.fullmatch(path.name):
                with suppress(OSError):  # another process removes it, too
                    if path.stat().st_mtime < before:
                        path.unlink()

"""Exported graphs, kept in a folder from one start of the service to the next.

What torch's exporter needs to be imported and to run is most of what a small network takes to load,
and megabytes of it stay. A graph is found again by all that decides it, the weights' SHA-256 first.
"""

import hashlib
import json
import os
import uuid
from pathlib import Path

import structlog
import torch

from models.checkpoint import Card

log = structlog.get_logger()
_FORMAT = 1  # to be raised when other graphs are exported


def usual_folder() -> Path | None:
    """In the user's cache (XDG Base Directory Specification), unless there is no home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fanlight"
    except RuntimeError:
        return None


class Graphs:
    """A folder of graphs; without one, or where it can't be written, nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def find(self, card: Card) -> Path | None:
        """The file with the graph of a version, if there is one; it may be damaged."""
        if self._folder is None:
            return None
        path = self._path(self._folder, card)
        try:
            return path if path.is_file() else None
        except OSError:  # somebody else's folder, say
            return None

    def write(self, card: Card, graph: bytes) -> None:
        """Keep the graph of a version; it appears whole."""
        if self._folder is None:
            return
        path = self._path(self._folder, card)
        draft = path.with_name(f".draft-{uuid.uuid4().hex}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with draft.open("xb") as file:
                    file.write(graph)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            log.debug("graph not kept", folder=str(self._folder), reason=str(error))

    @staticmethod
    def _path(folder: Path, card: Card) -> Path:
        deciding = {
            "format": _FORMAT,
            "torch": torch.__version__,
            **card.model_dump(
                mode="json", include={"weights_sha256", "architecture", "arguments", "input"}
            ),
        }
        key = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
        return folder / f"{key}.onnx"

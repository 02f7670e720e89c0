"""Weights in a file → a pure state_dict: names to tensors. Nothing in the file is run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from models.checkpoint import weights_file
from models.checkpoint.errors import CheckpointError
from models.errors import FanlightError


def read_state_dict(source: Path | BinaryIO, device: torch.device) -> dict[str, Tensor]:
    """Read a pure state_dict: names to tensors, nothing else; raise `CheckpointError` for other
    files.

    Nothing that the file contains is executed (`weights_only=True`). Reading takes about as much
    memory as the file is large.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                return _read_state_dict(file, device, f"{source}: ")
        except OSError as error:
            raise CheckpointError(
                f"{source}: the weights can't be read: {error.strerror}"
            ) from error
    return _read_state_dict(source, device, "")


def _read_state_dict(file: BinaryIO, device: torch.device, place: str) -> dict[str, Tensor]:
    try:
        weights_file.check(file, file.seek(0, os.SEEK_END))
        state_dict = torch.load(file, map_location=device, weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises whatever its unpickler or zip reader meets
        # torch's own message begins by advising to load the file without weights_only
        said = error if isinstance(error, FanlightError) else error.__context__ or error
        reason = str(said).partition(". ")[0][:500] or type(error).__name__
        raise CheckpointError(
            f"{place}the weights are not a file that torch.load(…, weights_only=True) takes; "
            f"save them with torch.save(network.state_dict(), …) ({reason})"
        ) from error
    if not isinstance(state_dict, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state_dict.items()
    ):
        raise CheckpointError(
            f"{place}the weights must be a state_dict: a dict of names to tensors"
        )
    return dict(state_dict)

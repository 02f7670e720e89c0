"""A saved file → its content, with no code of it run.

For a file that is not of torch or safetensors, the error names its kind and says what to do.
"""

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from models.checkpoint import weights_file
from models.checkpoint.pickles import Inert, Others, UnsafeWeightsError
from models.errors import FanlightError
from models.importing import foreign, shards
from models.importing.foreign import ARCHIVE, STATE_DICT

_HEAD = 4096  # bytes that tell what a file is
_MAX_HEADER = 100 * 2**20  # bytes; of a safetensors file, as its own library has it


class SavedFileError(FanlightError):
    """A file without weights that can be read; the message says what it is, and what helps."""


def read(path: Path) -> object:
    """Read a saved file: dicts, lists, numbers, tensors on the CPU, and `Inert` for other objects.

    The index of several files (`model.safetensors.index.json`) stands for all of them, joined. No
    code of the file is run (`weights_only=True`, and `Inert` in place of every class). Raises
    `SavedFileError`.
    """
    if path.is_dir():
        raise SavedFileError(f"{path} is a folder{foreign.inside(path)}")
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise SavedFileError(f"{path} is no file, but a pipe or a device")
    if not path.exists() and (what := foreign.absent(path)) is not None:
        raise SavedFileError(f"{path} {what}")
    try:
        if shards.is_index(path):
            return shards.joined(path, _read_file)
        if (what := shards.of_several(path)) is not None:
            raise SavedFileError(f"{path} {what}")
        return _read_file(path)
    except shards.ShardError as error:
        raise SavedFileError(str(error)) from error
    except OSError as error:
        raise SavedFileError(f"{error.filename or path} can't be read: {error.strerror}") from error


def _read_file(path: Path) -> object:
    """Read a single file as `read` does; raise `OSError`, too."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if _is_safetensors(head):
            return _read_safetensors(path)
        if (what := foreign.foreign(path, head, file)) is not None:
            raise SavedFileError(f"{path} {what}")
        return _read_torch(path, file)


def keeps_order(path: Path) -> bool:
    """Return whether the tensors are in the state_dict's order; safetensors sorts them."""
    with path.open("rb") as file:
        return not _is_safetensors(file.read(_HEAD)) and not shards.is_index(path)


def name_of(path: Path) -> str:
    """Return a file's name without the endings that tell its format, as a name for the model."""
    return shards.stem(path) if shards.is_index(path) else path.stem


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _MAX_HEADER


def _read_safetensors(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        found: dict[str, torch.Tensor] = load_file(path, device="cpu")
    except (SafetensorError, ValueError) as error:
        raise SavedFileError(f"{path} is a broken safetensors file: {error}") from error
    return found


def _read_torch(path: Path, file: BinaryIO) -> object:
    others = Others()
    is_archive = file.seek(0) == 0 and file.read(4) == ARCHIVE
    try:
        weights_file.check(file, file.seek(0, os.SEEK_END), others)
        stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]]
        stand_ins = [*others.stand_ins()]
        with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kinds of tensors that are refused afterwards
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except UnsafeWeightsError as error:
        raise SavedFileError(f"{path} can't be taken as a file of torch.save: {error}") from error
    except Exception as error:  # torch raises whatever its unpickler or zip reader meets
        if (kind := _pickled_network(others.names)) is not None:
            raise whole_network(path, kind) from error
        said = error.__context__ or error
        reason = str(said).partition(". ")[0].partition("\n")[0][:300] or type(error).__name__
        if not is_archive:  # without checksums
            raise SavedFileError(
                f"{path} is no whole file of torch.save: {reason}; it may be cut off"
            ) from error
        raise SavedFileError(
            f"{path} has an object that can't be read without running code: {reason}. Load it "
            f"where it was made, and save {STATE_DICT.format(network='network')}"
        ) from error


def _pickled_network(names: set[str]) -> str | None:
    layers = [name for name in names if name.startswith("torch.nn.modules.")]
    own = [name for name in sorted(names) if not name.startswith(("torch.", "collections."))]
    return (own or layers)[0] if layers else None


def whole_network(path: Path, kind: str) -> SavedFileError:
    """Make the error for a file of `torch.save(network)`, which holds the class `kind` too.

    Weights can't be taken from it: unpickling a class runs code.
    """
    return SavedFileError(
        f"{path} is a whole pickled network (class {kind}): reading it would run code. Where that "
        f"class is at hand, load it, and save {STATE_DICT.format(network='network')}"
    )


def is_network(content: object) -> bool:
    """Return whether the object was a `torch.nn.Module` before it was saved."""
    return (
        isinstance(content, Inert)
        and isinstance(content.state, Mapping)
        and "_modules" in content.state
    )

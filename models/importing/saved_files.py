"""A file that somebody saved → its content, with nothing of it run.

What is no file of torch or safetensors is named, with what to do where it comes from.
"""

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from models import weights_file
from models.errors import FanlightError, InstallationError
from models.weights_file import Inert, UnsafeWeightsError

_HEAD = 4096  # bytes that tell what a file is
_MAX_HEADER = 100 * 2**20  # bytes; of a safetensors file, as its own library has it
_LEGACY = bytes.fromhex("80028a0a6cfc9c46f920")  # of torch.save before 1.6
_STATE_DICT = "torch.save({network}.state_dict(), 'weights.pt')"


class SavedFileError(FanlightError):
    """A file without weights that can be read; the message says what it is, and what helps."""


def read(path: Path) -> object:
    """What was saved: dicts, lists, numbers, tensors on the CPU, and `Inert` for other objects.

    No code of the file is run (`weights_only=True`, and `Inert` in place of every class). Raises
    `SavedFileError`, and `InstallationError` where safetensors is not installed.
    """
    if path.is_dir():
        raise SavedFileError(f"{path} is a folder{_inside(path)}")
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise SavedFileError(f"{path} is no file, but a pipe or a device")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if _is_safetensors(head):
                return _read_safetensors(path)
            if (foreign := _foreign(path, head, file)) is not None:
                raise SavedFileError(f"{path} {foreign}")
            return _read_torch(path, file)
    except OSError as error:
        raise SavedFileError(f"{path} can't be read: {error.strerror}") from error


def _inside(folder: Path) -> str:
    """What a folder of weights holds."""
    if (folder / "saved_model.pb").exists():
        return f": a TensorFlow SavedModel. {_TENSORFLOW}"
    if (folder / "data.pkl").exists():
        return (
            ": an unpacked file of torch.save. Pack it again, without compression: "
            f"zip -0 -r weights.pt {folder.name}"
        )
    found = sorted(
        each.name
        for each in folder.iterdir()
        if each.suffix in (".bin", ".ckpt", ".pt", ".pth", ".safetensors")
    )
    return f"; name a file in it: {', '.join(found[:5])}" if found else ", not a file of weights"


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _MAX_HEADER


def _read_safetensors(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise InstallationError(
            f"{path} is a safetensors file: pip install 'fanlight[safetensors]' to read it"
        ) from error
    try:
        found: dict[str, torch.Tensor] = load_file(path, device="cpu")
    except (SafetensorError, ValueError) as error:
        raise SavedFileError(f"{path} is a broken safetensors file: {error}") from error
    return found


def _read_torch(path: Path, file: BinaryIO) -> object:
    others: set[str] = set()
    try:
        weights_file.check(file, file.seek(0, os.SEEK_END), others)
        stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]]
        stand_ins = [(weights_file.inert(name), name) for name in sorted(others)]
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises whatever its unpickler or zip reader meets
        if (kind := _pickled_network(others)) is not None:
            raise whole_network(path, kind) from error
        said = error if isinstance(error, FanlightError) else error.__context__ or error
        reason = str(said).partition(". ")[0].partition("\n")[0][:300] or type(error).__name__
        hint = "" if isinstance(error, UnsafeWeightsError) else "; it may be cut off"
        raise SavedFileError(f"{path} is no whole file of torch.save: {reason}{hint}") from error


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
        f"class is at hand, load it, and save {_STATE_DICT.format(network='network')}"
    )


def is_network(content: object) -> bool:
    """Whether it was a `torch.nn.Module` before it was saved."""
    return (
        isinstance(content, Inert)
        and isinstance(content.state, Mapping)
        and "_modules" in content.state
    )


_TENSORFLOW = (
    "Export it to ONNX with tf2onnx or keras, and rebuild its network in torch: weights alone do "
    "not carry over, for TensorFlow orders them otherwise"
)


def _foreign(path: Path, head: bytes, file: BinaryIO) -> str | None:
    """What a file is that has no weights of torch, and what to do; None for what torch may read."""
    if head.startswith(b"PK\x03\x04"):
        return _foreign_archive(path, file)
    if head.startswith(_LEGACY):
        return None
    for is_it, what in _KINDS:
        if is_it(head):
            return what
    if path.suffix.lower() == ".onnx":
        return (
            "is an ONNX graph, which `fanlight import` publishes as it is, without a network of "
            "torch. For its weights alone, take the state_dict of the network that it was exported "
            f"from: {_STATE_DICT.format(network='network')}"
        )
    if path.suffix.lower() == ".pb":
        return f"is a TensorFlow graph. {_TENSORFLOW}"
    if head.startswith(b"\x80"):
        return (
            "is a pickle that torch.save did not write. If it holds a state_dict, load it where it "
            "was made, and write it with torch.save"
        )
    return "is no file of weights: neither torch.save nor safetensors wrote it"


def _foreign_archive(path: Path, file: BinaryIO) -> str | None:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):  # it can't read all of them
        return "is an archive without its end: it is cut off. Copy or download it again"
    last = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in last:
        loaded = _STATE_DICT.format(network=f"torch.jit.load({path.name!r})")
        return f"is a TorchScript program, which is code. Save its weights: {loaded}"
    if "serialized_exported_program.json" in last or "archive_format" in last:
        loaded = f"torch.save(torch.export.load({path.name!r}).state_dict, 'weights.pt')"
        return f"is a program of torch.export. Save its weights: {loaded}"
    if "model.weights.h5" in last:
        return f"is a Keras network. {_TENSORFLOW}"
    if "data.pkl" in last:
        return None
    if names and all(name.endswith(".npy") for name in names):
        return (
            "holds arrays of numpy. Make tensors of them: torch.save({name: torch.from_numpy(a) "
            f"for name, a in np.load({path.name!r}).items()}}, 'weights.pt')"
        )
    held = ", ".join(names[:3]) or "nothing"
    return f"is an archive of other files ({held}). Unpack it, and name the file of weights"


_KINDS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (lambda head: not head, "is empty. Copy or download it again"),
    (
        lambda head: head.startswith(b"\x89HDF\r\n\x1a\n"),
        f"is an HDF5 file, as Keras writes. {_TENSORFLOW}",
    ),
    (lambda head: head[4:8] == b"TFL3", f"is a TensorFlow Lite network. {_TENSORFLOW}"),
    (
        lambda head: head.startswith(b"version https://git-lfs"),
        "is a pointer of Git LFS, not the file itself. Fetch that with git lfs pull",
    ),
    (
        lambda head: head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")),
        "is a web page: the download went wrong. Download the file itself",
    ),
    (
        lambda head: head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")),
        "is compressed. Unpack it, and name the file of weights",
    ),
    (
        lambda head: head[257:262] == b"ustar",
        "is a tar archive. Unpack it, and name the file of weights",
    ),
    (
        lambda head: head.startswith(b"\x93NUMPY"),
        "is one array of numpy; a network has several tensors, each with its name",
    ),
    (
        lambda head: head[:1] in (b"{", b"[") and head.isascii(),
        "is JSON, not weights. Name the file of weights that lies beside it",
    ),
)

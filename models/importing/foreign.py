"""Files and folders that hold no weights of torch: what they are, and what to do with them."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

ARCHIVE = b"PK\x03\x04"
LEGACY = bytes.fromhex("80028a0a6cfc9c46f920")  # of torch.save before 1.6
STATE_DICT = "torch.save({network}.state_dict(), 'weights.pt')"
_SORTED_TABLE = bytes.fromhex("57fb808b247547db")  # how LevelDB's tables end, as TensorFlow's do
_OF_TENSORFLOW = re.compile(r".+\.(index|meta|data-\d{5}-of-\d{5})", re.DOTALL)
_TEXT_OF_TENSORFLOW = b"model_checkpoint_path:"
_TENSORFLOW = (
    "Export it to ONNX with tf2onnx or keras, and rebuild its network in torch: weights alone do "
    "not carry over, for TensorFlow orders them otherwise"
)


def absent(path: Path) -> str | None:
    """Describe a path that is only the common prefix of TensorFlow's files; None for others."""
    if path.with_name(f"{path.name}.index").exists():
        return f"is a TensorFlow checkpoint of several files. {_TENSORFLOW}"
    return None


def _is_of_tensorflow(path: Path, head: bytes, file: BinaryIO) -> bool:
    """Return whether a file belongs to a TensorFlow checkpoint: table, values, graph, list."""
    if head.lstrip().startswith(_TEXT_OF_TENSORFLOW):
        return True
    size = file.seek(0, 2)
    file.seek(max(0, size - len(_SORTED_TABLE)))
    return file.read() == _SORTED_TABLE or _OF_TENSORFLOW.fullmatch(path.name) is not None


def foreign(path: Path, head: bytes, file: BinaryIO) -> str | None:
    """Describe a file without weights of torch, and what to do; None for what torch may read."""
    if head.startswith(ARCHIVE):
        return _foreign_archive(path, file)
    if head.startswith(LEGACY):
        return None
    for is_it, what in _KINDS:
        if is_it(head):
            return what
    if path.suffix.lower() == ".onnx":
        return (
            "is an ONNX graph, which `fanlight import` publishes as it is, without a network of "
            "torch. For its weights alone, take the state_dict of the network that it was exported "
            f"from: {STATE_DICT.format(network='network')}"
        )
    if _is_of_tensorflow(path, head, file):
        return f"is a part of a TensorFlow checkpoint. {_TENSORFLOW}"
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
    except NotImplementedError:  # as zipfile says of a version that is above its own
        return (
            "is a zip of a newer version than can be read, or is damaged. Copy or download it "
            "again, or save the weights anew, with torch.save"
        )
    except (zipfile.BadZipFile, ValueError):
        return "is an archive without its end: it is cut off. Copy or download it again"
    last = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in last:
        loaded = STATE_DICT.format(network=f"torch.jit.load({path.name!r})")
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


def inside(folder: Path) -> str:
    """Describe what a folder of weights holds, and say what to do with it."""
    if (folder / "saved_model.pb").exists():
        return f": a TensorFlow SavedModel. {_TENSORFLOW}"
    if (folder / "data.pkl").exists():
        return (
            ": an unpacked file of torch.save. Pack it again, without compression: "
            f"zip -0 -r weights.pt {folder.name}"
        )
    names = sorted(each.name for each in folder.iterdir())
    if ".metadata" in names and any(name.endswith(".distcp") for name in names):
        return (
            ": a checkpoint of torch.distributed. Make one file of it: python -m "
            f"torch.distributed.checkpoint.format_utils dcp_to_torch {folder.name} weights.pt"
        )
    if "zero_to_fp32.py" in names:
        return ": a checkpoint of DeepSpeed. Make one file of it with its zero_to_fp32.py"
    if any(re.fullmatch(r".+\.(index|data-\d{5}-of-\d{5})", name) for name in names):
        return f": a TensorFlow checkpoint. {_TENSORFLOW}"
    if indices := [name for name in names if name.endswith(".index.json")]:
        return f"; name the index in it: {', '.join(indices[:5])}"
    found = sorted(
        each.name
        for each in folder.iterdir()
        if each.suffix in (".bin", ".ckpt", ".pt", ".pth", ".safetensors")
    )
    return f"; name a file in it: {', '.join(found[:5])}" if found else ", not a file of weights"

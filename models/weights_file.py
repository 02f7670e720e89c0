"""What a file of weights claims, checked before torch allocates anything for it.

    directory of the archive → sizes of its entries → pickle, read with inert stand-ins
                             → the claimed storages and tensors, compared with the entries

`torch.load(…, weights_only=True)` runs no code of a file, but believes its sizes: a small file
with compressed or overlapping entries, or a tensor of a billion elements, would fill the memory.
"""

import math
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

import torch

from models.errors import FanlightError

MAX_PICKLE_BYTES = 4 * 2**20
"""Of the names and shapes, some 300 bytes a tensor."""
MAX_DIRECTORY_BYTES = 4 * 2**20
"""Of the list of entries, some 100 bytes a tensor."""
_END = struct.Struct("<4s4HIIH")  # of an archive: its last 22 bytes, if it has no comment
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_ITEMSIZE = {  # of the storages by which torch.save writes a type of number, in bytes
    **{"BoolStorage": 1, "ByteStorage": 1, "CharStorage": 1, "UntypedStorage": 1},
    **{"HalfStorage": 2, "BFloat16Storage": 2, "ShortStorage": 2},
    **{"FloatStorage": 4, "IntStorage": 4, "DoubleStorage": 8, "LongStorage": 8},
    **{"ComplexFloatStorage": 8, "ComplexDoubleStorage": 16},
}
_MAX_OPERATIONS = 1_000_000  # of a pickle: some 50 a tensor; each takes a microsecond
_LEGACY_PICKLES = 5  # magic number, protocol, system, the object, the keys of its storages
_OPCODES = {  # of the pickles that torch.save writes
    *("PROTO", "GLOBAL", "REDUCE", "BUILD", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "BINFLOAT", "BININT", "BININT1", "BININT2", "LONG1"),
    *("BINUNICODE", "SHORT_BINSTRING", "BINPERSID"),
    *("BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT"),
}
_MORE_OPCODES = {"NEWOBJ", "EMPTY_SET"}  # of files with other objects beside the tensors


class UnsafeWeightsError(FanlightError):
    """A file of weights claims what it does not hold, or holds more than a state_dict."""


@dataclass(frozen=True)
class _Storage:
    """A claim: so many elements in the entry of that key."""

    key: str
    elements: int
    bytes: int


@dataclass(frozen=True)
class _StorageType:
    itemsize: int


class _Mapping(dict[Any, Any]):
    """In place of an OrderedDict, which may have attributes."""


class _Tensor:
    """In place of a tensor whose claim was checked; it may get attributes, too."""


class Inert:
    """In place of an object of any other class: takes what its class would get, and does nothing.

    `name` is that of the class; `state` is what the object would have had as attributes.
    """

    name = ""

    def __new__(cls, *_arguments: Any, **_keywords: Any) -> "Inert":
        inert = super().__new__(cls)
        inert.state = None
        return inert

    def __init__(self, *_arguments: Any, **_keywords: Any) -> None:
        self.state: Any

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, _item: Any) -> None:
        """For lists of other classes."""

    def extend(self, _items: Any) -> None:
        """The same."""

    def __setitem__(self, _key: Any, _value: Any) -> None:
        """For dicts of other classes."""


def inert(name: str) -> type[Inert]:
    """What stands for the class of that name, with its module."""
    return type("Inert", (Inert,), {"name": name})


def check(file: BinaryIO, size: int, others: set[str] | None = None) -> None:
    """Raise `UnsafeWeightsError` if torch would need more memory for a file than its `size`.

    The file is left at its beginning. What is no file of torch at all may pass: torch refuses it.
    Objects that are not of a state_dict are refused, unless `others` is given, which then gets the
    names of their classes and functions.
    """
    file.seek(0)
    is_archive = file.read(4) == b"PK\x03\x04"  # what torch looks at
    file.seek(0)
    try:
        if is_archive:
            _check_archive(file, size, others)
        else:
            _check_legacy(file, size, others)
    except (UnsafeWeightsError, OSError):
        raise
    except (MemoryError, RecursionError) as error:
        raise UnsafeWeightsError(f"its pickle can't be read: {type(error).__name__}") from error
    except Exception as error:  # zipfile and pickle raise whatever they meet
        raise UnsafeWeightsError(str(error) or type(error).__name__) from error
    file.seek(0)


def _check_archive(file: BinaryIO, size: int, others: set[str] | None) -> None:
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        sizes = {entry.filename: entry.file_size for entry in entries}
        if len(sizes) < len(entries):
            raise UnsafeWeightsError("two entries of the archive have one name")
        if (claimed := sum(sizes.values())) > size:
            raise UnsafeWeightsError(
                f"its entries claim {claimed:,} bytes in a file of {size:,}: they are "
                "compressed or overlap, which torch.save does not write"
            )
        pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
        if len(pickles) != 1:
            raise UnsafeWeightsError(f"the archive has {len(pickles)} data.pkl, not one")
        if pickles[0].file_size > MAX_PICKLE_BYTES:
            raise UnsafeWeightsError(
                f"its data.pkl has {pickles[0].file_size:,} bytes; at most {MAX_PICKLE_BYTES:,} "
                "are read"
            )
        content = archive.read(pickles[0])
    prefix = pickles[0].filename.removesuffix("data.pkl") + "data/"

    def check_storage(storage: _Storage) -> None:
        held = sizes.get(prefix + storage.key)
        if held is None or storage.bytes > held:
            raise UnsafeWeightsError(
                f"storage {storage.key!r} claims {storage.bytes:,} bytes, and has {held or 0:,}"
            )

    _check_pickle(BytesIO(content), check_storage, others)


def _check_directory(file: BinaryIO, size: int) -> None:
    """That the list of entries is small, and at the end, where every reader looks for it."""
    file.seek(max(0, size - _END.size))
    end = file.read(_END.size)
    if len(end) < _END.size or not end.startswith(b"PK\x05\x06") or not end.endswith(b"\0\0"):
        raise UnsafeWeightsError("the archive does not end with its directory; it may be cut off")
    length = _END.unpack(end)[5]
    locator_at = size - _END.size - _LOCATOR64.size
    if locator_at >= 0:
        file.seek(locator_at)
        signature, _disk, offset, _disks = _LOCATOR64.unpack(file.read(_LOCATOR64.size))
        if signature == b"PK\x06\x07":
            file.seek(min(offset, size))
            record = file.read(_END64.size)
            if len(record) == _END64.size:
                length = _END64.unpack(record)[8]
    if length > MAX_DIRECTORY_BYTES:
        raise UnsafeWeightsError(
            f"the archive's directory has {length:,} bytes; at most "
            f"{MAX_DIRECTORY_BYTES:,} are read"
        )
    file.seek(0)


def _check_legacy(file: BinaryIO, size: int, others: set[str] | None) -> None:
    """A file of torch.save as it was before torch 1.6: pickles, then the storages."""
    head = BytesIO(file.read(MAX_PICKLE_BYTES))
    claimed: dict[str, int] = {}

    def check_storage(storage: _Storage) -> None:
        claimed[storage.key] = storage.bytes
        if sum(claimed.values()) > size:
            raise UnsafeWeightsError(
                f"its tensors claim more than {storage.bytes:,} bytes in a file of {size:,}"
            )

    for _ in range(_LEGACY_PICKLES):
        _check_pickle(head, check_storage, others)


def _check_pickle(
    source: BytesIO, check_storage: Callable[[_Storage], None], others: set[str] | None
) -> None:
    """Check the pickle that begins here, and stop behind it."""
    start = source.tell()
    known = _OPCODES if others is None else _OPCODES | _MORE_OPCODES
    for count, (opcode, argument, _position) in enumerate(pickletools.genops(source)):
        if opcode.name == "GLOBAL":  # first, since its name says more than the operations on it
            module, _, name = str(argument).partition(" ")
            _stand_in(module, name, others)
        if count > _MAX_OPERATIONS:
            raise UnsafeWeightsError(f"its pickle has more than {_MAX_OPERATIONS:,} operations")
        if opcode.name not in known:
            raise UnsafeWeightsError(f"its pickle has the operation {opcode.name}")
        if opcode.name == "LONG_BINPUT" and int(argument or 0) > count:  # the memo is a list
            raise UnsafeWeightsError("its pickle numbers objects that are not there")
    end = source.tell()
    source.seek(start)
    _StandIns(BytesIO(source.read(end - start)), check_storage, others).load()


class _StandIns(pickle.Unpickler):
    """Reads a state_dict without its tensors: names stand for nothing that could run."""

    def __init__(
        self,
        source: BinaryIO,
        check_storage: Callable[[_Storage], None],
        others: set[str] | None,
    ) -> None:
        super().__init__(source)
        self._check_storage, self._others = check_storage, others

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name: new each time, since a pickle can set its attributes."""
        return _stand_in(module, name, self._others)

    def persistent_load(self, pid: Any) -> _Storage:
        kind, type, key, _location, elements, *_view = pid
        if kind != "storage" or not isinstance(elements, int) or elements < 0:
            raise UnsafeWeightsError("it refers to something other than a storage")
        if not isinstance(type, _StorageType):
            raise UnsafeWeightsError("a storage has no type")
        storage = _Storage(str(key), elements, elements * type.itemsize)
        self._check_storage(storage)
        return storage


def _stand_in(module: str, name: str, others: set[str] | None) -> Any:
    if (module, name) == ("collections", "OrderedDict"):
        return lambda *pairs: _Mapping(*pairs)
    if module == "torch._utils" and name in _REBUILT:
        rebuild = _REBUILT[name]
        return lambda *arguments: rebuild(*arguments)
    if module in ("torch", "torch.storage") and name in _ITEMSIZE:
        return _StorageType(_ITEMSIZE[name])
    if module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
        return _StorageType(dtype.itemsize)
    if others is not None:
        others.add(f"{module}.{name}")
        return inert(f"{module}.{name}")
    raise UnsafeWeightsError(f"it holds {module}.{name}, which no state_dict needs")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
    """`torch._utils._rebuild_tensor_v2`: a tensor that lies in its storage, each element once."""
    if not isinstance(storage, _Storage):
        raise UnsafeWeightsError("a tensor has no storage")
    if len(size) != len(stride) or min([offset, *size, *stride], default=0) < 0:
        raise UnsafeWeightsError(f"a tensor claims the shape {size} with strides {stride}")
    elements = math.prod(size)
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if elements and (elements > storage.elements or last >= storage.elements):
        raise UnsafeWeightsError(
            f"a tensor claims the shape {tuple(size)}, but its storage has "
            f"{storage.elements:,} elements"
        )
    return _Tensor()


def _tensor_of_type(
    storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> _Tensor:
    """`torch._utils._rebuild_tensor_v3`: its storage is counted in bytes."""
    if isinstance(storage, _Storage) and isinstance(dtype, _StorageType):
        storage = _Storage(storage.key, storage.bytes // dtype.itemsize, storage.bytes)
    return _tensor(storage, offset, size, stride)


_REBUILT: dict[str, Callable[..., Any]] = {
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_tensor_v3": _tensor_of_type,
    "_rebuild_parameter": lambda data, *_: data,
}

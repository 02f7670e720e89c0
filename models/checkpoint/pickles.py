"""Checks of the pickle in a saved file, read with inert stand-ins: no name in it is imported.

    operations → names of classes and functions → claims of storages and tensors, each checked

A state_dict needs few names. `Others` collects further names, in files that Fanlight didn't write.
"""

import math
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO

import torch
from torch._utils import IMPORT_MAPPING, NAME_MAPPING

from models.errors import FanlightError

PROTOCOL = 2  # of the pickles that torch.save writes, and torch.load reads without running code
_ITEMSIZE = {  # of the storages by which torch.save writes a type of number, in bytes
    **{"BoolStorage": 1, "ByteStorage": 1, "CharStorage": 1, "UntypedStorage": 1},
    **{"HalfStorage": 2, "BFloat16Storage": 2, "ShortStorage": 2},
    **{"FloatStorage": 4, "IntStorage": 4, "DoubleStorage": 8, "LongStorage": 8},
    **{"ComplexFloatStorage": 8, "ComplexDoubleStorage": 16},
}
_QUANTISED_ITEMSIZE = {
    **{"QInt8Storage": 1, "QUInt8Storage": 1, "QUInt4x2Storage": 1, "QUInt2x4Storage": 1},
    "QInt32Storage": 4,
}
_MAX_OPERATIONS = 1_000_000  # of a pickle: some 50 a tensor; each takes a microsecond
_MAX_MADE_BYTES = 4 * 2**20  # that calls of a pickle make of its texts, which are no longer
_OPCODES = {  # of the pickles that torch.save writes
    *("PROTO", "GLOBAL", "REDUCE", "BUILD", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "BINFLOAT", "BININT", "BININT1", "BININT2", "LONG1"),
    *("BINUNICODE", "SHORT_BINSTRING", "BINPERSID"),
    *("BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT"),
}
_MORE_OPCODES = {"NEWOBJ", "EMPTY_SET"}  # of files with other objects beside the tensors
_OF_THE_SYSTEM = ("os", "posix", "nt", "sys")  # modules of which torch reads no name at all


class UnsafeWeightsError(FanlightError):
    """A file of weights claims what it does not hold, or holds more than a state_dict."""


@dataclass(frozen=True)
class Storage:
    """A storage as the pickle claims it: its size, and the `key` of its entry in the archive."""

    key: str
    elements: int
    bytes: int


@dataclass(frozen=True)
class _StorageType:
    itemsize: int


class _Mapping(dict[Any, Any]):
    """A stand-in for an OrderedDict; unlike a dict, it can get attributes."""


class _Tensor:
    """A stand-in for a tensor whose claim was checked; it can get attributes, too."""


class Inert:
    """A stand-in for an object of any other class: it accepts arguments and state and runs nothing.

    `name` is the name of the class; `state` would have become the object's attributes.
    """

    name = ""

    def __new__(cls, *_arguments: Any, **_keywords: Any) -> Any:
        inert = super().__new__(cls)
        inert.state = None
        return inert

    def __init__(self, *_arguments: Any, **_keywords: Any) -> None:
        self.state: Any

    def __setstate__(self, state: Any) -> None:
        self.state = state


@dataclass
class Others:
    """The names of classes and functions in a pickle that no state_dict needs.

    `dicts` and `lists` are the names of classes whose objects get items, such as defaultdict and
    deque.
    """

    names: set[str] = field(default_factory=set)
    dicts: set[str] = field(default_factory=set)
    lists: set[str] = field(default_factory=set)
    made: int = 0  # bytes, by calls

    def stand_ins(self) -> list[tuple[Callable[..., Any], str]]:
        """Return pairs of stand-in and name for torch: a dict, a list, or an inert class."""
        return [(self._stand_in(name), name) for name in sorted(self.names)]

    def _stand_in(self, name: str) -> type[Inert]:
        if name in self.dicts:
            return type("Inert", (_AsDict,), {"name": name})
        if name in self.lists:
            return type("Inert", (_AsList,), {"name": name})
        return type("Inert", (Inert,), {"name": name})

    def watched(self, name: str) -> type[Inert]:
        """Return a stand-in for this class that records whether its objects get items."""
        self.names.add(name)

        def to_dicts(_inert: Inert, _key: Any, _value: Any) -> None:
            self.dicts.add(name)

        def to_lists(_inert: Inert, _items: Any) -> None:
            self.lists.add(name)

        methods = {"__setitem__": to_dicts, "append": to_lists, "extend": to_lists}
        return type("Inert", (Inert,), {"name": name, **methods})

    def make(self, text: Any) -> "Inert":
        """Return a stand-in for bytes, and count them: torch would make one for each letter."""
        self.made += len(text) if isinstance(text, str | bytes) else 0
        if self.made > _MAX_MADE_BYTES:
            raise UnsafeWeightsError(f"its pickle makes more than {_MAX_MADE_BYTES:,} bytes")
        inert: Inert = Inert()
        return inert


class _AsDict(Inert):
    def __new__(cls, *_arguments: Any, **_keywords: Any) -> Any:
        return OrderedDict()  # which torch gives items, and attributes


class _AsList(Inert):
    def __new__(cls, *_arguments: Any, **_keywords: Any) -> Any:
        return []


def check_pickle(
    source: BytesIO, check_storage: Callable[[Storage], None], others: Others | None
) -> None:
    """Check the pickle that begins at the position of `source`; raise `UnsafeWeightsError`.

    Leaves the position behind the pickle. Calls `check_storage` for each storage. Names that no
    state_dict needs are refused, unless `others` is given, which then collects them.
    """
    start = source.tell()
    known = _OPCODES if others is None else _OPCODES | _MORE_OPCODES
    protocol = PROTOCOL
    for count, (opcode, argument, _position) in enumerate(pickletools.genops(source)):
        if opcode.name == "GLOBAL":  # first, since its name says more than the operations on it
            module, _, name = str(argument).partition(" ")
            _stand_in(module, name, others)
        if opcode.name == "PROTO":
            protocol = int(argument or 0)
        if count > _MAX_OPERATIONS:
            raise UnsafeWeightsError(f"its pickle has more than {_MAX_OPERATIONS:,} operations")
        if opcode.name not in known and protocol != PROTOCOL:
            raise UnsafeWeightsError(
                f"it is a pickle of protocol {protocol}, where {PROTOCOL} is read: save it again "
                "with torch.save, without pickle_protocol"
            )
        if opcode.name not in known:
            raise UnsafeWeightsError(f"its pickle has the operation {opcode.name}")
        if opcode.name == "LONG_BINPUT" and int(argument or 0) > count:  # the memo is a list
            raise UnsafeWeightsError("its pickle numbers objects that are not there")
    end = source.tell()
    source.seek(start)
    _StandIns(BytesIO(source.read(end - start)), check_storage, others).load()


class _StandIns(pickle.Unpickler):
    """An unpickler that reads a state_dict without its tensors, with a stand-in for every name."""

    def __init__(
        self,
        source: BinaryIO,
        check_storage: Callable[[Storage], None],
        others: Others | None,
    ) -> None:
        super().__init__(source)
        self._check_storage, self._others = check_storage, others

    def find_class(self, module: str, name: str) -> Any:
        """Return a new stand-in for a name each time, since a pickle can set its attributes."""
        return _stand_in(module, name, self._others)

    def persistent_load(self, pid: Any) -> Storage:
        kind, type, key, _location, elements, *_view = pid
        if kind != "storage" or not isinstance(elements, int) or elements < 0:
            raise UnsafeWeightsError("it refers to something other than a storage")
        if not isinstance(type, _StorageType):
            raise UnsafeWeightsError("a storage has no type")
        storage = Storage(str(key), elements, elements * type.itemsize)
        self._check_storage(storage)
        return storage


def _stand_in(module: str, name: str, others: Others | None) -> Any:
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
        # names of Python 2, which protocol 2 has: `__builtin__.list` is `builtins.list`
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        return _other(module, name, others)
    raise UnsafeWeightsError(f"it holds {module}.{name}, which no state_dict needs")


def _other(module: str, name: str, others: Others) -> Any:
    """Return the stand-in for a name that no state_dict needs.

    Some of these functions torch will call itself, whatever stand-in it gets. So their arguments
    are checked here.
    """
    full = f"{module}.{name}"
    if module in _OF_THE_SYSTEM:
        raise UnsafeWeightsError(f"it holds {full}, a name of the operating system's")
    if module == "torch" and name in _QUANTISED_ITEMSIZE:
        return _StorageType(_QUANTISED_ITEMSIZE[name])
    if full in _OTHERS_REBUILT:
        rebuild = _OTHERS_REBUILT[full]
        return lambda *arguments: rebuild(*arguments)
    if module.partition(".")[0] == "torch" and name.endswith("Tensor") and module in _TENSORS_OF:
        return lambda *_: _refuse_call(full)
    if full == "_codecs.encode":
        return lambda text, encoding: _encoded(text, encoding, others)
    if full == "builtins.bytearray":
        return lambda text=b"", *_: (
            _refuse_call(full) if isinstance(text, int) else others.make(text)
        )
    return others.watched(full)


def _refuse_call(name: str) -> None:
    raise UnsafeWeightsError(f"it calls {name}, which could take any amount of memory")


def _encoded(text: Any, encoding: Any, others: Others) -> Inert:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnsafeWeightsError("it encodes what is no text, which torch.save does not write")
    return others.make(text)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
    """Stand in for `torch._utils._rebuild_tensor_v2`: check that the tensor lies within its
    storage, and has no more elements than that."""
    if not isinstance(storage, Storage):
        raise UnsafeWeightsError("a tensor has no storage")
    if len(size) != len(stride) or min([offset, *size, *stride], default=0) < 0:
        raise UnsafeWeightsError(f"a tensor claims the shape {size} with strides {stride}")
    elements = math.prod(size)
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if elements and (elements > storage.elements or last >= storage.elements):
        raise UnsafeWeightsError(
            f"a tensor claims the shape {tuple(size)}, but its storage has "
            f"{storage.elements:,} elements (one made by expand needs contiguous() before)"
        )
    return _Tensor()


def _tensor_of_type(
    storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> _Tensor:
    """Stand in for `torch._utils._rebuild_tensor_v3`, whose storage is counted in bytes."""
    if isinstance(storage, Storage) and isinstance(dtype, _StorageType):
        storage = Storage(storage.key, storage.bytes // dtype.itemsize, storage.bytes)
    return _tensor(storage, offset, size, stride)


def _of_class(rebuild: Any, kind: Any, arguments: Any, *_: Any) -> Any:
    """Stand in for `torch._tensor._rebuild_from_type_v2`: refuse a tensor of a class of its own,
    and rebuild one with attributes."""
    if isinstance(kind, type) and issubclass(kind, Inert):
        _refuse_class(kind)
    return rebuild(*arguments)


def _refuse_class(kind: Any, *_: Any) -> None:
    raise UnsafeWeightsError(
        f"it has tensors of the class {getattr(kind, 'name', kind)}: make plain ones of them "
        "(full_tensor() of a DTensor, dequantize() of a quantised one, else "
        "as_subclass(torch.Tensor)), and save these"
    )


_REBUILT: dict[str, Callable[..., Any]] = {
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_tensor_v3": _tensor_of_type,
    "_rebuild_parameter": lambda data, *_: data,
}
_OTHERS_REBUILT: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,  # of torch before 0.4
    "torch._utils._rebuild_qtensor": _tensor,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
    "torch._utils._rebuild_wrapper_subclass": _refuse_class,
    "torch._tensor._rebuild_from_type_v2": _of_class,
}
_TENSORS_OF = ("torch", "torch.sparse", "torch.cuda", "torch.cuda.sparse")

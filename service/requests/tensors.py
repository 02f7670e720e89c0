"""Tensors of the Open Inference Protocol v2: JSON or little-endian bytes ↔ arrays.

    {"name", "datatype", "shape", "data": [1, 2]}                        numbers as JSON
    {"name", "datatype", "shape", "parameters": {"binary_data_size"}}    behind the JSON, in order

(KServe, "Open Inference Protocol", and Triton Inference Server, "Binary Tensor Data Extension".)
Elements of BYTES are strings in JSON, and in bytes each has its length before it, as four bytes.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import MalformedBodyError

BYTES = "BYTES"
DATATYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}
MAX_DIMENSIONS = 16
_NUMBERS = (int, float, bool)
_LENGTH = struct.Struct("<I")  # of an element of BYTES
_KINDS = {"b": "b", "u": "biu", "i": "biu", "f": "iuf"}  # numpy's kinds that JSON may give for one


@dataclass(frozen=True)
class Tensor:
    """A tensor of the protocol.

    `values` is an array of that shape, or for BYTES a list of its elements in row-major order. An
    element of BYTES is bytes, or the string that stood in JSON.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: NDArray[Any] | Sequence[bytes | str]

    @property
    def array(self) -> NDArray[Any]:
        """The values of a tensor of numbers; raises `MalformedBodyError` for one of BYTES."""
        if not isinstance(self.values, np.ndarray):
            raise MalformedBodyError(f"the tensor {self.name!r} is {BYTES}; send numbers")
        return self.values

    @property
    def elements(self) -> Sequence[bytes | str]:
        """The values of a tensor of BYTES; raises `MalformedBodyError` for one of numbers."""
        if isinstance(self.values, np.ndarray):
            raise MalformedBodyError(
                f"the tensor {self.name!r} has the datatype {self.datatype}; send {BYTES}"
            )
        return self.values


def checked_shape(name: str, shape: object) -> tuple[int, ...]:
    """Check a shape from JSON, and return it as a tuple; raise `MalformedBodyError`."""
    if (
        not isinstance(shape, list)
        or len(shape) > MAX_DIMENSIONS
        or not all(type(side) is int and 0 < side < 2**31 for side in shape)
    ):
        raise MalformedBodyError(
            f"the shape of the tensor {name!r} must be a list of at most {MAX_DIMENSIONS} whole "
            "numbers from 1"
        )
    return tuple(shape)


def from_json(name: str, datatype: str, shape: tuple[int, ...], data: object) -> Tensor:
    """Make a tensor from values in JSON, nested as its shape or flat.

    Raises `MalformedBodyError` for values that don't fit the datatype or the shape.
    """
    if not isinstance(data, list):
        raise MalformedBodyError(f"the data of the tensor {name!r} must be a list")
    elements = _flat(data)
    if datatype == BYTES:
        if not all(isinstance(each, str) for each in elements):
            raise MalformedBodyError(f"the data of the tensor {name!r} must be strings (BYTES)")
        _check_count(name, shape, len(elements))
        return Tensor(name, datatype, shape, elements)
    if datatype == "FP16":
        raise MalformedBodyError(
            f"the tensor {name!r} is FP16, which JSON can't carry: send it as binary data"
        )
    wanted = _dtype(name, datatype)
    given = np.array(None)
    if all(type(each) in _NUMBERS for each in elements):  # an array of strings has their longest's
        with suppress(ValueError):  # lists of different lengths
            given = np.array(data)
    if given.dtype.kind not in _KINDS[wanted.kind] or given.shape not in (shape, (given.size,)):
        raise MalformedBodyError(
            f"the data of the tensor {name!r} must be numbers of the datatype {datatype}, nested "
            f"as the shape {list(shape)} or flat"
        )
    _check_count(name, shape, given.size)
    with np.errstate(over="ignore"):
        values = given.astype(wanted).reshape(shape)
    if wanted.kind in "biu" and not (values == given.reshape(shape)).all():
        raise MalformedBodyError(f"the tensor {name!r} has values that {datatype} can't hold")
    return Tensor(name, datatype, shape, values)


def from_bytes(name: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> Tensor:
    """Make a tensor from the bytes of its elements: row-major, little-endian.

    Raises `MalformedBodyError` for bytes that don't fit the datatype or the shape.
    """
    if datatype == BYTES:
        elements = _elements(name, data, math.prod(shape))
        _check_count(name, shape, len(elements))
        return Tensor(name, datatype, shape, elements)
    wanted = _dtype(name, datatype)
    needed = math.prod(shape) * wanted.itemsize
    if len(data) != needed:
        raise MalformedBodyError(
            f"the tensor {name!r} of shape {list(shape)} and datatype {datatype} has {needed:,} "
            f"bytes, not {len(data):,}"
        )
    return Tensor(name, datatype, shape, np.frombuffer(data, wanted).reshape(shape))


def to_bytes(tensor: Tensor) -> bytes:
    """Return the bytes of a tensor, as they follow the JSON of a response."""
    if isinstance(tensor.values, np.ndarray):
        return np.ascontiguousarray(tensor.values, DATATYPES[tensor.datatype]).tobytes()
    parts: list[bytes] = []
    for each in tensor.values:
        element = each.encode() if isinstance(each, str) else each
        parts += (_LENGTH.pack(len(element)), element)
    return b"".join(parts)


def _dtype(name: str, datatype: str) -> np.dtype[Any]:
    if datatype not in DATATYPES:
        raise MalformedBodyError(
            f"the tensor {name!r} has the datatype {datatype[:40]!r}; there are "
            f"{', '.join((*DATATYPES, BYTES))}"
        )
    return DATATYPES[datatype]


def _elements(name: str, data: memoryview, most: int) -> list[bytes]:
    found: list[bytes] = []
    start = 0
    while start < len(data) and len(found) < most:
        if start + _LENGTH.size > len(data):
            break
        (length,) = _LENGTH.unpack_from(data, start)
        start += _LENGTH.size
        if start + length > len(data):
            break
        found.append(bytes(data[start : start + length]))
        start += length
    if start != len(data):
        raise MalformedBodyError(
            f"the bytes of the tensor {name!r} are not elements, each behind its length as four "
            "bytes, as many as its shape says"
        )
    return found


def _check_count(name: str, shape: tuple[int, ...], count: int) -> None:
    if count != math.prod(shape):
        raise MalformedBodyError(
            f"the tensor {name!r} of shape {list(shape)} has {math.prod(shape):,} elements, "
            f"not {count:,}"
        )


def _flat(data: list[Any]) -> list[Any]:
    """Return the elements of nested lists of any depth."""
    found: list[Any] = []
    waiting = [iter(data)]
    while waiting:
        for each in waiting[-1]:
            if isinstance(each, list):
                waiting.append(iter(each))
                break
            found.append(each)
        else:
            waiting.pop()
    return found

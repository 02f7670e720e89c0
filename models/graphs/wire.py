"""Checks of the bytes of a graph before they are parsed.

Two bytes of a file can stand for a message that takes a hundred bytes of memory once it is parsed,
so a small file could fill the memory. The fields are walked in the encoding of protocol buffers
(https://protobuf.dev/programming-guides/encoding); the content of tensors is skipped.
"""

from models.graphs.errors import GraphError, needed

MAX_FIELDS = 1_000_000  # a graph of 20,000 nodes has half of them
MAX_DEPTH = 16  # messages in messages: a graph in a graph takes four
MAX_PACKED = 2**26  # bytes of packed integers, each of which becomes eight
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


def check(content: bytes) -> None:
    """Raise `GraphError` for bytes that are no graph, or take far more memory once parsed."""
    whole = needed("onnx").ModelProto.DESCRIPTOR
    waiting = [(whole, 0, len(content), 0)]
    fields = packed = 0
    while waiting:
        kind, at, end, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise GraphError(
                f"it nests more than {MAX_DEPTH} messages in each other, as branches in branches "
                "do; export the network without control flow"
            )
        known = kind.fields_by_number
        while at < end:
            fields += 1
            if fields > MAX_FIELDS:
                raise GraphError(
                    f"it has more than {MAX_FIELDS:,} parts; no classifier of images needs as many"
                )
            key, at = _varint(content, at, end)
            field, wire = known.get(key >> 3), key & 7
            if wire == _VARINT:
                _, at = _varint(content, at, end)
            elif wire in _FIXED:
                at += _FIXED[wire]
            elif wire == _BYTES:
                length, at = _varint(content, at, end)
                if field is not None and field.message_type is not None:
                    waiting.append((field.message_type, at, min(at + length, end), depth + 1))
                elif field is not None and field.cpp_type in (
                    field.CPPTYPE_INT32,
                    field.CPPTYPE_INT64,
                    field.CPPTYPE_UINT64,
                ):
                    packed += length
                at += length
            else:
                raise _damaged()
            if at > end:
                raise _damaged()
        if packed > MAX_PACKED:
            raise GraphError(
                f"it has more than {MAX_PACKED:,} bytes of packed integers; save its tensors as "
                "raw data, as onnx.save does with those of numpy"
            )


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the varint at position `at`, and the position behind it."""
    value = shift = 0
    while at < end and shift < 64:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _damaged()


def _damaged() -> GraphError:
    return GraphError(
        "it is no whole ONNX graph: it is damaged or cut off; copy or export it again"
    )

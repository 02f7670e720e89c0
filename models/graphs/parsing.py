"""Bytes ↔ graph: a graph is used only after its nodes, tensors and sizes are checked.

Graphs are `onnx.ModelProto`. Tensors lie inside the file. A graph that refers to other files is
refused, except by `read`, which copies tensors from files beside the imported one.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from models import files
from models.graphs import operators, wire
from models.graphs.errors import GraphError, needed, reason

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

MAX_BYTES = 2**31 - 1  # of a protocol buffer
MAX_NODES = 20_000
MAX_DEPTH = 100  # functions that call one another
MAX_RANK = 16  # dimensions of a tensor
_BITS = {  # of an element, by the names of onnx.TensorProto
    "FLOAT": 32, "UINT8": 8, "INT8": 8, "UINT16": 16, "INT16": 16, "INT32": 32, "INT64": 64,
    "BOOL": 8, "FLOAT16": 16, "DOUBLE": 64, "UINT32": 32, "UINT64": 64, "BFLOAT16": 16,
}  # fmt: skip


def parse(content: bytes) -> "ModelProto":
    """Parse and check a graph; raise `GraphError` if it is refused."""
    model = _parsed(content)
    check(model)
    return model


def read(path: Path) -> "ModelProto":
    """Read a graph that a user imports; tensors in files beside `path` are copied in.

    Functions that the graph defines are inlined. The result still needs `check`, after parts that
    no image needs are removed. Raises `GraphError` or `OSError`.
    """
    own = path.resolve(strict=True)  # the file that is named may be a link, as in caches of hubs
    with files.open_beneath(own.parent, own.name) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise GraphError(f"it is larger than {MAX_BYTES:,} bytes, which no ONNX file can be")
    model = _parsed(content)
    _take_in(model, path.parent)
    return _without_functions(model)


def _parsed(content: bytes) -> "ModelProto":
    onnx = needed("onnx")
    wire.check(content)
    try:
        model: ModelProto = onnx.ModelProto.FromString(content)
    except Exception as error:  # whatever the installed protobuf raises
        raise GraphError(f"it is no ONNX graph ({reason(error)}); export it again") from error
    if not model.graph.node or not model.opset_import:
        raise GraphError("it is no ONNX graph: it has no nodes or names no opset; export it again")
    return model


def check(model: "ModelProto") -> None:
    """Raise `GraphError` for operators that are not run, and for tensors whose content doesn't fit
    their shape."""
    onnx = needed("onnx")
    if model.functions:
        raise GraphError("it has functions of its own; import it again, which writes them out")
    if len(model.graph.node) > MAX_NODES:
        raise GraphError(f"it has {len(model.graph.node):,} nodes; at most {MAX_NODES:,} are run")
    for node in model.graph.node:
        if problem := operators.refusal(node.op_type, operators.domain(node.domain)):
            raise GraphError(problem)
        _check_no_graph_inside([node])
        if any(each.HasField("sparse_tensor") or each.sparse_tensors for each in node.attribute):
            raise GraphError(f"the node {_name(node)} has a sparse tensor; make it a dense one")
    if model.graph.sparse_initializer:
        raise GraphError("it has sparse weights; make them dense before the export")
    for tensor in tensors(model):
        _check_tensor(tensor)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise GraphError(
            f"it breaks the rules of ONNX: {reason(error)}; export it again"
        ) from error


def _check_no_graph_inside(nodes: "Iterable[NodeProto]") -> None:
    """Raise `GraphError` for a node with a graph inside it: a branch or a loop."""
    for node in nodes:
        if any(each.HasField("g") or each.graphs for each in node.attribute):
            raise GraphError(f"the node {_name(node)} has a graph of its own, which is not run")


def tensors(model: "ModelProto") -> Iterator["TensorProto"]:
    """Yield the weights and constants of a graph without functions or graphs inside."""
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def serialized(model: "ModelProto") -> bytes:
    """Serialise a graph; raise `GraphError` if it is too large for one file."""
    if model.ByteSize() > MAX_BYTES:
        raise GraphError(f"it has more than {MAX_BYTES:,} bytes, which is too large for one file")
    content: bytes = model.SerializeToString()
    return content


def _check_tensor(tensor: "TensorProto") -> None:
    if tensor.data_location == tensor.EXTERNAL or tensor.external_data:
        raise GraphError(
            f"the tensor {tensor.name!r} lies in another file; save the graph as one file, or "
            "import it again with the other file beside it"
        )
    kind = tensor.DataType.Name(tensor.data_type) if tensor.data_type in _known(tensor) else None
    if kind not in _BITS:
        raise GraphError(
            f"the tensor {tensor.name!r} has values of the type {kind or tensor.data_type}; "
            f"possible are {', '.join(_BITS).lower()}"
        )
    if len(tensor.dims) > MAX_RANK or any(side < 0 for side in tensor.dims):
        raise GraphError(f"the tensor {tensor.name!r} has the impossible shape {_shape(tensor)}")
    values = math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        held = len(tensor.raw_data) * 8 // _BITS[kind]
    else:
        fields = (
            tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data,
            tensor.uint64_data,
        )  # fmt: skip
        held = sum(map(len, fields))
    if held != values:
        raise GraphError(
            f"the tensor {tensor.name!r} claims the shape {_shape(tensor)}, {values:,} values, and "
            f"holds {held:,}; the file is damaged: export it again"
        )


def _known(tensor: "TensorProto") -> list[int]:
    return list(tensor.DataType.values())


def _shape(tensor: "TensorProto") -> tuple[int, ...]:
    return tuple(tensor.dims[:MAX_RANK])


def _name(node: "NodeProto") -> str:
    return repr(node.name or (node.output[0] if node.output else node.op_type))


def _take_in(model: "ModelProto", folder: Path) -> None:
    """Copy in tensors from files of the folder; raise `GraphError` for files elsewhere."""
    total = model.ByteSize()  # it is slow: it writes the whole graph
    for tensor in model.graph.initializer:
        if tensor.data_location != tensor.EXTERNAL:
            continue
        where = {each.key: each.value for each in tensor.external_data}
        parts = Path(where.get("location", "")).parts
        if not parts or ".." in parts or Path(*parts).is_absolute():
            raise GraphError(
                f"the tensor {tensor.name!r} lies in {where.get('location')!r}, outside of the "
                "folder of the graph; save the graph as one file"
            )
        kind = tensor.DataType.Name(tensor.data_type) if tensor.data_type in _known(tensor) else ""
        if any(side < 0 for side in tensor.dims) or kind not in _BITS:
            raise GraphError(f"the tensor {tensor.name!r} has an impossible shape or type")
        length = math.prod(tensor.dims) * _BITS[kind] // 8
        if length > MAX_BYTES:
            raise GraphError(
                f"the tensor {tensor.name!r} has {length:,} bytes, too many for a file"
            )
        try:
            offset = int(where.get("offset", "0"))
            with files.open_beneath(folder, *parts) as file:
                file.seek(offset)
                content = file.read(length)
        except FileNotFoundError as error:
            raise GraphError(
                f"it has weights in the file {'/'.join(parts)!r}, which is not beside it; put both "
                "in one folder, or save the graph as one file"
            ) from error
        except (OSError, ValueError, files.UnsafeFileError) as error:
            raise GraphError(
                f"its weights in {'/'.join(parts)!r} can't be read: {error}"
            ) from error
        if len(content) != length:
            raise GraphError(
                f"the file {'/'.join(parts)!r} is too short for the tensor {tensor.name!r}; copy "
                "it again"
            )
        tensor.raw_data = content
        del tensor.external_data[:]
        tensor.data_location = tensor.DEFAULT
        total += length
        if total > MAX_BYTES:
            raise GraphError(f"with its weights it is larger than {MAX_BYTES:,} bytes")


def _without_functions(model: "ModelProto") -> "ModelProto":
    """Return the graph with its functions inlined, which torch's newer exporter may leave in it."""
    if not model.functions:
        return model
    own = {(each.domain, each.name): each for each in model.functions}
    for nodes in (model.graph.node, *(each.node for each in model.functions)):
        _check_no_graph_inside(nodes)  # a call in one would be written out too
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: "list[NodeProto]", inside: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            key = node.domain, node.op_type
            if key in inside:
                raise GraphError(f"its function {node.op_type!r} calls itself")
            if len(inside) > MAX_DEPTH:
                raise GraphError(f"its functions call each other more than {MAX_DEPTH} levels deep")
            if key not in own:
                total += 1
            else:
                if key not in sizes:
                    sizes[key] = size(list(own[key].node), (*inside, key))
                total += sizes[key]
        return total

    if len(own) > MAX_NODES or size(list(model.graph.node), ()) > MAX_NODES:
        raise GraphError(f"its functions have more than {MAX_NODES:,} nodes, once written out")
    try:
        flat: ModelProto = needed("onnx.inliner").inline_local_functions(model)
    except Exception as error:  # of C++, of any kind
        raise GraphError(f"its functions can't be written out: {reason(error)}") from error
    return flat

"""A graph that would run long, fill the memory or reach other files is refused before it runs."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from models.graphs import network, parsing, wire
from models.graphs.errors import GraphError
from models.preprocessing import InputSpec
from tests import graphs
from tests.graphs import FLAT, SIDE, node

pytestmark = pytest.mark.usefixtures("_graphs_are_tried_here")
SPEC = InputSpec(channels=1, height=SIDE, width=SIDE)
SHAPE = (1, 1, SIDE, SIDE)


def load(model: ModelProto) -> network.OnnxNetwork:
    return network.load(model.SerializeToString(), SPEC, 3, threads=1)


def fine(*nodes: onnx.NodeProto, batch: int | str = 1, **weights: Any) -> ModelProto:
    """A graph that would be fine, with further nodes that it does not need."""
    body = [node("Flatten", "x", "f"), *nodes, node("MatMul", "f w", "y")]
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])
    return graphs.graph(body, (batch, *SHAPE[1:]), [value], w=FLAT, **weights)


def test_it_is_loaded_without_what_makes_it_hostile() -> None:
    assert load(fine()).batch_size == 1
    assert load(fine(batch="n")).batch_size is None


def huge(name: str = "size") -> dict[str, Any]:
    return {name: np.array([10**6, 10**6])}


def doubling() -> ModelProto:
    names = ["f", *(f"d{i}" for i in range(40))]
    nodes = [node("Concat", f"{one} {one}", two, axis=1) for one, two in itertools.pairwise(names)]
    return fine(*nodes)


def sized_by_pixels() -> ModelProto:
    return fine(
        node("ReduceSum", "f", "s", keepdims=0),
        node("Cast", "s", "i", to=TensorProto.INT64),
        node("Reshape", "i one", "size"),
        node("ConstantOfShape", "size", "big"),
        one=np.array([1]),
    )


def sized_by_batch() -> ModelProto:
    return fine(
        node("Shape", "f", "shape"),
        node("Mul", "shape many", "more"),
        node("ConstantOfShape", "more", "big"),
        batch="n",
        many=np.array([1000, 1]),
    )


def costly_convolution() -> ModelProto:
    kernels = np.zeros((1, 1, 512, 512), np.float32)
    return fine(
        node("Conv", "x k", "c", pads=[2000] * 4),
        k=kernels,
    )


def costly_pool() -> ModelProto:
    return fine(
        node("Pad", "x pads", "p"),
        node("AveragePool", "p", "q", kernel_shape=[2000, 2000], strides=[1, 1]),
        pads=np.array([0, 0, 1500, 1500, 0, 0, 1500, 1500]),
    )


def with_branch() -> ModelProto:
    inner = helper.make_graph(
        [node("Identity", "f", "out")],
        "inner",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    yes = numpy_helper.from_array(np.array(True), "yes")
    model = fine(node("If", "yes", "branched", then_branch=inner, else_branch=inner))
    model.graph.initializer.append(yes)
    return model


def without_end() -> ModelProto:
    body = helper.make_graph(
        [node("Identity", "go", "again")],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("again", TensorProto.BOOL, [])],
    )
    model = fine(node("Loop", "many yes", "", body=body), many=np.array(2**62))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    return model


def external(location: str = "../../secret") -> ModelProto:
    model = fine()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model


def external_constant() -> ModelProto:
    tensor = external().graph.initializer[0]
    return fine(helper.make_node("Constant", [], ["c"], value=tensor))


def claiming(*dims: int) -> ModelProto:
    model = fine()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    return model


def many_nodes() -> ModelProto:
    return fine(*(node("Identity", "f", f"i{i}") for i in range(parsing.MAX_NODES)))


def with_function() -> ModelProto:
    model = fine(helper.make_node("Own", ["f"], ["o"], domain="mine"))
    model.functions.append(
        helper.make_function(
            "mine", "Own", ["a"], ["b"], [node("Neg", "a", "b")], [helper.make_opsetid("", 17)]
        )
    )
    return model


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: fine(node("ConstantOfShape", "size", "big"), **huge()), "1,000,000,000,000"),
        (lambda: fine(node("Expand", "f size", "big"), size=np.array([10**7, 64])), "640,000,000"),
        (lambda: fine(node("Tile", "f size", "big"), **huge()), "values for an image"),
        (
            lambda: fine(
                node("Range", "a b c", "big"),
                a=np.array(0),
                b=np.array(10**12),
                c=np.array(1),
            ),
            "values for an image",
        ),
        (
            lambda: fine(
                helper.make_node("Resize", ["x", "", "scales"], ["big"]),
                scales=np.array([1, 1, 1e5, 1e5], np.float32),
            ),
            "values for an image",
        ),
        (
            lambda: fine(
                node("ConvTranspose", "x k", "big", strides=[20000, 20000]),
                k=np.zeros((1, 1, 1, 1), np.float32),
            ),
            "values for an image",
        ),
        (
            lambda: fine(node("Pad", "x pads", "big"), pads=np.array([0, 0, 0, 0, 0, 0, 0, 10**9])),
            "values for an image",
        ),
        (doubling, "values for an image"),
        (sized_by_pixels, "can't be told before it runs"),
        (sized_by_batch, "larger batch"),
        (costly_convolution, "multiply-adds"),
        (costly_pool, "multiply-adds"),
        (with_branch, "control flow (the operator If)"),
        (without_end, "control flow (the operator Loop)"),
        (lambda: fine(node("Secret", "f", "s", domain="com.evil")), "'com.evil'"),
        (lambda: fine(node("FusedMatMul", "f w", "s", domain="com.microsoft")), "'com.microsoft'"),
        (lambda: fine(node("NonZero", "f", "s")), "'NonZero'"),
        (lambda: fine(node("RandomNormal", "", "s", shape=[10**9])), "'RandomNormal'"),
        (external, "lies in another file"),
        (external_constant, "lies in another file"),
        (lambda: claiming(10**6, 10**6), "claims the shape"),
        (lambda: claiming(-64, -3), "impossible shape"),
        (lambda: claiming(64, 4), "holds 192"),
        (many_nodes, "at most 20,000"),
        (with_function, "functions of its own"),
        (lambda: fine(batch=1000), "at most 256"),
    ],
)
def test_it_is_refused(make: Callable[[], ModelProto], said: str) -> None:
    with pytest.raises(GraphError) as caught:
        load(make())
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no ONNX graph"),
        (b"\x08", "damaged or cut off"),
        (fine().SerializeToString()[:-20], "damaged or cut off"),
        (b"\x3a\xff\xff\xff\xff\x0f", "damaged or cut off"),
        (b"<html>", "damaged or cut off"),
    ],
)
def test_damaged_bytes_are_refused(content: bytes, said: str) -> None:
    with pytest.raises(GraphError) as caught:
        parsing.parse(content)
    assert said in str(caught.value)


def test_parts_are_counted_before_they_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_FIELDS", 1000)
    empty_nodes = b"\x0a\x00" * 2000
    content = b"\x3a" + bytes([len(empty_nodes) % 128 | 128, len(empty_nodes) // 128]) + empty_nodes
    with pytest.raises(GraphError, match="more than 1,000 parts"):
        wire.check(content)


def test_messages_in_messages_end() -> None:
    inner = fine().graph
    for depth in range(8):
        outer = helper.make_graph([node("If", "c", f"o{depth}", then_branch=inner)], "g", [], [])
        inner = outer
    model = fine()
    model.graph.CopyFrom(inner)
    with pytest.raises(GraphError, match="more than 16 messages"):
        wire.check(model.SerializeToString())


def test_packed_integers_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_PACKED", 10)
    model = fine()
    model.graph.initializer.append(helper.make_tensor("i", TensorProto.INT64, [20], range(20)))
    with pytest.raises(GraphError, match="packed integers"):
        wire.check(model.SerializeToString())


def read(model: ModelProto, folder: Path) -> ModelProto:
    return parsing.read(graphs.save(model, folder / "net.onnx"))


def test_weights_beside_the_graph_are_copied_in(tmp_path: Path) -> None:
    (tmp_path / "net.bin").write_bytes(b"1234" + FLAT.tobytes())
    model = external("net.bin")
    model.graph.initializer[0].external_data.add(key="offset", value="4")
    found = read(model, tmp_path).graph.initializer[0]
    np.testing.assert_array_equal(numpy_helper.to_array(found), FLAT)
    assert not found.external_data


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../secret", ""])
def test_files_elsewhere_are_not_read(tmp_path: Path, location: str) -> None:
    (tmp_path.parent / "secret").write_bytes(FLAT.tobytes())
    with pytest.raises(GraphError, match="outside of the folder"):
        read(external(location), tmp_path)


def test_links_to_files_elsewhere_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(FLAT.tobytes())
    (folder / "net.bin").symlink_to("../secret")
    with pytest.raises(GraphError, match="outside"):
        read(external("net.bin"), folder)


@pytest.mark.parametrize(("content", "said"), [(None, "not beside it"), (b"123", "too short")])
def test_missing_weights_are_told(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "net.bin").write_bytes(content)
    with pytest.raises(GraphError, match=said):
        read(external("net.bin"), tmp_path)


def test_functions_are_written_out_on_import(tmp_path: Path) -> None:
    found = read(with_function(), tmp_path)
    assert not found.functions
    assert "Neg" in {each.op_type for each in found.graph.node}


def test_functions_that_multiply_are_not(tmp_path: Path) -> None:
    model = fine(helper.make_node("F0", ["f"], ["o"], domain="mine"))
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    for depth in range(30):
        calls = [
            helper.make_node(f"F{depth + 1}", ["a"], [name], domain="mine") for name in ("b", "c")
        ]
        model.functions.append(
            helper.make_function("mine", f"F{depth}", ["a"], ["b"], calls, opset)
        )
    model.functions.append(
        helper.make_function("mine", "F30", ["a"], ["b"], [node("Neg", "a", "b")], opset)
    )
    with pytest.raises(GraphError, match="20,000 nodes, once written out"):
        read(model, tmp_path)


def test_functions_that_call_themselves_are_not(tmp_path: Path) -> None:
    model = with_function()
    model.functions[0].node[0].op_type = "Own"
    model.functions[0].node[0].domain = "mine"
    with pytest.raises(GraphError, match="calls itself"):
        read(model, tmp_path)


def test_functions_with_branches_are_not(tmp_path: Path) -> None:
    """Each level would be written out for both branches of each call."""
    model = with_function()
    inside = helper.make_graph([node("Neg", "a", "b")], "inside", [], [])
    branch = helper.make_node("If", ["a"], ["b"], then_branch=inside, else_branch=inside)
    model.functions[0].node.append(branch)
    with pytest.raises(GraphError, match="a graph of its own, which is not run"):
        read(model, tmp_path)


@pytest.mark.parametrize("depth", [150, 3000])
def test_functions_in_a_long_chain_are_not(tmp_path: Path, depth: int) -> None:
    model = fine(helper.make_node("F0", ["f"], ["o"], domain="mine"))
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    for number in range(depth):
        call = helper.make_node(f"F{number + 1}", ["a"], ["b"], domain="mine")
        model.functions.append(
            helper.make_function("mine", f"F{number}", ["a"], ["b"], [call], opset)
        )
    last = node("Neg", "a", "b")
    model.functions.append(helper.make_function("mine", f"F{depth}", ["a"], ["b"], [last], opset))
    with pytest.raises(GraphError, match="more than 100 levels deep"):
        read(model, tmp_path)


def test_the_file_that_is_named_may_be_a_link(tmp_path: Path) -> None:
    """As caches of model hubs have it: a name that links to a file called by its digest."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "abc").write_bytes(fine(node("Neg", "f", "o")).SerializeToString())
    (tmp_path / "net.onnx").symlink_to("blobs/abc")
    assert parsing.read(tmp_path / "net.onnx").graph.node
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "gone.onnx")):
        parsing.read(tmp_path / "gone.onnx")

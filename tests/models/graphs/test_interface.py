"""A graph of any framework becomes one of images (N, C, H, W) and logits, with the same answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from models.graphs import interface, network
from models.graphs.errors import GraphError
from models.graphs.interface import Adapted, Wishes
from models.preprocessing import InputSpec
from tests import graphs
from tests.graphs import FLAT, HEAD, KERNELS, ONE, SIDE, node

pytestmark = pytest.mark.usefixtures("_graphs_are_tried_here")
Array = NDArray[np.float32]


def images(channels: int = 3, count: int = 5) -> Array:
    """Pixels from 0 to 1, (N, C, H, W), of whole steps of a 255th."""
    pixels = np.random.default_rng(1).integers(0, 256, (count, channels, SIDE, SIDE))
    return (pixels / 255).astype(np.float32)


def adapt(model: ModelProto, **wishes: Any) -> Adapted:
    return interface.adapted(model, Wishes(**wishes))


def probabilities(found: Adapted, batch: Array) -> Array:
    channels, height, width = found.shape
    spec = InputSpec(channels=channels, height=height, width=width)
    content = found.model.SerializeToString()
    loaded = network.load(content, spec, found.num_classes, threads=1)
    result: Array = loaded(torch.from_numpy(batch)).softmax(1).numpy()
    return result


def last(batch: Array) -> Array:
    return batch.transpose(0, 2, 3, 1)


def same(batch: Array) -> Array:
    return batch


def flattened(batch: Array) -> Array:
    return batch.reshape(len(batch), -1)


def squeezed(batch: Array) -> Array:
    return batch[:, 0]


def bytes_of(batch: Array) -> Any:
    return np.rint(batch * 255).astype(np.uint8)


def after_reduction() -> ModelProto:
    """Of no activation that has a name: an exponential, divided by its sum."""
    nodes = [
        node("MatMul", "x w", "z"),
        node("Exp", "z", "e"),
        node("ReduceSum", "e axes", "s"),
        node("Div", "e s", "y"),
    ]
    return graphs.graph(nodes, ("n", 64), w=FLAT, axes=np.array([1]))


def of_rows() -> ModelProto:
    nodes = [node("Flatten", "x", "f"), node("MatMul", "f w", "y")]
    return graphs.graph(nodes, ("n", SIDE, SIDE), w=FLAT)


def of_bytes() -> ModelProto:
    nodes = [
        node("Cast", "x", "f", to=TensorProto.FLOAT),
        node("Div", "f most", "g"),
        node("Conv", "g kernels", "c", pads=[1, 1, 1, 1]),
        node("Flatten", "c", "v"),
        node("MatMul", "v head", "y"),
    ]
    most = np.array(255, np.float32)
    return graphs.graph(
        nodes, ("n", 3, SIDE, SIDE), type=TensorProto.UINT8, kernels=KERNELS, head=HEAD, most=most
    )


def rescaling() -> ModelProto:
    """Keras's layer `Rescaling(1 / 255)` inside."""
    nodes = [
        node("Mul", "x by", "s"),
        node("Transpose", "s", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t kernels", "c", pads=[1, 1, 1, 1]),
        node("Flatten", "c", "v"),
        node("MatMul", "v head", "y"),
    ]
    by = np.array(1 / 255, np.float32)
    return graphs.graph(nodes, ("n", SIDE, SIDE, 3), kernels=KERNELS, head=HEAD, by=by)


def squeezenet_like() -> ModelProto:
    """Answers (N, C, 1, 1)."""
    nodes = [
        node("Conv", "x kernels", "c"),
        node("GlobalAveragePool", "c", "y"),
    ]
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 1, 1])
    return graphs.graph(nodes, ("n", 3, SIDE, SIDE), [value], kernels=KERNELS)


def of_other_precision(kind: int, dtype: type) -> ModelProto:
    value = helper.make_tensor_value_info("y", kind, ["n", 3])
    nodes = [node("MatMul", "x w", "y")]
    return graphs.graph(nodes, ("n", 64), [value], type=kind, w=FLAT.astype(dtype))


def with_baked_batch() -> ModelProto:
    """A reshape that has the batch of one in it."""
    nodes = [node("Reshape", "x size", "f"), node("MatMul", "f w", "y")]
    return graphs.graph(nodes, (1, 1, SIDE, SIDE), size=np.array((1, 64)), w=FLAT)


def of_four() -> ModelProto:
    nodes = [node("Reshape", "x size", "f"), node("MatMul", "f w", "y")]
    return graphs.graph(nodes, (4, 1, SIDE, SIDE), size=np.array((4, 64)), w=FLAT)


def expanded() -> ModelProto:
    """A class token for each image, as vision transformers have it: sized by the batch."""
    nodes = [
        node("Flatten", "x", "f"),
        node("Shape", "f", "shape"),
        node("Gather", "shape zero", "n"),
        node("Concat", "n width", "size", axis=0),
        node("Expand", "token size", "tokens"),
        node("Concat", "f tokens", "both", axis=1),
        node("MatMul", "both w", "y"),
    ]
    return graphs.graph(
        nodes,
        ("n", 1, SIDE, SIDE),
        zero=np.array([0]),
        width=np.array([2]),
        token=np.ones((1, 2), np.float32),
        w=np.concatenate([FLAT, FLAT[:2]]),
    )


CASES: list[tuple[str, Callable[[], ModelProto], dict[str, Any], int, Callable[[Array], Any], str]]
CASES = [
    ("torch", graphs.torch_like, {}, 3, same, "logits"),
    ("softmax", lambda: graphs.torch_like(last="Softmax"), {}, 3, same, "probabilities"),
    ("log softmax", lambda: graphs.torch_like(last="LogSoftmax"), {}, 3, same, "logits"),
    ("fixed batch", lambda: graphs.torch_like(1), {}, 3, same, "logits"),
    ("keras", graphs.keras_like, {}, 3, last, "probabilities"),
    ("keras, fixed batch", lambda: graphs.keras_like(1), {}, 3, last, "probabilities"),
    ("flat", graphs.flat, {}, 1, flattened, "logits"),
    ("flat, softmax", lambda: graphs.flat("Softmax"), {}, 1, flattened, "probabilities"),
    ("softmax in parts", after_reduction, {}, 1, flattened, "probabilities"),
    ("rows", of_rows, {}, 1, squeezed, "logits"),
    ("bytes", of_bytes, {}, 3, bytes_of, "logits"),
    ("rescaling", rescaling, {}, 3, lambda x: last(x) * np.float32(255), "logits"),
    ("convolutional head", squeezenet_like, {}, 3, same, "logits"),
    ("batch in a reshape", with_baked_batch, {}, 1, same, "logits"),
    ("batch of four", of_four, {}, 1, lambda x: np.concatenate([x, x[:3]]), "logits"),
    ("class token", expanded, {}, 1, same, "logits"),
    (
        "float64",
        lambda: of_other_precision(TensorProto.DOUBLE, np.float64),
        {},
        1,
        lambda x: flattened(x).astype(np.float64),
        "logits",
    ),
    (
        "sklearn, no map",
        lambda: graphs.sklearn_like(zipmap=False),
        {},
        1,
        flattened,
        "scores",
    ),
]


@pytest.mark.parametrize(
    ("make", "wishes", "channels", "as_taken", "kind"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_answers_stay_what_they_were(
    make: Callable[[], ModelProto],
    wishes: dict[str, Any],
    channels: int,
    as_taken: Callable[[Array], Any],
    kind: str,
) -> None:
    batch = images(channels)
    output = "scores" if kind == "scores" else "y"
    own = graphs.answer(make(), as_taken(batch), output)[: len(batch)].reshape(len(batch), -1)
    expected = graphs.softmax(own) if kind == "logits" else own
    found = adapt(make(), **wishes)
    np.testing.assert_allclose(probabilities(found, batch), expected, atol=1e-5)


def test_one_value_stands_for_two_labels() -> None:
    model = graphs.flat("Sigmoid", ONE)
    batch = images(1)
    positive = graphs.answer(model, flattened(batch))
    found = adapt(graphs.flat("Sigmoid", ONE), count=2)
    expected = np.concatenate([1 - positive, positive], 1)
    np.testing.assert_allclose(probabilities(found, batch), expected, atol=1e-6)
    assert any("second label" in note for note in found.notes)


def test_zipmap_is_left_out_and_its_labels_are_known() -> None:
    batch = images(1)
    expected = graphs.answer(graphs.sklearn_like(zipmap=False), flattened(batch), "scores")
    found = adapt(graphs.sklearn_like())
    assert found.labels == graphs.LABELS
    np.testing.assert_allclose(probabilities(found, batch), expected, atol=1e-6)


def test_what_was_done_is_said() -> None:
    assert adapt(graphs.keras_like()).notes == (
        "it takes colour images of 8 × 8 pixels, channels last",
        "took the logits before its softmax",
    )
    assert any("1 image at a time" in note for note in adapt(with_baked_batch()).notes)
    assert any("4 images at a time" in note for note in adapt(of_four()).notes)
    assert any("it scales itself" in note for note in adapt(rescaling()).notes)


def test_mean_and_deviation_of_the_user_go_before_what_the_graph_seems_to_do() -> None:
    assert not adapt(rescaling(), normalised=True).scaled


def two_outputs() -> ModelProto:
    outs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in "ab"]
    nodes = [node("MatMul", "x w", "a"), node("Neg", "a", "b")]
    return graphs.graph(nodes, ("n", 64), outs, w=FLAT)


def test_one_of_several_outputs_is_chosen_by_its_name() -> None:
    batch = images(1)
    expected = graphs.softmax(graphs.answer(two_outputs(), flattened(batch), "b"))
    found = adapt(two_outputs(), output="b")
    np.testing.assert_allclose(probabilities(found, batch), expected, atol=1e-6)


def of_shape(*shape: Any, type: int = TensorProto.FLOAT) -> ModelProto:
    nodes = [node("GlobalAveragePool", "x", "p"), node("Flatten", "p", "y")]
    return graphs.graph(nodes, shape, type=type)


def two_inputs() -> ModelProto:
    model = graphs.torch_like()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n"]))
    model.graph.node[1].input[0] = "conv"
    model.graph.node.insert(1, node("Add", "conv mask", "masked"))
    model.graph.node[2].input[0] = "masked"
    return model


def ambiguous() -> ModelProto:
    nodes = [node("Flatten", "x", "f"), node("MatMul", "f w", "y")]
    return graphs.graph(nodes, ("n", 3, 8, 3), w=np.concatenate([FLAT, FLAT[:8]]))


def test_an_ambiguous_layout_is_as_the_user_says() -> None:
    assert adapt(ambiguous(), layout="nchw").shape == (3, 8, 3)
    assert adapt(ambiguous(), layout="nhwc").shape == (3, 3, 8)


def test_open_sides_are_given() -> None:
    nodes = [node("Conv", "x kernels", "c"), node("GlobalAveragePool", "c", "y")]
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 1, 1])
    model = graphs.graph(nodes, ("n", None, "h", "w"), [value], kernels=KERNELS)
    assert adapt(model, height=12, width=10).shape == (3, 12, 10)


@pytest.mark.parametrize(
    ("make", "wishes", "said"),
    [
        (graphs.torch_like, {"count": 4}, "--labels needs 3 names"),
        (lambda: graphs.flat("Sigmoid", ONE), {"count": 3}, "two classes"),
        (lambda: graphs.flat("Tanh", np.abs(ONE)), {}, "--gives probabilities or --gives logits"),
        (two_outputs, {}, "choose the one"),
        (two_outputs, {"output": "c"}, "no output 'c'; "),
        (two_inputs, {}, "2 inputs"),
        (ambiguous, {}, "--layout nchw or --layout nhwc"),
        (lambda: of_shape("n", 4, 8, 8), {}, "1 or 3 channels"),
        (lambda: of_shape("n", 3, "h", "w"), {}, "give one with --height"),
        (lambda: of_shape("n", 3, 8, 8), {"height": 9}, "leave --height out"),
        (lambda: of_shape("n", 3, 8, 8, 8), {}, "(N, C, H, W)"),
        (lambda: of_shape("n", 3, 8, 8, type=TensorProto.INT32), {}, "is int32"),
        (of_bytes, {"normalised": True}, "leave --mean and --std out"),
        (lambda: graphs.flat(weight=FLAT), {"height": 5, "width": 5}, "64 values"),
        (lambda: graphs.graph([node("MatMul", "x w", "y")], ("n", 65), w=FLAT[:1]), {}, "65"),
        (graphs.flat, {"gives": "probabilities"}, "below 0"),
    ],
)
def test_what_the_graph_does_not_tell_is_asked_for(
    make: Callable[[], ModelProto], wishes: dict[str, Any], said: str
) -> None:
    with pytest.raises(GraphError) as caught:
        adapt(make(), **wishes)
    assert said in str(caught.value)


def test_zipmap_without_inputs_is_refused() -> None:
    bare = helper.make_node("ZipMap", [], ["y"], domain="ai.onnx.ml")
    model = graphs.graph([bare], ("n", 3, 8, 8))
    with pytest.raises(GraphError):
        adapt(model)


def test_an_unknown_type_of_number_is_named() -> None:
    model = graphs.torch_like()
    model.graph.input[0].type.tensor_type.elem_type = 99
    with pytest.raises(GraphError, match="99"):
        adapt(model)

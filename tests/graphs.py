"""Small ONNX graphs as other frameworks write them, made node by node."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

LABELS = ("cat", "dog", "fox")
SIDE = 8
FLOAT = TensorProto.FLOAT
_RANDOM = np.random.default_rng(5)


def _weights(*shape: int, spread: float = 0.1) -> NDArray[np.float32]:
    return _RANDOM.normal(0, spread, shape).astype(np.float32)


KERNELS = _weights(4, 3, 3, 3, spread=1)
HEAD = _weights(4 * SIDE * SIDE, 3)
FLAT = _weights(SIDE * SIDE, 3)
ONE = _weights(SIDE * SIDE, 1)


def node(op_type: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), outputs.split(), **attributes)


def graph(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str | None],
    outputs: Sequence[Any] = (),
    *,
    type: int = FLOAT,
    opset: int = 17,
    **weights: NDArray[Any],
) -> ModelProto:
    """A graph of the input `x`; by default its output is `y`, of any shape."""
    domains = {each.domain for each in nodes} - {""}
    return helper.make_model(
        helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("x", type, shape)],
            outputs or [helper.make_tensor_value_info("y", FLOAT, ["n", None])],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        opset_imports=[
            helper.make_opsetid("", opset),
            *(helper.make_opsetid(each, 3 if each == "ai.onnx.ml" else 1) for each in domains),
        ],
        ir_version=9,
    )


def torch_like(batch: int | str = "n", last: str | None = None) -> ModelProto:
    """(N, 3, 8, 8) → convolution → ReLU → linear layer, and an activation if one is named."""
    nodes = [
        node("Conv", "x kernels", "conv", pads=[1, 1, 1, 1], name="first"),
        node("Relu", "conv", "relu"),
        node("Flatten", "relu", "flat"),
        node("Gemm", "flat head", "z" if last else "y"),
    ]
    nodes += [node(last, "z", "y")] if last else []
    return graph(nodes, (batch, 3, SIDE, SIDE), kernels=KERNELS, head=HEAD)


def keras_like(batch: int | str = "n") -> ModelProto:
    """(N, 8, 8, 3), transposed inside, with softmax: as tf2onnx writes it."""
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t kernels", "model/conv/Conv:0", pads=[1, 1, 1, 1]),
        node("Relu", "model/conv/Conv:0", "relu"),
        node("Transpose", "relu", "back", perm=[0, 2, 3, 1]),
        node("Reshape", "back size", "flat"),
        node("MatMul", "flat head", "z"),
        node("Softmax", "z", "y", axis=-1),
    ]
    size = np.array((-1, HEAD.shape[0]), np.int64)
    return graph(nodes, (batch, SIDE, SIDE, 3), kernels=KERNELS, head=HEAD, size=size)


def sklearn_like(zipmap: bool = True) -> ModelProto:
    """(N, 64) → labels and probabilities: a logistic regression as skl2onnx writes it."""
    names = [each.encode() for each in LABELS]
    nodes = [
        node(
            "LinearClassifier",
            "x",
            "label scores",
            domain="ai.onnx.ml",
            coefficients=FLAT.T.flatten().tolist(),
            intercepts=[0.0, 0.1, 0.2],
            classlabels_strings=names,
            post_transform="SOFTMAX",
        ),
    ]
    text = helper.make_tensor_value_info("label", TensorProto.STRING, ["n"])
    if not zipmap:
        scores = helper.make_tensor_value_info("scores", FLOAT, ["n", 3])
        return graph(nodes, ("n", SIDE * SIDE), [text, scores])
    nodes.append(
        node("ZipMap", "scores", "probabilities", domain="ai.onnx.ml", classlabels_strings=names)
    )
    value = helper.make_tensor_type_proto(FLOAT, [])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.STRING, value))
    return graph(nodes, ("n", SIDE * SIDE), [text, helper.make_value_info("probabilities", maps)])


def flat(last: str | None = None, weight: NDArray[np.float32] = FLAT, **options: Any) -> ModelProto:
    """(N, 64) → a linear layer, and an activation if one is named."""
    nodes = [node("MatMul", "x w", "z" if last else "y")]
    nodes += [node(last, "z", "y")] if last else []
    return graph(nodes, ("n", SIDE * SIDE), w=weight, **options)


def save(model: ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def answer(model: ModelProto, batch: NDArray[Any], output: str = "y") -> NDArray[np.float32]:
    """What the graph itself answers, one image after the other."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    size = session.get_inputs()[0].shape[0]
    step = size if isinstance(size, int) else 1
    parts = [batch[at : at + step] for at in range(0, len(batch), step)]
    return np.concatenate([session.run([output], {name: part})[0] for part in parts])


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    shares: NDArray[np.float32] = powers / powers.sum(1, keepdims=True)
    return shares

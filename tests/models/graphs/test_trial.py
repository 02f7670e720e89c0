"""A graph is tried in a process of its own, which may crash, and has limits."""

import numpy as np
import pytest
from onnx import ModelProto

from models.graphs import network, trial
from models.graphs.errors import GraphError
from tests import graphs
from tests.graphs import FLAT, node
from tests.models.graphs.test_hostile import SPEC, fine

pytestmark = pytest.mark.slow


def crashing() -> ModelProto:
    """onnx reads beyond the end of `pads`, which is too short, in some versions."""
    return fine(node("MaxPool", "x", "m", kernel_shape=[2, 2], strides=[2], pads=[0]))


def test_a_graph_that_is_fine_passes() -> None:
    trial.check(graphs.torch_like().SerializeToString())
    trial.check(fine().SerializeToString())


def test_the_reason_is_told() -> None:
    with pytest.raises(GraphError, match=r"not of the ONNX standard"):
        trial.check(fine(node("Own", "f", "o", domain="mine")).SerializeToString())
    with pytest.raises(GraphError, match="damaged or cut off"):
        trial.check(b"no graph")


@pytest.mark.parametrize("content", [crashing(), fine(node("Gather", "f w", "g"))])
def test_what_fails_at_running_is_refused(content: ModelProto) -> None:
    with pytest.raises(GraphError):
        network.load(content.SerializeToString(), SPEC, 3, threads=1)


def test_a_crash_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "PROGRAM", "import os; os.abort()")
    with pytest.raises(GraphError, match=r"crash \(exit code -6\)"):
        trial.check(fine().SerializeToString())


def test_too_much_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MAX_MEMORY", 2**24)
    nodes = [
        node("Flatten", "x", "f"),
        node("Expand", "f size", "big"),  # 240 MB
        node("ReduceSum", "big", "s", keepdims=0),
        node("Add", "f s", "more"),
        node("MatMul", "more w", "y"),
    ]
    big = graphs.graph(nodes, (1, 1, 8, 8), w=FLAT, size=np.array([930_000, 64]))
    with pytest.raises(GraphError, match=r"memory|alloc"):
        trial.check(big.SerializeToString())


def test_too_much_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MAX_SECONDS", 1)
    program = "from models.graphs import trial; trial.limit(1, 2**30)\nwhile True: pass"
    monkeypatch.setattr(trial, "PROGRAM", program)
    with pytest.raises(GraphError, match="more than 1 seconds"):
        trial.check(fine().SerializeToString())

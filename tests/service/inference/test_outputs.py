"""Every runtime gives probabilities, logits and strangeness as `Trust` computes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models import checkpoint, features
from models.checkpoint import Checkpoint
from models.graphs import interface, parsing
from models.graphs.interface import Wishes
from models.preprocessing import InputSpec, Pixels
from service.inference.outputs import Outputs, split
from service.inference.runtimes import choice
from service.inference.runtimes.eager import Torch
from service.inference.runtimes.onnx_cache import Graphs
from tests import graphs, trusted
from tests.networks import publish_tiny
from tests.trusted import CPU, Kind, familiar, strange

GRAPH_SPEC = InputSpec(channels=3, height=graphs.SIDE, width=graphs.SIDE)
TOLERANCE = 1e-4


def chosen(loaded: Checkpoint, wanted: str = "auto", precision: str = "float32") -> Any:
    return choice.choose(loaded, wanted, precision, 1, max_batch_size=8, graphs=Graphs(None))


def expected(loaded: Checkpoint, batch: Pixels) -> Outputs:
    """What `Trust` says of the network in eager torch, without any of the service."""
    trust = loaded.trust
    assert trust is not None
    normalized = loaded.card.input.normalize(torch.from_numpy(batch))
    with (
        torch.inference_mode(),
        features.capture(loaded.network, ("penultimate",), loaded.layers) as seen,
    ):
        logits = loaded.network(normalized)
        strangeness = trust.statistic(logits, seen["penultimate"]) if trust.method else None
        probabilities = trust.probabilities(logits)
    found: list[NDArray[np.float32]] = [probabilities.numpy(), logits.numpy()]
    return Outputs(found[0], found[1], None if strangeness is None else strangeness.numpy())


def check(runtime: Any, loaded: Checkpoint, tolerance: float = TOLERANCE) -> None:
    spec = loaded.card.input
    pictures = np.concatenate([familiar(5, 6, spec), strange(3, spec)])
    for count in (9, 1, 4):
        batch = pictures[-count:]
        found = split(runtime(batch), len(loaded.card.labels))
        wanted = expected(loaded, batch)
        assert (found.strangeness is None) == (wanted.strangeness is None)
        for one, other in zip(found, wanted, strict=True):
            if one is not None and other is not None:
                np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["features", "logits", "calibration"])
@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_a_network_of_ours(tmp_path: Path, name: str, kind: Kind) -> None:
    trusted.publish_trusted(tmp_path, kind=kind)
    loaded = trusted.load(tmp_path)
    found = chosen(loaded, name)
    assert (found.runtime.name, found.fallback) == (name, None)
    check(found.runtime, loaded)


def publish_graph(repository: Path, model: Any, kind: Kind) -> Checkpoint:
    adapted = interface.adapted(model, Wishes(count=3, normalised=True))
    content = parsing.serialized(adapted.model)
    labels = graphs.LABELS
    checkpoint.publish_graph(repository, content, name="g", labels=labels, input=GRAPH_SPEC)
    bare = trusted.load(repository, "g")
    trust = trusted.fitted(bare.network, bare.layers, kind, GRAPH_SPEC)
    checkpoint.publish_graph(
        repository, content, name="g", labels=labels, input=GRAPH_SPEC, trust=trust
    )
    return trusted.load(repository, "g")


@pytest.mark.slow
@pytest.mark.usefixtures("_graphs_are_tried_here")
@pytest.mark.parametrize("kind", ["features", "logits", "calibration"])
@pytest.mark.parametrize("batch", ["n", 4])
def test_an_imported_graph(tmp_path: Path, batch: int | str, kind: Kind) -> None:
    loaded = publish_graph(tmp_path, graphs.torch_like(batch), kind)
    found = chosen(loaded)
    assert (found.runtime.name, found.fallback) == ("onnx", None)
    check(found.runtime, loaded)
    check(found.eager, loaded)


@pytest.mark.usefixtures("_graphs_are_tried_here")
def test_a_graph_of_one_layer_whose_features_are_its_input(tmp_path: Path) -> None:
    size = 3 * graphs.SIDE**2
    model = graphs.graph(
        [graphs.node("Flatten", "x", "flat"), graphs.node("MatMul", "flat w", "y")],
        ["n", 3, graphs.SIDE, graphs.SIDE],
        w=np.random.default_rng(0).normal(0, 0.1, (size, 3)).astype(np.float32),
    )
    loaded = publish_graph(tmp_path, model, "features")
    check(chosen(loaded).runtime, loaded)


def test_without_a_trust_there_are_probabilities_and_logits(tmp_path: Path) -> None:
    publish_tiny(tmp_path, "bare")
    loaded = trusted.load(tmp_path, "bare")
    for name in ("torch", "onnx"):
        found = split(chosen(loaded, name).runtime(familiar(2, 3)), 3)
        assert found.strangeness is None
        logits = torch.from_numpy(found.logits)
        np.testing.assert_allclose(found.probabilities, logits.softmax(1), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("column", [0, 3, 6], ids=["probabilities", "logits", "strangeness"])
def test_a_runtime_that_gives_another_column_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: int
) -> None:
    from service.inference.runtimes.onnx_runtime import Onnx

    trusted.publish_trusted(tmp_path)
    run = Onnx.__call__

    def other(self: Onnx, batch: Pixels) -> NDArray[np.float32]:
        columns = run(self, batch).copy()
        columns[:, column] *= 1.1
        return columns

    monkeypatch.setattr(Onnx, "__call__", other)
    found = chosen(trusted.load(tmp_path))
    assert found.runtime.name == "torch"
    assert found.fallback.startswith("the ONNX graph answers otherwise, by ")


@pytest.mark.slow
def test_a_kept_graph_is_not_used_for_another_trust(tmp_path: Path) -> None:
    trusted.publish_trusted(tmp_path)
    trusted.publish_trusted(tmp_path, "plain", "logits")
    kept = Graphs(tmp_path / "kept")
    for name in ("bare", "sure", "plain"):
        loaded = trusted.load(tmp_path, name)
        found = choice.choose(loaded, "onnx", "float32", 1, max_batch_size=8, graphs=kept)
        assert found.fallback is None
    assert len(list((tmp_path / "kept").glob("*.onnx"))) == 3


def test_half_precision_tells_nearly_the_same(tmp_path: Path) -> None:
    trusted.publish_trusted(tmp_path)
    loaded = trusted.load(tmp_path)
    check(Torch(loaded, "bfloat16"), loaded, tolerance=0.1)


@pytest.mark.gpu
def test_cuda_graphs(tmp_path: Path) -> None:
    trusted.publish_trusted(tmp_path)
    folder = checkpoint.find(tmp_path, "sure")
    found = chosen(checkpoint.load(folder, torch.device("cuda:0")))
    assert (found.runtime.name, found.fallback) == ("cuda-graphs", None)
    check(found.runtime, checkpoint.load(folder, CPU), tolerance=1e-3)


def test_the_parts_of_the_columns() -> None:
    columns = np.arange(14, dtype=np.float32).reshape(2, 7)
    found = split(columns, 3)
    assert found.probabilities.tolist() == [[0, 1, 2], [7, 8, 9]]
    assert found.logits.tolist() == [[3, 4, 5], [10, 11, 12]]
    assert found.strangeness is not None
    assert found.strangeness.tolist() == [6, 13]
    assert split(columns[:, :6], 3).strangeness is None

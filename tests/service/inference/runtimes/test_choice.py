"""ONNX Runtime answers as eager torch does, or is not taken."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from torch import Tensor, nn

from models import checkpoint
from models.architectures import registry
from models.checkpoint import Checkpoint
from models.preprocessing import InputSpec, Pixels
from service.inference.runtimes import choice, onnx_runtime
from service.inference.runtimes.eager import Torch
from service.inference.runtimes.onnx_cache import Graphs
from service.inference.runtimes.onnx_runtime import Onnx
from service.settings import SHIPPED
from tests.networks import SPEC
from tests.service.conftest import Serve

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture
def loaded(repository: Path) -> Checkpoint:
    return checkpoint.load(repository / "colors" / "2", CPU)


def noise(input: InputSpec, pictures: int) -> Pixels:
    generator = np.random.default_rng(7)
    return generator.integers(0, 256, (pictures, *input.shape), dtype=np.uint8)


def chosen(
    loaded: Checkpoint,
    wanted: str = "auto",
    precision: str = "float32",
) -> Any:
    return choice.choose(loaded, wanted, precision, 1, max_batch_size=64, graphs=Graphs(None))


@pytest.mark.parametrize("name", checkpoint.names(SHIPPED))
@pytest.mark.parametrize("pictures", [1, 64])
def test_shipped_networks_answer_as_in_eager_torch(name: str, pictures: int) -> None:
    shipped = checkpoint.load(checkpoint.find(SHIPPED, name), CPU)
    found = chosen(shipped)
    assert (found.runtime.name, found.fallback) == ("onnx", None)
    batch = noise(shipped.card.input, pictures)
    expected = Torch(shipped, "float32")(batch)
    np.testing.assert_allclose(found.runtime(batch), expected, atol=1e-5, rtol=2e-6)


@pytest.mark.parametrize("name", [n for n in registry.names() if n not in ("tiny", "alexnet")])
def test_every_architecture_exports(name: str, tmp_path: Path) -> None:
    architecture = registry.architecture(name)
    input = architecture.input_for({})
    checkpoint.publish(
        tmp_path,
        architecture.build(3),
        name="a",
        architecture=name,
        labels="abc",
        input=input,
    )
    found = chosen(checkpoint.load(tmp_path / "a" / "1", CPU))
    assert (found.runtime.name, found.fallback) == ("onnx", None)


@pytest.mark.parametrize(
    ("wanted", "precision", "name", "fallback"),
    [
        ("auto", "float32", "onnx", None),
        ("onnx", "float32", "onnx", None),
        ("torch", "float32", "torch", None),
        ("auto", "bfloat16", "torch", None),
        ("onnx", "bfloat16", "torch", "ONNX Runtime is for float32 on the CPU"),
        (
            "cuda-graphs",
            "float32",
            "torch",
            "A CUDA graph is for float32, bfloat16, float16 on a GPU",
        ),
    ],
)
def test_what_is_chosen(
    loaded: Checkpoint, wanted: str, precision: str, name: str, fallback: str | None
) -> None:
    found = chosen(loaded, wanted, precision)
    assert (found.runtime.name, found.fallback) == (name, fallback)


def test_a_graph_that_answers_otherwise_is_not_taken(
    loaded: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Onnx.__call__
    monkeypatch.setattr(Onnx, "__call__", lambda self, batch: run(self, batch) + 2e-4)
    found = chosen(loaded)
    assert found.runtime.name == "torch"
    assert found.fallback == "the ONNX graph answers otherwise, by 0.0002"
    monkeypatch.setattr(Onnx, "__call__", lambda self, batch: run(self, batch) * np.nan)
    assert "by nan" in chosen(loaded).fallback


@pytest.mark.parametrize(
    "wrong",
    [
        lambda batch: len(batch) == 1,
        lambda batch: len(batch) == 3,
        lambda batch: len(batch) == 8,
        lambda batch: (batch == 0).all(axis=(1, 2, 3)).any(),
        lambda batch: (batch == 255).all(axis=(1, 2, 3)).any(),
    ],
    ids=["one", "three", "eight", "black", "white"],
)
def test_a_graph_that_is_sometimes_wrong_is_not_taken(
    loaded: Checkpoint, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Pixels], bool]
) -> None:
    run = Onnx.__call__
    monkeypatch.setattr(
        Onnx, "__call__", lambda self, batch: run(self, batch) + 2e-4 * wrong(batch)
    )
    assert chosen(loaded).fallback == "the ONNX graph answers otherwise, by 0.0002"


def test_onnx_runtime_reports_to_nobody(loaded: Checkpoint, tmp_path: Path) -> None:
    """Its telemetry would begin with a file that names the machine."""
    (tmp_path / "graph.onnx").write_bytes(onnx_runtime.export(loaded))
    program = """if True:
        import sys, pathlib
        from service.inference.runtimes.onnx_runtime import Onnx
        Onnx(pathlib.Path(sys.argv[1]), threads=1)
    """
    told = ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    env = {name: value for name, value in os.environ.items() if name not in told}
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-c", program, str(tmp_path / "graph.onnx")]
    subprocess.run(command, check=True, env={**env, "HOME": str(home)})
    assert list(home.rglob("*")) == []


class Unusual(nn.Module):
    """What the exporter doesn't know."""

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = torch.linalg.eigvalsh(x[:, 0, :3, :3].contiguous())
        return values


def test_a_network_that_can_not_be_exported(loaded: Checkpoint) -> None:
    odd = Checkpoint(loaded.card, Unusual(), loaded.structure, CPU)
    found = chosen(odd)
    assert found.runtime.name == "torch"
    assert found.fallback.startswith("no ONNX graph: ")


def test_exporting_leaves_the_network_as_it_was(loaded: Checkpoint) -> None:
    before = Torch(loaded, "float32")(noise(SPEC, 3))
    modules = [type(module) for module in loaded.network.modules()]
    onnx_runtime.export(loaded)
    assert [type(module) for module in loaded.network.modules()] == modules
    assert not loaded.network.training
    assert (Torch(loaded, "float32")(noise(SPEC, 3)) == before).all()


@pytest.mark.parametrize(("runtime", "told"), [("auto", "onnx"), ("torch", "torch")])
def test_the_list_of_models_tells_it(serve: Serve, runtime: str, told: str) -> None:
    [model] = serve(runtime=runtime).get("/v1/models").json()["models"]
    assert [version["runtime"] for version in model["versions"]] == [told, told]
    assert all("fallback" not in version for version in model["versions"])


def test_a_fallback_is_told(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_checkpoint: Checkpoint) -> bytes:
        raise RuntimeError("no such\n  operator")

    monkeypatch.setattr(onnx_runtime, "export", refused)
    client: TestClient = serve(graph_cache=tmp_path)
    [model] = client.get("/v1/models").json()["models"]
    for version in model["versions"]:
        assert version["state"] == "ready"
        assert (version["runtime"], version["fallback"]) == (
            "torch",
            "no ONNX graph: no such operator",
        )

"""A graph as a network: layers, activations, kernels, batches."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models import features
from models.errors import InstallationError
from models.graphs import interface, network
from models.graphs.errors import GraphError
from models.graphs.interface import Wishes
from models.graphs.network import OnnxNetwork
from models.preprocessing import InputSpec
from tests import graphs
from tests.graphs import FLAT, HEAD, KERNELS, SIDE, node

pytestmark = pytest.mark.usefixtures("_graphs_are_tried_here")
SPEC = InputSpec(channels=3, height=SIDE, width=SIDE)


def adapted(model: object = None) -> OnnxNetwork:
    found = interface.adapted(model or graphs.torch_like(), Wishes())  # type: ignore[arg-type]
    return network.load(found.model.SerializeToString(), SPEC, 3, threads=1)


@pytest.fixture(scope="module")
def loaded() -> OnnxNetwork:
    return adapted()


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    return torch.rand(5, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def test_layers_are_its_tensors(loaded: OnnxNetwork) -> None:
    told = [(each.name, each.type, each.output_shape, each.parameters) for each in loaded.layers]
    assert told == [
        ("conv", "Conv", (4, 8, 8), 108),
        ("relu", "Relu", (4, 8, 8), 0),
        ("flat", "Flatten", (256,), 0),
        ("y", "Gemm", (3,), 768),
    ]
    assert loaded.layers[0].multiply_adds == 4 * 27 * 64
    assert loaded.layers[3].multiply_adds == 768
    assert loaded.layers[0].arguments == {"pads": [1, 1, 1, 1]}
    assert loaded.count == KERNELS.size + HEAD.size


def test_activations_are_those_of_torch(loaded: OnnxNetwork, batch: torch.Tensor) -> None:
    conv = F.conv2d(batch, torch.from_numpy(KERNELS), padding=1)
    with features.capture(loaded, ["conv", "relu", features.PENULTIMATE], loaded.layers) as found:
        logits = loaded(batch)
    torch.testing.assert_close(found["conv"], conv, atol=1e-5, rtol=0)
    torch.testing.assert_close(found["relu"], conv.relu(), atol=1e-5, rtol=0)
    torch.testing.assert_close(found["penultimate"], conv.relu().flatten(1), atol=1e-5, rtol=0)
    expected = conv.relu().flatten(1) @ torch.from_numpy(HEAD)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_no_hook_stays(loaded: OnnxNetwork, batch: torch.Tensor) -> None:
    with features.capture(loaded, ["relu"], loaded.layers):
        pass
    assert not any(module._forward_hooks for module in loaded.modules())


def test_kernels_are_the_weights(loaded: OnnxNetwork) -> None:
    np.testing.assert_array_equal(features.kernels(loaded, loaded.layers[0]).numpy(), KERNELS)
    head = features.kernels(loaded, loaded.layers[3]).numpy()
    np.testing.assert_array_equal(head, HEAD.T.reshape(3, 4, 8, 8))  # a template for each class


def test_kernels_after_channels_last_are_no_templates() -> None:
    loaded = adapted(graphs.keras_like())
    linear = next(each for each in loaded.layers if each.type == "MatMul")
    assert linear.kernels == (3, 256)
    assert [each.name for each in loaded.layers if each.is_convolution] == ["model/conv/Conv:0"]


def test_a_copy_has_hooks_of_its_own(loaded: OnnxNetwork, batch: torch.Tensor) -> None:
    other = copy.deepcopy(loaded)
    with features.capture(other, ["relu"], other.layers) as found:
        loaded(batch)
        assert not found
        other(batch)
    assert list(found) == ["relu"]
    assert next(other.parameters()).data_ptr() == next(loaded.parameters()).data_ptr()


@pytest.mark.parametrize("batch_size", [1, 4])
def test_fixed_batches_answer_as_any(batch_size: int, batch: torch.Tensor) -> None:
    model = graphs.torch_like(batch_size)
    fixed = network.load(model.SerializeToString(), SPEC, 3, threads=1)
    assert fixed.batch_size == batch_size
    torch.testing.assert_close(fixed(batch), adapted()(batch), atol=1e-5, rtol=0)
    with features.capture(fixed, ["relu"], fixed.layers) as found:
        fixed(batch)
    assert found["relu"].shape == (5, 4, SIDE, SIDE)


def test_large_batches_are_run_in_parts(
    loaded: OnnxNetwork, batch: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "MAX_HELD_VALUES", 1800)  # three images
    torch.testing.assert_close(adapted()(batch), loaded(batch), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("spec", "labels", "said"),
    [
        (InputSpec(channels=3, height=9, width=8), 3, "not float32 (N, 3, 9, 8)"),
        (InputSpec(channels=1, height=8, width=8), 3, "not float32 (N, 1, 8, 8)"),
        (SPEC, 4, "4 labels need (1, 4)"),
    ],
)
def test_a_graph_that_does_not_fit_its_card_is_refused(
    spec: InputSpec, labels: int, said: str
) -> None:
    with pytest.raises(GraphError) as caught:
        network.load(graphs.torch_like().SerializeToString(), spec, labels, threads=1)
    assert said in str(caught.value)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = graphs.torch_like().SerializeToString()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InstallationError, match=rf"needs {package}.*fanlight\[onnx\]"):
        network.load(content, SPEC, 3, threads=1)


@pytest.mark.slow
def test_torch_alone_is_enough_for_other_networks() -> None:
    program = (
        "import sys; sys.modules['onnx'] = sys.modules['onnxruntime'] = None;"
        "import models.checkpoint, models.graphs.interface, training.commands.import_weights"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_layers_have_names_of_their_own() -> None:
    """Exporters begin names with a slash, which is left out where no other tensor is called so."""
    model = graphs.graph(
        [
            node("Relu", "x", "/a"),
            node("Neg", "/a", "a"),
            node("Flatten", "a", "/f"),
            node("MatMul", "/f w", "y"),
        ],
        ("n", 1, SIDE, SIDE),
        w=FLAT,
    )
    spec = InputSpec(channels=1, height=SIDE, width=SIDE)
    found = network.network(model, spec, 3, threads=1)
    assert [layer.name for layer in found.layers] == ["/a", "a", "f", "y"]
    batch = torch.rand(2, 1, SIDE, SIDE)
    with features.capture(found, ["/a", "a"], found.layers) as captured:
        found(batch)
    assert torch.equal(captured["/a"], batch)
    assert torch.equal(captured["a"], -batch)

"""An imported graph is served as any network is: predictions, layers, kernels, occlusion."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from onnx import helper
from PIL import Image

from models import checkpoint
from models.checkpoint import CARD, GRAPH
from models.graphs import interface, parsing
from models.graphs.interface import Wishes
from models.preprocessing import InputSpec
from tests import graphs
from tests.graphs import KERNELS, LABELS, SIDE
from tests.networks import encode, picture, publish_tiny
from tests.service.conftest import Serve, starting
from tests.service.connections import Serving
from tests.service.test_errors import problem
from tests.service.test_predict import parts

pytestmark = pytest.mark.usefixtures("_graphs_are_tried_here")
SPEC = InputSpec(channels=3, height=SIDE, width=SIDE, mean=(0.5,) * 3, std=(0.25,) * 3)
IMAGES = [encode(picture(seed)) for seed in range(5)]
PIXELS = np.stack([np.asarray(picture(seed)) for seed in range(5)]).transpose(0, 3, 1, 2)
BATCH = ((PIXELS / 255 - 0.5) / 0.25).astype(np.float32)


def publish(repository: Path, name: str, model: Any) -> None:
    adapted = interface.adapted(model, Wishes(count=3, normalised=True))
    content = parsing.serialized(adapted.model)
    checkpoint.publish_graph(repository, content, name=name, labels=LABELS, input=SPEC)


@pytest.fixture(scope="module")
def repository_of_graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("graphs")
    publish(repository, "torch", graphs.torch_like())
    publish(repository, "keras", graphs.keras_like())
    publish(repository, "fours", graphs.torch_like(4))
    return repository


@pytest.fixture
def repository(repository_of_graphs: Path) -> Path:
    return repository_of_graphs


@pytest.fixture(scope="module")
def client(repository_of_graphs: Path) -> Iterator[TestClient]:
    with starting(repository_of_graphs) as serve:
        yield serve()


def ask(client: TestClient, path: str, *images: bytes, **params: Any) -> Any:
    return client.post(f"/v1/models/{path}", files=parts(*images), params=params)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torch", graphs.softmax(graphs.answer(graphs.torch_like(), BATCH))),
        ("fours", graphs.softmax(graphs.answer(graphs.torch_like(), BATCH))),
        ("keras", graphs.answer(graphs.keras_like(), BATCH.transpose(0, 2, 3, 1))),
    ],
)
def test_predictions_are_those_of_the_graph(client: TestClient, name: str, expected: Any) -> None:
    answer = ask(client, f"{name}/predict", *IMAGES).json()
    for row, wanted in zip(answer["predictions"], expected, strict=True):
        scores = {each["label"]: each["score"] for each in row["top"]}
        np.testing.assert_allclose([scores[label] for label in LABELS], wanted, atol=1e-5)


def test_it_is_run_by_onnx_runtime(client: TestClient) -> None:
    models = client.get("/v1/models").json()["models"]
    assert [each["name"] for each in models] == ["fours", "keras", "torch"]
    for each in models:
        [version] = each["versions"]
        assert (version["state"], version["runtime"]) == ("ready", "onnx")
        assert "fallback" not in version


def test_its_layers_are_listed(client: TestClient) -> None:
    detail = client.get("/v1/models/torch").json()
    assert detail["card"]["architecture"] == detail["architecture"]["name"] == "onnx"
    told = {
        each["name"]: (each["type"], each["output_shape"], each["kernels"])
        for each in detail["layers"]
    }
    assert told == {
        "conv": ("Conv", [4, 8, 8], True),
        "relu": ("Relu", [4, 8, 8], False),
        "flat": ("Flatten", [256], False),
        "y": ("Gemm", [3], True),
    }
    assert not any(each["grad_cam"] for each in detail["layers"])
    assert [each["name"] for each in detail["explain_methods"]] == ["class-map", "occlusion"]


def test_that_its_layers_cannot_be_measured_is_said(client: TestClient) -> None:
    answer = client.get("/v1/models/torch/receptive-fields").json()
    assert answer["layers"] == []
    assert "gradients don't pass" in answer["note"]


def test_features_are_its_tensors(client: TestClient) -> None:
    answer = ask(client, "torch/features", *IMAGES, layer=["relu", "penultimate"], format="npz")
    found = np.load(BytesIO(answer.content))
    inner = graphs.torch_like()
    inner.graph.output.append(helper.make_tensor_value_info("relu", graphs.FLOAT, ["n", 4, 8, 8]))
    relu = graphs.answer(inner, BATCH, "relu")
    np.testing.assert_allclose(found["relu"], relu, atol=1e-5)
    np.testing.assert_allclose(found["penultimate"], relu.reshape(5, -1), atol=1e-5)
    expected = graphs.softmax(graphs.answer(graphs.torch_like(), BATCH))
    np.testing.assert_allclose(found["predictions/probabilities"], expected, atol=1e-5)


def test_a_layer_with_slashes_and_colons(client: TestClient) -> None:
    layer = "model/conv/Conv:0"
    answer = client.get(f"/v1/models/keras/kernels/{layer}", params={"format": "npz"})
    assert answer.status_code == 200
    found = np.load(BytesIO(answer.content))
    np.testing.assert_array_equal(next(found[name] for name in found.files), KERNELS)
    quoted = client.get("/v1/models/keras/kernels/model%2Fconv%2FConv:0")
    assert quoted.status_code == 200
    assert ask(client, "keras/features", IMAGES[0], layer=layer).status_code == 200


def test_occlusion_explains(client: TestClient) -> None:
    answer = ask(
        client, "torch/explain", IMAGES[0], method="occlusion", window=8, stride=8, target="dog"
    )
    [found] = answer.json()["explanations"]
    black = np.full_like(BATCH[:1], (0 - 0.5) / 0.25)
    seen, hidden = (graphs.answer(graphs.torch_like(), each)[0] for each in (BATCH[:1], black))
    np.testing.assert_allclose(found["values"], (seen - hidden)[1], atol=1e-4)


@pytest.mark.parametrize("method", ["saliency", "integrated-gradients", "grad-cam"])
def test_methods_with_gradients_are_refused(client: TestClient, method: str) -> None:
    detail = problem(ask(client, "torch/explain", IMAGES[0], method=method), 422)["detail"]
    assert detail == (
        f"{method} needs gradients, and torch is an ONNX graph, which has none; "
        "methods that work: class-map, occlusion"
    )


def test_a_class_map_of_a_graph_is_made_window_by_window(client: TestClient) -> None:
    sides = [picture(seed) for seed in range(2)]
    both = encode(Image.fromarray(np.hstack([np.asarray(side) for side in sides])))
    [found] = ask(client, "torch/explain", both, method="class-map").json()["explanations"]
    assert "ran on the window of each place alone" in found["note"]
    images = [encode(side) for side in sides]
    expected = ask(client, "torch/predict", *images).json()["predictions"]
    ends = [found["map"]["winners"][0][0], found["map"]["winners"][0][-1]]
    assert [LABELS[index] for index in ends] == [each["label"] for each in expected]


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["torch", "onnx", "auto"])
def test_another_runtime_is_not_taken(serve: Serve, wanted: str) -> None:
    client = serve(runtime=wanted)
    [version] = client.get("/v1/models/torch").json()["versions"]
    assert version["runtime"] == "onnx"
    fallback = "an imported graph is run by ONNX Runtime only" if wanted == "torch" else None
    assert version.get("fallback") == fallback


@pytest.mark.slow
@pytest.mark.anyio
async def test_the_fast_path_takes_it(serving: Serving) -> None:
    async with serving() as client:
        answered = await client.post(IMAGES[0], path="/v1/models/torch/predict")
        assert client.taken == [True]
        assert answered.status == 200
        expected = graphs.softmax(graphs.answer(graphs.torch_like(), BATCH[:1]))[0]
        scores = {each["label"]: each["score"] for each in answered.told["predictions"][0]["top"]}
        np.testing.assert_allclose([scores[label] for label in LABELS], expected, atol=1e-5)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A repository of one graph, to be broken."""
    publish(tmp_path, "net", graphs.torch_like())
    return tmp_path


def reason(repository: Path, **settings: Any) -> str:
    with starting(repository) as serve:
        client = serve(repository=repository, **settings)
        [model] = client.get("/v1/models").json()["models"]
        [version] = model["versions"]
        assert version["state"] == "failed"
        return str(version["reason"])


def update(client: TestClient) -> None:
    """Have the service look at its folder."""
    app: Any = client.app
    assert client.portal is not None
    client.portal.call(app.state.repository.update)


@pytest.mark.slow
def test_another_content_is_refused(broken: Path) -> None:
    file = broken / "net" / "1" / GRAPH
    file.write_bytes(file.read_bytes() + b"\0")
    assert reason(broken) == f"{GRAPH} does not have the SHA-256 that {CARD} states"


@pytest.mark.slow
def test_a_missing_graph_is_told(broken: Path) -> None:
    (broken / "net" / "1" / GRAPH).unlink()
    assert reason(broken) == f"{GRAPH} can't be read: No such file or directory"


@pytest.mark.slow
def test_a_large_graph_is_refused(broken: Path) -> None:
    assert "setting max_checkpoint_bytes" in reason(broken, max_checkpoint_bytes=1024)


@pytest.mark.slow
def test_a_change_is_noticed(broken: Path) -> None:
    with starting(broken) as serve:
        client = serve(repository=broken)
        file = broken / "net" / "1" / GRAPH
        file.write_bytes(file.read_bytes() + b"\0")
        update(client)
        [version] = client.get("/v1/models/net").json()["versions"]
        assert version["warnings"][0].startswith(f"{GRAPH} is not the one that was loaded")
        assert ask(client, "net/predict", IMAGES[0]).status_code == 200


@pytest.mark.slow
def test_versions_of_both_kinds_follow_each_other(broken: Path) -> None:
    with starting(broken) as serve:
        client = serve(repository=broken)
        publish_tiny(broken, "net", labels=LABELS)
        update(client)
        assert ask(client, "net/predict", IMAGES[0]).json()["version"] == 2
        publish(broken, "net", graphs.keras_like())
        update(client)
        assert ask(client, "net/predict", IMAGES[0]).json()["version"] == 3

"""`kernels` answers with the weights as they are in the state_dict."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from models import checkpoint
from models.architectures import registry
from tests.service.conftest import Serve
from tests.service.test_errors import problem


def ask(client: TestClient, layer: str, model: str = "colors", **params: Any) -> httpx.Response:
    answer: httpx.Response = client.get(f"/v1/models/{model}/kernels/{layer}", params=params)
    return answer


@pytest.fixture
def state_dict(repository: Path) -> dict[str, torch.Tensor]:
    path = repository / "colors" / "2" / "weights.pt"
    return checkpoint.read_state_dict(path, torch.device("cpu"))


def publish(repository: Path, architecture: str, **arguments: Any) -> None:
    """An untrained network under its own name."""
    known = registry.architecture(architecture)
    checkpoint.publish(
        repository,
        known.build(10, **arguments),
        name=architecture,
        architecture=architecture,
        arguments=arguments,
        labels="abcdefghij",
        input=known.input_for(arguments),
    )


def test_weights_equal_the_state_dict(
    client: TestClient, state_dict: dict[str, torch.Tensor]
) -> None:
    for layer in ("conv", "fc"):
        answer = ask(client, layer, values=True).json()
        weight = state_dict[f"{layer}.weight"]
        assert answer["shape"] == list(weight.shape)
        assert torch.equal(torch.tensor(answer["values"]), weight)
        assert torch.equal(torch.tensor(answer["bias"]), state_dict[f"{layer}.bias"])
        assert answer["max"] == weight.max().item()
        assert answer["std"] == pytest.approx(weight.std(correction=0).item())
    assert "values" not in ask(client, "conv").json()
    assert ask(client, "conv").json()["arguments"]["padding"] == [1, 1]


def test_those_of_a_channel(client: TestClient, state_dict: dict[str, torch.Tensor]) -> None:
    answer = ask(client, "conv", values=True, channel=2).json()
    assert torch.equal(torch.tensor(answer["values"]), state_dict["conv.weight"][2:3])
    assert torch.equal(torch.tensor(answer["bias"]), state_dict["conv.bias"][2:3])
    detail = problem(ask(client, "conv", channel=4), 422)["detail"]
    assert detail == "conv has 4 output channels, 0 to 3; not 4"


def test_npz(client: TestClient, state_dict: dict[str, torch.Tensor]) -> None:
    arrays = np.load(BytesIO(ask(client, "conv", format="npz").content), allow_pickle=False)
    np.testing.assert_array_equal(arrays["weight"], state_dict["conv.weight"])
    np.testing.assert_array_equal(arrays["bias"], state_dict["conv.bias"])


def test_kernels_over_colours_are_drawn_in_colour(
    client: TestClient, state_dict: dict[str, torch.Tensor]
) -> None:
    answer = ask(client, "conv", format="png", tile=3)
    image = Image.open(BytesIO(answer.content))
    assert image.size == (7, 7)
    weight = state_dict["conv.weight"]
    expected = (weight / weight.abs().max() / 2 + 0.5)[3].permute(1, 2, 0) * 255
    drawn = np.asarray(image.convert("RGB"), np.float32)[4:, 4:]  # the fourth
    np.testing.assert_allclose(drawn, expected, atol=1)
    assert json.loads(answer.headers["X-Fanlight"])["shape"] == [4, 3, 3, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "layer", "shape", "size"),
    [
        ("mnist-cnn", "conv1.0", [16, 1, 5, 5], (4 * 6 - 1, 4 * 6 - 1)),
        ("mnist-cnn", "conv2.0", [32, 16, 5, 5], (16 * 6 - 1, 32 * 6 - 1)),
        ("mlp", "0", [9, 1, 28, 28], (3 * 6 - 1, 3 * 6 - 1)),
        ("mlp", "2", [10, 9], (5, 6)),
    ],
)
def test_others_in_grey(
    serve: Serve,
    repository: Path,
    architecture: str,
    layer: str,
    shape: list[int],
    size: tuple[int, int],
) -> None:
    publish(repository, architecture, **({"hidden": [9]} if architecture == "mlp" else {}))
    client = serve()
    answer = ask(client, layer, architecture, format="png", tile=5)
    assert Image.open(BytesIO(answer.content)).size == size
    assert ask(client, layer, architecture).json()["shape"] == shape


@pytest.mark.slow
def test_a_layer_without_bias(serve: Serve, repository: Path) -> None:
    publish(repository, "resnet")
    client = serve()
    layers = client.get("/v1/models/resnet").json()["layers"]
    plain = next(x for x in layers if x["type"] == "Conv2d")
    answer = ask(client, plain["name"], "resnet", values=True).json()
    module = registry.architecture("resnet").build(10).get_submodule(plain["name"])
    assert ("bias" in answer) == (dict(module.named_parameters()).get("bias") is not None)


@pytest.mark.parametrize("layer", ["relu", "conv9", "conv.weight", "../card.json"])
def test_a_layer_without_kernels(client: TestClient, layer: str) -> None:
    answer = ask(client, layer)
    assert answer.status_code == 404
    if "/" not in layer:
        detail = answer.json()["detail"]
        assert detail.startswith(f"no layer {layer!r} with kernels; ")
        assert detail.endswith("there are: conv, fc")


def test_more_values_than_json_has(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.inspection.MAX_JSON_VALUES", 27)
    detail = problem(ask(client, "conv", values=True), 413)["detail"]
    assert "or for one channel" in detail
    assert ask(client, "conv", values=True, channel=0).status_code == 200

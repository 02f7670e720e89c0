"""`features` answers with what the layers gave, in the same pass as the prediction."""

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
from torch import nn

from models import checkpoint, features
from models.architectures import registry
from models.preprocessing import InputSpec
from tests.hooks import hooks
from tests.networks import LABELS, SPEC, encode, picture
from tests.service.conftest import Serve, starting
from tests.service.connections import PREDICT
from tests.service.test_errors import problem
from tests.service.test_kernels import publish
from tests.service.test_predict import parts

FEATURES = "/v1/models/colors/features"
IMAGES = [encode(picture(seed)) for seed in range(3)]


def ask(client: TestClient, *images: bytes, **params: Any) -> httpx.Response:
    answer: httpx.Response = client.post(FEATURES, files=parts(*images), params=params)
    return answer


@pytest.fixture
def expected(repository: Path) -> dict[str, torch.Tensor]:
    """By forward hooks in plain torch: layer → (3, …)."""
    loaded = checkpoint.load(repository / "colors" / "2", torch.device("cpu"))
    batch = SPEC.normalize(torch.stack([SPEC.pixels(picture(seed)) for seed in range(3)]))
    found: dict[str, torch.Tensor] = {}
    for name in ("conv", "pool", "fc"):
        module = loaded.network.get_submodule(name)
        module.register_forward_hook(lambda _, __, out, n=name: found.update({n: out.detach()}))
    with torch.inference_mode():
        loaded.network(batch)
    return found


class TestJson:
    def test_values_are_those_of_a_forward_hook(
        self, client: TestClient, expected: dict[str, torch.Tensor]
    ) -> None:
        answer = ask(client, *IMAGES, layer=["conv", "fc"], values=True).json()
        assert [layer["name"] for layer in answer["layers"]] == ["conv", "fc"]
        for layer in answer["layers"]:
            values = torch.tensor([image["values"] for image in layer["images"]])
            assert layer["shape"] == list(values.shape[1:])
            torch.testing.assert_close(values, expected[layer["name"]], atol=1e-6, rtol=1e-5)

    def test_figures(self, client: TestClient, expected: dict[str, torch.Tensor]) -> None:
        [layer] = ask(client, *IMAGES, layer="conv").json()["layers"]
        for image, values in zip(layer["images"], expected["conv"], strict=True):
            assert "values" not in image
            assert image["min"] == pytest.approx(values.min().item(), abs=1e-6)
            assert image["max"] == pytest.approx(values.max().item(), abs=1e-6)
            assert image["mean"] == pytest.approx(values.mean().item(), abs=1e-6)
            assert image["std"] == pytest.approx(values.std(correction=0).item(), abs=1e-6)
            assert image["zeros"] == 0
        [relu] = ask(client, IMAGES[0], layer="relu").json()["layers"]
        negative = (expected["conv"][0] < 0).float().mean().item()
        assert relu["images"][0]["zeros"] == pytest.approx(negative)

    def test_the_prediction_is_that_of_predict(self, client: TestClient) -> None:
        answer = ask(client, *IMAGES, layer="conv", top_k=2)
        predicted = client.post(PREDICT, files=parts(*IMAGES), params={"top_k": 2}).json()
        for name in ("model", "version"):
            assert answer.json()[name] == predicted[name]
        for one, other in zip(answer.json()["predictions"], predicted["predictions"], strict=True):
            assert one["label"] == other["label"]
            for each, expected in zip(one["top"], other["top"], strict=True):
                assert each["label"] == expected["label"]
                assert each["score"] == pytest.approx(expected["score"], abs=1e-6)  # by runtimes
        assert answer.headers["X-Batch-Size"] == "3"

    def test_a_layer_asked_for_twice_is_told_once(self, client: TestClient) -> None:
        answer = ask(client, IMAGES[0], layer=["fc", "conv", "fc"]).json()
        assert [layer["name"] for layer in answer["layers"]] == ["fc", "conv"]

    @pytest.mark.slow
    def test_values_that_are_not_finite_are_null(self, serve: Serve, repository: Path) -> None:
        folder = repository / "colors" / "2"
        client = serve()
        loaded = client.app.state.repository.get("colors", 2)  # type: ignore[attr-defined]
        assert folder.exists()

        def overflow(_module: object, _inputs: object, out: torch.Tensor) -> torch.Tensor:
            out = out.clone()
            out[0, 0, 0, 0] = torch.inf
            return out

        handle = loaded.checkpoint.network.get_submodule("conv").register_forward_hook(overflow)
        spoiled = loaded.checkpoint.network.get_submodule("relu").register_forward_hook(
            lambda _, __, out: out.nan_to_num(posinf=0)
        )
        [layer] = ask(client, IMAGES[0], layer="conv", values=True).json()["layers"]
        handle.remove()
        spoiled.remove()
        assert layer["images"][0]["max"] is None
        assert layer["images"][0]["values"][0][0][0] is None


class TestNpz:
    def test_arrays_by_layer(self, client: TestClient, expected: dict[str, torch.Tensor]) -> None:
        answer = ask(client, *IMAGES, layer=["conv", "pool", "penultimate"], format="npz")
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert 'filename="colors-features.npz"' in answer.headers["Content-Disposition"]
        arrays = np.load(BytesIO(answer.content), allow_pickle=False)
        assert arrays["conv"].shape == (3, 4, 8, 8)
        assert arrays["conv"].dtype == np.float32
        np.testing.assert_allclose(arrays["conv"], expected["conv"], atol=1e-6)
        np.testing.assert_allclose(arrays["penultimate"], expected["pool"].flatten(1), atol=1e-6)
        np.testing.assert_allclose(
            arrays["predictions/probabilities"], expected["fc"].softmax(1), atol=1e-6
        )
        assert tuple(arrays["predictions/labels"]) == LABELS


class TestPng:
    def test_a_grid_of_the_channels(
        self, client: TestClient, expected: dict[str, torch.Tensor]
    ) -> None:
        answer = ask(client, IMAGES[0], layer="conv", format="png", tile=8, columns=2)
        assert answer.headers["Content-Type"] == "image/png"
        image = Image.open(BytesIO(answer.content))
        assert image.size == (2 * 8 + 1, 2 * 8 + 1)
        drawn = np.asarray(image.convert("L"), np.float32)[9:, :8]  # the third channel
        third = expected["conv"][0, 2].numpy()
        levels = (third - third.min()) / (third.max() - third.min()) * 255
        np.testing.assert_allclose(drawn, levels, atol=1)
        told = json.loads(answer.headers["X-Fanlight"])
        assert told["shape"] == [4, 8, 8]
        assert told["layer"] == "conv"
        assert (told["columns"], told["rows"], told["tile"]) == (2, 2, 8)
        assert told["min"] == pytest.approx(expected["conv"][0].min().item(), abs=1e-6)
        assert told["prediction"]["label"] in LABELS

    def test_one_scale_for_the_layer(self, client: TestClient) -> None:
        answers = [
            ask(client, IMAGES[0], layer="conv", format="png", normalize=each).content
            for each in ("channel", "layer")
        ]
        assert answers[0] != answers[1]

    def test_in_colour(self, client: TestClient) -> None:
        answer = ask(client, IMAGES[0], layer="relu", format="png", colormap="viridis", tile=8)
        colours = Image.open(BytesIO(answer.content)).convert("RGBA").getcolors(10_000)
        assert (68, 1, 84, 255) in [colour for _, colour in colours or []]  # of the least value

    @pytest.mark.parametrize("layer", ["fc", "penultimate"])
    def test_a_vector_is_drawn_as_cells(self, client: TestClient, layer: str) -> None:
        answer = ask(client, IMAGES[0], layer=layer, format="png", tile=5, columns=64)
        count = {"fc": 3, "penultimate": 4}[layer]
        assert Image.open(BytesIO(answer.content)).size == (count * 6 - 1, 5)

    @pytest.mark.parametrize("many", [{"images": 2}, {"layer": ["conv", "fc"]}])
    def test_of_one_image_and_one_layer(self, client: TestClient, many: dict[str, Any]) -> None:
        images = IMAGES[: many.get("images", 1)]
        answer = ask(client, *images, layer=many.get("layer", "conv"), format="png")
        assert "json and npz take many" in problem(answer, 422)["detail"]


class TestLimits:
    def test_an_unknown_layer(self, client: TestClient) -> None:
        detail = problem(ask(client, IMAGES[0], layer=["conv", "conv9"]), 404)["detail"]
        assert detail == (
            "no layer 'conv9'; did you mean 'conv'? there are: conv, relu, pool, fc, penultimate"
        )

    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"layer": "conv", "format": "gif"},
            {"layer": "conv", "tile": 0},
            {"layer": "conv", "tile": 513},
            {"layer": "conv", "columns": 0},
            {"layer": "conv", "normalize": "no"},
            {"layer": "conv", "colormap": "pink"},
        ],
    )
    def test_parameters(self, client: TestClient, params: dict[str, Any]) -> None:
        assert "invalid parameter" in problem(ask(client, IMAGES[0], **params), 422)["detail"]

    @pytest.mark.slow
    def test_more_activations_than_are_answered(self, serve: Serve) -> None:
        client = serve(max_feature_values=1024)
        assert ask(client, *IMAGES, layer="conv").status_code == 200
        detail = problem(ask(client, *IMAGES, *IMAGES, layer="conv"), 413)["detail"]
        assert "6 images have 1,536 activations" in detail
        assert "setting max_feature_values" in detail

    def test_more_values_than_json_has(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("service.inspection.MAX_JSON_VALUES", 256)
        assert ask(client, IMAGES[0], layer="conv", values=True).status_code == 200
        detail = problem(ask(client, *IMAGES, layer="conv", values=True), 413)["detail"]
        assert "ask for format=npz" in detail
        assert ask(client, *IMAGES, layer="conv", format="npz").status_code == 200

    def test_a_bad_image_is_named(self, client: TestClient) -> None:
        errors = problem(ask(client, IMAGES[0], IMAGES[1][:50], layer="conv"), 422)["errors"]
        assert [error["index"] for error in errors] == [1]

    @pytest.mark.slow
    def test_a_key_is_needed_where_one_is_set(self, serve: Serve) -> None:
        assert ask(serve(api_key="sesame"), IMAGES[0], layer="conv").status_code == 401


def test_no_hook_stays(client: TestClient) -> None:
    ask(client, *IMAGES, layer=["conv", "relu", features.PENULTIMATE])
    network = client.app.state.repository.get("colors", None).checkpoint.network  # type: ignore[attr-defined]
    assert not hooks(network)


class Twice(nn.Module):
    """A convolution that is called twice."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.fc = nn.Linear(3 * 8 * 8, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.conv(self.conv(x)).flatten(1))
        return logits


@pytest.mark.slow
def test_of_a_layer_that_is_called_twice_the_answer_says_which_call_it_is(tmp_path: Path) -> None:
    image = parts(IMAGES[0])
    with registry.ARCHITECTURES.restored():

        @registry.register("twice", InputSpec(channels=3, height=8, width=8))
        def twice(num_classes: int) -> nn.Module:
            """Calls one convolution twice."""
            return Twice(num_classes)

        publish(tmp_path, "twice")
        with starting(tmp_path) as serve:
            client, path = serve(), "/v1/models/twice/features"
            asked = {"layer": ["conv", "fc"]}
            conv, fc = client.post(path, files=image, params=asked).json()["layers"]
            png = client.post(path, files=image, params={"layer": "conv", "format": "png"})
    assert conv["note"] == "conv is called 2 times; these are of its last call"
    assert "note" not in fc
    assert json.loads(png.headers["x-fanlight"])["note"] == conv["note"]

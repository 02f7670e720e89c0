"""Addresses of SageMaker, TensorFlow Serving and TorchServe answer as `predict` does."""

import base64
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.networks import LABELS, encode, picture, publish_tiny
from tests.service.conftest import Serve
from tests.service.connections import PREDICT
from tests.service.test_predict import parts

pytestmark = pytest.mark.slow  # most tests start a service with settings of their own

IMAGES = [encode(picture(seed)) for seed in range(3)]
PNG = {"Content-Type": "image/png"}
TEXTS = [base64.b64encode(each).decode() for each in IMAGES]


def scores(client: TestClient, **params: Any) -> list[dict[str, float]]:
    """By label, as `predict` tells them."""
    told = client.post(PREDICT, files=parts(*IMAGES), params=params).json()["predictions"]
    return [{each["label"]: each["score"] for each in one["top"]} for one in told]


class TestSageMaker:
    def test_ping(self, serve: Serve, tmp_path: Path) -> None:
        assert serve().get("/ping").status_code == 200
        (tmp_path / "empty").mkdir()
        assert serve(repository=tmp_path / "empty").get("/ping").status_code == 503

    def test_the_only_model_is_asked(self, client: TestClient) -> None:
        answer = client.post("/invocations?top_k=2", content=IMAGES[0], headers=PNG)
        wanted = client.post(f"{PREDICT}?top_k=2", content=IMAGES[0], headers=PNG)
        assert answer.json() == wanted.json()
        assert answer.headers["x-batch-size"] == "1"

    def test_of_several_the_one_of_the_setting(self, serve: Serve, repository: Path) -> None:
        publish_tiny(repository, "shades")
        answer = serve().post("/invocations", content=IMAGES[0], headers=PNG)
        assert answer.status_code == 422
        assert "colors, shades: the setting invocations_model" in answer.json()["detail"]
        chosen = serve(invocations_model="shades").post(
            "/invocations", content=IMAGES[0], headers=PNG
        )
        assert chosen.json()["model"] == "shades"
        missing = serve(invocations_model="no").post("/invocations", content=IMAGES[0], headers=PNG)
        assert missing.status_code == 404


class TestTensorFlowServing:
    ADDRESS = "/v1/models/colors:predict"

    @pytest.mark.parametrize(
        "instances",
        [[{"b64": text} for text in TEXTS], [{"image": {"b64": text}} for text in TEXTS], TEXTS],
    )
    def test_instances(self, client: TestClient, instances: list[Any]) -> None:
        answer = client.post(self.ADDRESS, json={"instances": instances, "signature_name": "x"})
        wanted = [[one[label] for label in LABELS] for one in scores(client)]
        assert answer.json() == {"predictions": [pytest.approx(row, abs=1e-6) for row in wanted]}

    def test_a_version(self, client: TestClient) -> None:
        address = "/v1/models/colors/versions/1:predict"
        [row] = client.post(address, json={"instances": TEXTS[:1]}).json()["predictions"]
        wanted = scores(client, version=1)[0]
        assert row == pytest.approx([wanted[label] for label in LABELS], abs=1e-6)

    @pytest.mark.parametrize(
        ("body", "status", "text"),
        [
            (b"no", 400, "not JSON"),
            (b"{}", 422, "no list of instances"),
            (b'{"instances": []}', 422, "no list of instances"),
            (b'{"instances": [1]}', 422, "is a number"),
            (b'{"instances": [{"b64": "?"}]}', 422, "is not base64"),
            (b'{"instances": [{"a": "x", "b": "y"}]}', 422, "is an object"),
            (b'{"instances": ["' + b'","'.join([b"AAAA"] * 129) + b'"]}', 413, "max_images"),
            (b'{"instances": [' + b"[]," * 70_000 + b"[]]}", 413, "no images"),
            (b'{"instances": ["AAAA"], "junk": [' + b"1.5," * 70_000 + b"1]}", 413, "no images"),
            (b'{"instances": ["AAAA"], "junk": 1}', 422, "'junk'"),
            (b"[" * 60_000, 413, "no images"),
            (b"[" * 200, 400, "not JSON"),
            (b'{"instances": ["' + b"\\n" * 1_100_000 + b'"]}', 413, "escapes"),
        ],
    )
    def test_what_is_wrong(self, client: TestClient, body: bytes, status: int, text: str) -> None:
        answer = client.post(self.ADDRESS, content=body)
        assert answer.status_code == status
        assert text in answer.text

    def test_no_such_model(self, client: TestClient) -> None:
        answer = client.post("/v1/models/no:predict", json={"instances": TEXTS})
        assert answer.status_code == 404


class TestTorchServe:
    def test_only_where_the_setting_says_so(self, client: TestClient) -> None:
        answer = client.post("/predictions/colors", content=IMAGES[0], headers=PNG)
        assert answer.status_code == 404
        assert "torchserve_paths" in answer.json()["detail"]

    def test_an_image(self, serve: Serve) -> None:
        client = serve(torchserve_paths="on")
        [wanted, *_] = scores(client)
        for answer in (
            client.post("/predictions/colors", content=IMAGES[0], headers=PNG),
            client.put("/predictions/colors", content=IMAGES[0]),
            client.post("/predictions/colors/2", files={"data": IMAGES[0]}),
        ):
            assert answer.json() == pytest.approx(wanted, abs=1e-6)
            assert list(answer.json()) == sorted(wanted, key=wanted.__getitem__, reverse=True)
        other = client.post("/predictions/colors/1", content=IMAGES[0], headers=PNG).json()
        assert other == pytest.approx(scores(client, version=1)[0], abs=1e-6)

    def test_one_image_alone(self, serve: Serve) -> None:
        client = serve(torchserve_paths="on")
        answer = client.post("/predictions/colors", files=parts(*IMAGES))
        assert answer.status_code == 413
        assert "take one in a request" in answer.json()["detail"]


def test_a_key_is_asked_for(serve: Serve, tmp_path: Path) -> None:
    client = serve(api_key="secret-and-long-enough", torchserve_paths="on")
    for address in ("/invocations", "/v1/models/colors:predict", "/predictions/colors"):
        assert client.post(address, content=IMAGES[0], headers=PNG).status_code == 401
    several = serve(api_key="secret-and-long-enough", repository=tmp_path)
    answer = several.post("/invocations", content=IMAGES[0], headers=PNG)
    assert answer.status_code == 401  # and nothing of the models is told
    assert client.get("/ping").status_code == 200

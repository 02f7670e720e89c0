"""The Open Inference Protocol v2: what it tells of the server, its models and their statistics."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from models import checkpoint
from tests.networks import publish_tiny
from tests.service.conftest import Serve
from tests.service.connections import PREDICT
from tests.service.inference_protocol import COLORS, IMAGES, encoded, infer
from tests.service.test_predict import parts


class TestModels:
    def test_server(self, client: TestClient) -> None:
        told = client.get("/v2").json()
        assert told["name"] == "fanlight"
        assert {"classification", "binary_tensor_data", "statistics"} <= set(told["extensions"])
        assert client.get("/v2/health/live").json() == {"live": True}
        assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}

    def test_metadata(self, client: TestClient) -> None:
        told = client.get(COLORS).json()
        assert told["versions"] == ["1", "2"]
        assert {each["name"]: each["datatype"] for each in told["inputs"]} == {
            "image": "BYTES",
            "input": "UINT8",
        }
        assert told["inputs"][1]["shape"] == [-1, 3, 8, 8]
        assert [each["name"] for each in told["outputs"]] == ["logits", "probabilities", "label"]
        assert client.get(f"{COLORS}/versions/1").json() == told
        config = client.get(f"{COLORS}/config").json()
        assert config["max_batch_size"] > 1
        assert [each["dims"] for each in config["output"]] == [[3], [3], [1]]

    def test_ready(self, client: TestClient) -> None:
        assert client.get(f"{COLORS}/ready").json() == {"name": "colors", "ready": True}
        assert client.head(f"{COLORS}/versions/2/ready").status_code == 200

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/v2/models/nope/ready", 404),
            (f"{COLORS}/versions/9/ready", 404),
            (f"{COLORS}/versions/x", 404),
            ("/v2/nothing", 404),
            (f"{COLORS}/infer", 405),
            (f"{COLORS}?no=1", 422),
        ],
    )
    def test_errors(self, client: TestClient, path: str, status: int) -> None:
        answer = client.get(path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert list(answer.json()) == ["error"]

    @pytest.mark.slow
    def test_one_that_failed(self, serve: Serve, repository: Path) -> None:
        publish_tiny(repository, "broken")
        (repository / "broken" / "1" / checkpoint.WEIGHTS).write_bytes(b"")
        client = serve()
        answer = client.get("/v2/models/broken/ready")
        assert (answer.status_code, list(answer.json())) == (503, ["error"])
        index = client.post("/v2/repository/index").json()
        states = {(each["name"], each["version"]): each["state"] for each in index}
        assert states == {
            ("broken", "1"): "UNAVAILABLE",
            ("colors", "1"): "READY",
            ("colors", "2"): "READY",
        }
        assert next(each["reason"] for each in index if each["name"] == "broken")
        ready = client.post("/v2/repository/index", json={"ready": True}).json()
        assert [each["name"] for each in ready] == ["colors", "colors"]
        wrong = client.post("/v2/repository/index", json={"ready": 1})
        assert wrong.status_code == 400

    def test_no_request_changes_what_is_served(self, client: TestClient) -> None:
        for what in ("load", "unload"):
            answer = client.post(f"/v2/repository/models/colors/{what}")
            assert answer.status_code == 501
            assert "the repository's folder decides" in answer.json()["error"]

    @pytest.mark.slow
    def test_statistics(self, serve: Serve) -> None:
        client = serve(max_batch_size=2)
        image, binary = encoded(*IMAGES)
        for _ in range(2):
            assert infer(client, image, binary=binary).status_code == 200
        assert client.post(PREDICT, files=parts(IMAGES[0])).status_code == 200
        bad, not_one = encoded(b"no")
        assert infer(client, bad, binary=not_one).status_code == 415
        layer = [{"name": "conv"}]
        assert infer(client, image, binary=binary, outputs=layer).status_code == 200
        [told] = client.get(f"{COLORS}/stats").json()["model_stats"]
        assert (told["name"], told["version"]) == ("colors", "2")
        assert told["inference_count"] == 2 * 3 + 1  # predictions alone
        stats = told["inference_stats"]
        for stage in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
            assert stats[stage]["count"] == 3  # requests
        assert stats["fail"]["count"] == 1
        assert stats["success"]["ns"] >= stats["compute_input"]["ns"] > 0
        assert (
            told["execution_count"]
            == 5
            == sum(each["compute_infer"]["count"] for each in told["batch_stats"])
        )
        assert told["last_inference"] > 1.7e12
        every = client.get("/v2/models/stats").json()["model_stats"]
        assert {each["version"] for each in every} == {"1", "2"}

    @pytest.mark.slow
    def test_a_key_is_asked_for(self, serve: Serve) -> None:
        client = serve(api_key="secret-and-long-enough")
        for path in (COLORS, "/v2/models/stats", f"{COLORS}/ready"):
            assert client.get(path).status_code == 401
        assert client.post(f"{COLORS}/infer").status_code == 401
        assert client.get("/v2/health/live").status_code == 200
        headers = {"Authorization": "Bearer secret-and-long-enough"}
        assert client.get(COLORS, headers=headers).status_code == 200

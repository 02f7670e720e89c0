"""`infer` of the Open Inference Protocol v2: its answers are those of /v1."""

import base64
import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from tests.networks import LABELS, SPEC, picture
from tests.service.conftest import Serve
from tests.service.connections import PREDICT
from tests.service.held_run import HeldRun
from tests.service.inference_protocol import (
    COLORS,
    IMAGES,
    LENGTH,
    elements,
    encoded,
    infer,
    outputs,
    tensor,
)
from tests.service.test_predict import parts
from tests.service.test_unavailable import batcher_of

PIXELS = np.stack([SPEC.pixels(picture(seed)).numpy() for seed in range(3)])  # (3, 3, 8, 8)
NORMALISED: NDArray[np.float32] = SPEC.normalize(torch.from_numpy(PIXELS)).numpy()


@pytest.fixture(scope="module")
def predicted(client: TestClient) -> list[Any]:
    """What /v1 answers for the three images."""
    answer = client.post(PREDICT, files=parts(*IMAGES), params={"logits": True})
    found: list[Any] = answer.json()["predictions"]
    return found


def assert_equal(found: Mapping[str, Any], predicted: list[Any]) -> None:
    assert list(found["label"]) == [each["label"] for each in predicted]
    logits = np.array([each["logits"] for each in predicted])
    np.testing.assert_allclose(found["logits"], logits, atol=1e-5)
    scores = [{each["label"]: each["score"] for each in one["top"]} for one in predicted]
    wanted = [[one[label] for label in LABELS] for one in scores]
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-6)


class TestInfer:
    def test_encoded_images(self, client: TestClient, predicted: list[Any]) -> None:
        image, binary = encoded(*IMAGES)
        answer = infer(client, image, binary=binary, id="mine")
        told = answer.json()
        assert (told["model_name"], told["model_version"], told["id"]) == ("colors", "2", "mine")
        assert_equal(outputs(answer), predicted)

    def test_base64_in_json(self, client: TestClient, predicted: list[Any]) -> None:
        texts = [base64.b64encode(each).decode() for each in IMAGES]
        for data in (texts, [[each] for each in texts]):
            answer = infer(client, tensor("image", "BYTES", list(np.shape(data)), data))
            assert_equal(outputs(answer), predicted)

    @pytest.mark.parametrize(("datatype", "values"), [("UINT8", PIXELS), ("FP32", NORMALISED)])
    def test_tensors(
        self, client: TestClient, predicted: list[Any], datatype: str, values: NDArray[Any]
    ) -> None:
        """FP32 is what the network takes, and so is not normalised again."""
        shape = list(values.shape)
        for data in (values.tolist(), values.reshape(-1).tolist()):
            assert_equal(outputs(infer(client, tensor("input", datatype, shape, data))), predicted)
        size = {"binary_data_size": values.nbytes}
        told = tensor("input", datatype, shape, parameters=size)
        assert_equal(outputs(infer(client, told, binary=values.tobytes())), predicted)

    def test_pixels_and_normalised_values_of_one_layer_in_one_batch(
        self, client: TestClient
    ) -> None:
        asked = [{"name": "conv"}]
        found = [
            outputs(
                infer(client, tensor("input", kind, [3, 3, 8, 8], data.tolist()), outputs=asked)
            )
            for kind, data in (("UINT8", PIXELS), ("FP32", NORMALISED))
        ]
        np.testing.assert_allclose(found[0]["conv"], found[1]["conv"], atol=1e-5)
        assert found[0]["conv"].shape == (3, 4, 8, 8)

    def test_a_layer_by_name_is_that_of_features(self, client: TestClient) -> None:
        image, binary = encoded(*IMAGES)
        asked = [{"name": "conv", "parameters": {"binary_data": True}}, {"name": "label"}]
        found = outputs(infer(client, image, binary=binary, outputs=asked))
        told = client.post(
            "/v1/models/colors/features",
            files=parts(*IMAGES),
            params={"layer": "conv", "values": True},
        ).json()
        wanted = [each["values"] for each in told["layers"][0]["images"]]
        np.testing.assert_allclose(found["conv"], wanted, atol=1e-6)
        assert list(found) == ["conv", "label"]

    def test_binary_outputs(self, client: TestClient, predicted: list[Any]) -> None:
        image, binary = encoded(*IMAGES)
        answer = infer(client, image, binary=binary, parameters={"binary_data_output": True})
        assert answer.headers["content-type"] == "application/octet-stream"
        assert_equal(outputs(answer), predicted)
        asked = [
            {"name": "label", "parameters": {"binary_data": False}},
            {"name": "logits"},
            {"name": "probabilities"},
        ]
        mixed = infer(
            client,
            image,
            binary=binary,
            outputs=asked,
            parameters={"binary_data_output": True},
        )
        assert "data" in json.loads(mixed.content[: int(mixed.headers[LENGTH])])["outputs"][0]
        assert_equal(outputs(mixed), predicted)

    @pytest.mark.parametrize(("asked", "told"), [(2, 2), (1, 1), (99, 3)])
    def test_classification(
        self, client: TestClient, predicted: list[Any], asked: int, told: int
    ) -> None:
        image, binary = encoded(*IMAGES)
        wanted = [{"name": "probabilities", "parameters": {"classification": asked}}]
        found = outputs(infer(client, image, binary=binary, outputs=wanted))["probabilities"]
        assert found.shape == (3, told)
        for row, one in zip(found, predicted, strict=True):
            for text, top in zip(row, one["top"], strict=False):
                value, index, label = text.split(":")
                assert (label, LABELS[int(index)]) == (top["label"], top["label"])
                assert float(value) == pytest.approx(top["score"], abs=1e-6)

    def test_a_raw_request_is_an_image(self, client: TestClient, predicted: list[Any]) -> None:
        for body in (IMAGES[0], elements(IMAGES[0])):
            answer = client.post(f"{COLORS}/infer", content=body, headers={LENGTH: "0"})
            assert_equal(outputs(answer), predicted[:1])

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_compressed(self, client: TestClient, predicted: list[Any], encoding: str) -> None:
        image, binary = encoded(*IMAGES)
        head = json.dumps({"inputs": [image]}).encode()
        pack = gzip.compress if encoding == "gzip" else zlib.compress
        headers = {LENGTH: str(len(head)), "Content-Encoding": encoding}
        packed = pack(head + binary)
        answer = client.post(f"{COLORS}/infer", content=packed, headers=headers)
        assert_equal(outputs(answer), predicted)
        for wrong in (packed[:-9], packed + b"more", b"no" + packed):
            answer = client.post(f"{COLORS}/infer", content=wrong, headers=headers)
            assert answer.status_code == 400
            assert "compressed" in answer.json()["error"] or "Encoding" in answer.json()["error"]

    @pytest.mark.slow
    def test_what_is_unpacked_counts(self, serve: Serve) -> None:
        client = serve(max_body_bytes=100_000)
        packed = gzip.compress(b" " * 10_000_000)
        assert len(packed) < 100_000
        answer = client.post(
            f"{COLORS}/infer", content=packed, headers={"Content-Encoding": "gzip"}
        )
        assert answer.status_code == 413
        assert "max_body_bytes" in answer.json()["error"]

    def test_a_version(self, client: TestClient) -> None:
        image, binary = encoded(IMAGES[0])
        told = infer(client, image, binary=binary, path=f"{COLORS}/versions/1").json()
        assert told["model_version"] == "1"
        wanted = client.post(
            PREDICT, files=parts(IMAGES[0]), params={"version": 1, "logits": True}
        ).json()
        logits = next(each for each in told["outputs"] if each["name"] == "logits")
        np.testing.assert_allclose(logits["data"], wanted["predictions"][0]["logits"], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "microseconds", "told"),
    [
        ({}, 50_000, "within 50 ms (timeout of the request)"),
        ({"request_timeout": 0.3}, 10**9, "within 300 ms (setting request_timeout)"),
    ],
    ids=["of the request", "of the service, which is shorter"],
)
def test_504_when_the_network_never_answers(
    serve: Serve, settings: dict[str, Any], microseconds: int, told: str
) -> None:
    client = serve(**settings)
    hold = HeldRun(batcher_of(client))
    image, binary = encoded(*IMAGES)
    answer = infer(client, image, binary=binary, parameters={"timeout": microseconds})
    hold.let_go.set()
    assert answer.status_code == 504
    assert told in answer.json()["error"]


def test_200_within_the_timeout_of_the_request(client: TestClient) -> None:
    image, binary = encoded(*IMAGES)
    answer = infer(client, image, binary=binary, parameters={"timeout": 10_000_000})
    assert answer.status_code == 200

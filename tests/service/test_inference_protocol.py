"""The Open Inference Protocol v2: its answers are those of /v1, and what is wrong is said."""

import base64
import gzip
import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from models import checkpoint
from service.requests.inference_request import MAX_JSON_VALUES
from tests.networks import LABELS, SPEC, encode, picture, publish_tiny
from tests.service.conftest import Serve
from tests.service.connections import PREDICT
from tests.service.test_predict import parts

COLORS = "/v2/models/colors"
IMAGES = [encode(picture(seed)) for seed in range(3)]
PIXELS = np.stack([SPEC.pixels(picture(seed)).numpy() for seed in range(3)])  # (3, 3, 8, 8)
LENGTH = "Inference-Header-Content-Length"
NORMALISED: NDArray[np.float32] = SPEC.normalize(torch.from_numpy(PIXELS)).numpy()


def tensor(name: str, datatype: str, shape: list[int], data: Any = None, **more: Any) -> Any:
    found = {"name": name, "datatype": datatype, "shape": shape, **more}
    return found if data is None else found | {"data": data}


def infer(
    client: TestClient, *inputs: Any, binary: bytes = b"", path: str = COLORS, **request: Any
) -> httpx.Response:
    """The answer to a request with these inputs, and with these bytes behind the JSON."""
    body = json.dumps({"inputs": inputs, **request}).encode()
    headers = {LENGTH: str(len(body))} if binary else {}
    answer: httpx.Response = client.post(f"{path}/infer", content=body + binary, headers=headers)
    return answer


def elements(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(each)) + each for each in values)


def encoded(*images: bytes) -> tuple[Any, bytes]:
    """The input `image` in binary form."""
    binary = elements(*images)
    size = {"binary_data_size": len(binary)}
    return tensor("image", "BYTES", [len(images)], parameters=size), binary


def outputs(answer: httpx.Response) -> dict[str, Any]:
    """By name: the data of JSON in the output's shape, or what stands behind the JSON."""
    assert answer.status_code == 200, answer.text
    length = answer.headers.get(LENGTH)
    told = json.loads(answer.content[: int(length)] if length else answer.content)
    left = answer.content[int(length) :] if length else b""
    found: dict[str, Any] = {}
    for each in told["outputs"]:
        if "data" in each:
            found[each["name"]] = np.array(each["data"]).reshape(each["shape"])
            continue
        size = each["parameters"]["binary_data_size"]
        mine, left = left[:size], left[size:]
        if each["datatype"] == "BYTES":
            texts = []
            while mine:
                (length,) = struct.unpack_from("<I", mine)
                texts.append(mine[4 : 4 + length].decode())
                mine = mine[4 + length :]
            found[each["name"]] = np.array(texts).reshape(each["shape"])
        else:
            found[each["name"]] = np.frombuffer(mine, "<f4").reshape(each["shape"])
    assert not left
    return found


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

    def test_a_timeout(self, client: TestClient) -> None:
        image, binary = encoded(*IMAGES)
        answer = infer(client, image, binary=binary, parameters={"timeout": 1})
        assert answer.status_code in (200, 504)  # a tiny network may be that quick
        slow = infer(client, image, binary=binary, parameters={"timeout": 10_000_000})
        assert slow.status_code == 200


IMAGE = tensor("image", "BYTES", [1], [base64.b64encode(IMAGES[0]).decode()])
WRONG: dict[str, tuple[Any, int, str]] = {
    "no JSON": (b"no", 400, "not JSON"),
    "nothing": (b"", 422, "the body is empty"),
    "a list": (b"[]", 400, "must be a JSON object"),
    "no inputs": ({}, 400, 'must have "inputs"'),
    "inputs of numbers": ({"inputs": [1]}, 400, 'must have "inputs"'),
    "no shape": ({"inputs": [{"name": "image", "datatype": "BYTES"}]}, 400, "the shape of"),
    "a negative side": ({"inputs": [IMAGE | {"shape": [-1]}]}, 400, "the shape of"),
    "a side that is no number": ({"inputs": [IMAGE | {"shape": [True]}]}, 400, "the shape of"),
    "too few elements": ({"inputs": [IMAGE | {"shape": [2]}]}, 400, "has 2 elements, not 1"),
    "twice": ({"inputs": [IMAGE, IMAGE]}, 400, "comes twice"),
    "both": (
        {"inputs": [IMAGE, tensor("input", "UINT8", [1], [1])]},
        400,
        "the inputs are 'image', 'input'; one is taken",
    ),
    "another name": ({"inputs": [IMAGE | {"name": "x"}]}, 400, "one is taken: 'image'"),
    "another shape": (
        {"inputs": [tensor("input", "UINT8", [1, 2], [1, 2])]},
        400,
        "it must have [-1, 3, 8, 8]",
    ),
    "another datatype": (
        {"inputs": [tensor("input", "FP64", [1, 3, 8, 8], [0.0] * 192)]},
        400,
        "UINT8, pixels, or FP32",
    ),
    "no datatype": (
        {"inputs": [tensor("input", "FLOAT", [1], [1])]},
        400,
        "there are BOOL, UINT8",
    ),
    "half precision in JSON": (
        {"inputs": [tensor("input", "FP16", [1], [1])]},
        400,
        "send it as binary data",
    ),
    "a pixel too bright": (
        {"inputs": [tensor("input", "UINT8", [1, 3, 8, 8], [256] * 192)]},
        400,
        "values that UINT8 can't hold",
    ),
    "a pixel that is no whole number": (
        {"inputs": [tensor("input", "UINT8", [1, 3, 8, 8], [0.5] * 192)]},
        400,
        "must be numbers of the datatype UINT8",
    ),
    "lists of different lengths": (
        {"inputs": [tensor("input", "FP32", [2, 2], [[1, 2], [3]])]},
        400,
        "nested as the shape [2, 2] or flat",
    ),
    "numbers for images": (
        {"inputs": [tensor("image", "BYTES", [1], [1])]},
        400,
        "must be strings (BYTES)",
    ),
    "images as numbers": (
        {"inputs": [tensor("image", "UINT8", [1], [1])]},
        400,
        "has the datatype UINT8",
    ),
    "no image": ({"inputs": [tensor("image", "BYTES", [0], [])]}, 400, "whole numbers from 1"),
    "a side of 0 among large ones": (
        {"inputs": [tensor("input", "UINT8", [0, 2**31 - 1, 2**31 - 1], [])]},
        400,
        "whole numbers from 1",
    ),
    "strings for numbers": (
        {"inputs": [tensor("input", "UINT8", [1], ["a" * 100_000, "b"] * 100)]},
        400,
        "must be numbers of the datatype UINT8",
    ),
    "too many images": (
        {"inputs": [tensor("image", "BYTES", [5_000_000], [])]},
        413,
        "max_images",
    ),
    "values without end": (
        b'{"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": ['
        + b"1e39," * 191
        + b"1]}]}",
        400,
        "values that are not finite",
    ),
    "a long name": ({"inputs": [IMAGE | {"name": "x" * 300}]}, 400, "of 1 to 256 characters"),
    "an output of a long name": (
        {"inputs": [IMAGE], "outputs": [{"name": "x" * 10_000_000}]},
        400,
        "of 1 to 256 characters",
    ),
    "a long id": ({"inputs": [IMAGE], "id": "x" * 2000}, 400, '"id" has more than'),
    "an image that is none": (
        {"inputs": [tensor("image", "BYTES", [1], ["AAAA"])]},
        415,
        "image 0: ",
    ),
    "no base64": ({"inputs": [tensor("image", "BYTES", [1], ["?"])]}, 422, "is not base64"),
    "an address": (
        {"inputs": [tensor("image", "BYTES", [1], ["http://127.0.0.1/x.png"])]},
        422,
        "image 0",
    ),
    "not finite": (
        {"inputs": [tensor("input", "FP32", [1, 3, 8, 8], [3e38] * 192)]},
        422,
        "no finite number",
    ),
    "an output that is none": (
        {"inputs": [IMAGE], "outputs": [{"name": "cnv"}]},
        400,
        "no output 'cnv'; did you mean 'conv'?",
    ),
    "an output twice": (
        {"inputs": [IMAGE], "outputs": [{"name": "conv"}, {"name": "conv"}]},
        400,
        "'conv' comes twice",
    ),
    "classes of a layer": (
        {
            "inputs": [IMAGE],
            "outputs": [{"name": "conv", "parameters": {"classification": 1}}],
        },
        400,
        "possible of probabilities and logits",
    ),
    "shared memory": (
        {"inputs": [IMAGE | {"parameters": {"shared_memory_region": "x"}}]},
        400,
        "shared memory, which is not offered",
    ),
    "bytes that are not there": (
        {"inputs": [{**IMAGE, "parameters": {"binary_data_size": 4}}]},
        400,
        "of which there are 0",
    ),
    "too many values": (
        b'{"inputs": [' + b"[]," * MAX_JSON_VALUES + b"[]]}",
        413,
        "send tensors as binary data",
    ),
    "a deep list": (b"[" * 5000, 400, "not JSON"),
}


@pytest.mark.parametrize(("body", "status", "text"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(client: TestClient, body: Any, status: int, text: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(f"{COLORS}/infer", content=content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert text in answer.json()["error"]


@pytest.mark.parametrize(
    ("binary", "length", "text"),
    [
        (elements(b"ab")[:-1], None, "are not elements"),
        (elements(b"ab", b"cd"), None, "are not elements"),
        (elements(b"ab") + b"x", None, "are not elements"),
        (elements(b"ab"), "-1", "must be a number from 0"),
        (elements(b"ab"), "9999", "must be a number from 0"),
        (elements(b"ab"), "1e1", "must be a number from 0"),
        (elements(b"ab"), "5", "not JSON"),
    ],
)
def test_bytes_that_are_not_as_they_are_told(
    client: TestClient, binary: bytes, length: str | None, text: str
) -> None:
    size = {"binary_data_size": len(binary)}
    body = json.dumps({"inputs": [tensor("image", "BYTES", [1], parameters=size)]}).encode()
    headers = {LENGTH: length or str(len(body))}
    answer = client.post(f"{COLORS}/infer", content=body + binary, headers=headers)
    assert answer.status_code == 400
    assert text in answer.json()["error"]


def test_bytes_behind_the_last_tensor(client: TestClient) -> None:
    image, binary = encoded(IMAGES[0])
    answer = infer(client, image, binary=binary + b"x")
    assert (answer.status_code, "1 bytes stand behind" in answer.text) == (400, True)
    pixels = tensor("input", "UINT8", [1, 3, 8, 8], parameters={"binary_data_size": 191})
    answer = infer(client, pixels, binary=b"\0" * 191)
    assert "has 192 bytes, not 191" in answer.json()["error"]


def test_what_a_client_makes_of_values_is_no_fault_of_the_model(serve: Serve) -> None:
    client = serve()
    for value in (float("nan"), float("inf"), 3e38):
        data = np.full((1, 3, 8, 8), value, np.float32)
        size = {"binary_data_size": data.nbytes}
        given = tensor("input", "FP32", [1, 3, 8, 8], parameters=size)
        answer = infer(client, given, binary=data.tobytes())
        assert answer.status_code in (400, 422)
    assert "warnings" not in client.get("/v1/models/colors").json()["versions"][-1]


def test_no_more_images_than_the_setting_allows(serve: Serve) -> None:
    client = serve(max_images=2)
    image, binary = encoded(*IMAGES)
    answer = infer(client, image, binary=binary)
    assert (answer.status_code, "max_images" in answer.text) == (413, True)
    size = {"binary_data_size": PIXELS.nbytes}
    pixels = tensor("input", "UINT8", [3, 3, 8, 8], parameters=size)
    assert infer(client, pixels, binary=PIXELS.tobytes()).status_code == 413


def test_no_more_activations_than_the_setting_allows(serve: Serve) -> None:
    client = serve(max_feature_values=1024)
    image, binary = encoded(*IMAGES, *IMAGES)  # of 256 values each
    answer = infer(client, image, binary=binary, outputs=[{"name": "conv"}])
    assert (answer.status_code, "max_feature_values" in answer.text) == (413, True)


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

    def test_statistics(self, serve: Serve) -> None:
        client = serve()
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
        for stage in ("success", "queue", "compute_input"):
            assert stats[stage]["count"] == 3
        assert stats["fail"]["count"] == 1
        assert stats["success"]["ns"] >= stats["compute_input"]["ns"] > 0
        assert told["execution_count"] == sum(
            each["compute_infer"]["count"] for each in told["batch_stats"]
        )
        assert told["last_inference"] > 1.7e12
        every = client.get("/v2/models/stats").json()["model_stats"]
        assert {each["version"] for each in every} == {"1", "2"}

    def test_a_key_is_asked_for(self, serve: Serve) -> None:
        client = serve(api_key="secret-and-long-enough")
        for path in (COLORS, "/v2/models/stats", f"{COLORS}/ready"):
            assert client.get(path).status_code == 401
        assert client.post(f"{COLORS}/infer").status_code == 401
        assert client.get("/v2/health/live").status_code == 200
        headers = {"Authorization": "Bearer secret-and-long-enough"}
        assert client.get(COLORS, headers=headers).status_code == 200

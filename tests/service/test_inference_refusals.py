"""`infer` of the Open Inference Protocol v2: what is wrong is said, and limits hold."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.requests.inference_request import MAX_JSON_VALUES
from tests.service.conftest import Serve
from tests.service.inference_protocol import (
    COLORS,
    IMAGES,
    LENGTH,
    elements,
    encoded,
    infer,
    tensor,
)

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


@pytest.mark.slow
def test_what_a_client_makes_of_values_is_no_fault_of_the_model(serve: Serve) -> None:
    client = serve()
    for value in (float("nan"), float("inf"), 3e38):
        data = np.full((1, 3, 8, 8), value, np.float32)
        size = {"binary_data_size": data.nbytes}
        given = tensor("input", "FP32", [1, 3, 8, 8], parameters=size)
        answer = infer(client, given, binary=data.tobytes())
        assert answer.status_code in (400, 422)
    assert "warnings" not in client.get("/v1/models/colors").json()["versions"][-1]


@pytest.mark.slow
def test_no_more_images_than_the_setting_allows(serve: Serve) -> None:
    client = serve(max_images=2)
    image, binary = encoded(*IMAGES)
    answer = infer(client, image, binary=binary)
    assert (answer.status_code, "max_images" in answer.text) == (413, True)
    levels = np.zeros((3, 3, 8, 8), np.uint8)
    size = {"binary_data_size": levels.nbytes}
    pixels = tensor("input", "UINT8", [3, 3, 8, 8], parameters=size)
    assert infer(client, pixels, binary=levels.tobytes()).status_code == 413


@pytest.mark.slow
def test_no_more_activations_than_the_setting_allows(serve: Serve) -> None:
    client = serve(max_feature_values=1024)
    image, binary = encoded(*IMAGES, *IMAGES)  # of 256 values each
    answer = infer(client, image, binary=binary, outputs=[{"name": "conv"}])
    assert (answer.status_code, "max_feature_values" in answer.text) == (413, True)

"""Images as base64 in JSON: every endpoint that takes images answers as it does to a form."""

import json
from base64 import b64encode
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.networks import encode, picture
from tests.service.connections import PREDICT
from tests.service.test_errors import problem
from tests.service.test_predict import parts

IMAGES = [encode(picture(1)), encode(picture(2, (30, 20)), "JPEG")]
URL = PREDICT.removesuffix("predict")


def encoded(*images: bytes) -> list[str]:
    return [b64encode(each).decode() for each in images]


@pytest.mark.parametrize(
    ("operation", "query"),
    [
        ("predict", {}),
        ("features", {"layer": "conv", "values": "true"}),
        ("input", {}),
        ("explain", {"method": "occlusion"}),
    ],
)
def test_answers_are_those_to_a_form(
    client: TestClient, operation: str, query: dict[str, str]
) -> None:
    told = client.post(URL + operation, files=parts(*IMAGES), params=query)
    assert told.status_code == 200, told.text
    urls = [f"data:image/png;base64,{each}" for each in encoded(*IMAGES)]
    for images in (encoded(*IMAGES), urls):
        answer = client.post(URL + operation, json={"images": images}, params=query)
        assert answer.status_code == 200, answer.text
        assert answer.json() == told.json()
    alone = client.post(URL + operation, json={"image": encoded(IMAGES[0])[0]}, params=query)
    assert alone.json() == client.post(URL + operation, files=parts(IMAGES[0]), params=query).json()


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"{", 400, "is not application/json"),
        (json.dumps({"images": []}).encode(), 422, "the list is empty"),
        (json.dumps({"instances": [{"b64": "AAAA"}]}).encode(), 422, "no key 'instances'"),
        (json.dumps({"images": ["AAAA"] * 129}).encode(), 413, "more than 128 images"),
        (b'{"image": "' + b"\\n" * 1_100_000 + b'"}', 413, "escapes"),
        (json.dumps({"images": ["http://x/a.png"]}).encode(), 422, "fetches no URL"),
    ],
)
def test_what_is_wrong_is_said(client: TestClient, body: bytes, status: int, text: str) -> None:
    headers = {"Content-Type": "application/json"}
    for operation in ("predict", "input"):
        answer = client.post(URL + operation, content=body, headers=headers)
        assert text in problem(answer, status)["detail"]


def test_all_bad_images_are_named(client: TestClient) -> None:
    images: list[Any] = [*encoded(IMAGES[0], b"no image", b""), *encoded(IMAGES[0][:60])]
    document = problem(client.post(PREDICT, json={"images": images}), 422)
    assert [each["index"] for each in document["errors"]] == [1, 2, 3]
    images[0] = "no base64!"
    document = problem(client.post(PREDICT, json={"images": images}), 422)
    assert [each["index"] for each in document["errors"]] == [0, 1, 2, 3]
    assert document["errors"][0]["reason"].startswith("is not base64")
    assert document["errors"][1]["reason"].startswith("the bytes are no image that is taken")

"""`input` answers with the picture as the network gets it."""

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
from models.preprocessing import decode
from tests.networks import SPEC, encode, picture, publish_tiny
from tests.service.conftest import Serve
from tests.service.test_errors import problem
from tests.service.test_predict import parts


def ask(client: TestClient, *images: bytes, **params: Any) -> httpx.Response:
    answer: httpx.Response = client.post(
        "/v1/models/colors/input", files=parts(*images), params=params
    )
    return answer


def test_values_are_those_of_the_preprocessing(client: TestClient) -> None:
    pictures = [picture(seed, size=(20 + seed, 10)) for seed in range(3)]
    answer = ask(client, *map(encode, pictures)).json()
    assert answer["shape"] == [3, 8, 8]
    for image, found in zip(pictures, answer["images"], strict=True):
        values = torch.tensor(found["values"], dtype=torch.uint8)
        assert torch.equal(values, SPEC.pixels(image))


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((40, 20), [0.25, 0, 0.75, 1]),
        ((20, 40), [0, 0.25, 1, 0.75]),
        ((8, 8), [0, 0, 1, 1]),
        ((3000, 1000), [1 / 3, 0, 2 / 3, 1]),
    ],
)
def test_the_part_of_the_image_that_it_is(
    client: TestClient, size: tuple[int, int], box: list[float]
) -> None:
    [found] = ask(client, encode(Image.new("RGB", size))).json()["images"]
    assert found["box"] == pytest.approx(box)


@pytest.mark.slow
def test_the_centre_of_what_is_resized(serve: Serve, repository: Path) -> None:
    """On every way: a small PNG of the very size, a larger one, and a JPEG."""
    spec = SPEC.model_copy(update={"resize_size": 10, "interpolation": "bicubic"})
    publish_tiny(repository, name="centred", input=spec)
    client = serve(runtime="torch")
    images = [picture(0), picture(1, (40, 20)), picture(2, (300, 200))]
    path = "/v1/models/centred/input"
    answer = client.post(path, files=parts(*map(encode, images))).json()["images"]
    for image, found in zip(images, answer, strict=True):
        assert (np.asarray(found["values"]) == spec.array(image)).all()
    jpeg = encode(images[2].resize((30, 20)), "JPEG", quality=95)
    typed = {"Content-Type": "image/jpeg"}
    [found] = client.post(path, content=jpeg, headers=typed).json()["images"]
    assert (np.asarray(found["values"]) == spec.array(decode(jpeg))).all()
    boxes = [found["box"] for found in answer]
    assert boxes[0] == pytest.approx([0.1, 0.1, 0.9, 0.9])
    assert boxes[1] == pytest.approx([0.3, 0.1, 0.7, 0.9])
    both = ["/v1/models/centred/predict?top_k=3", "/v1/models/centred/features?layer=conv"]
    asked = [client.post(path, files=parts(encode(images[0]))).json() for path in both]
    network = checkpoint.load_named(repository, "centred", 1, torch.device("cpu")).network
    with torch.inference_mode():
        scores = network(spec.normalize(spec.pixels(images[0])[None])).softmax(1)[0]
    for found in (asked[0]["predictions"][0], asked[1]["predictions"][0]):
        assert found["score"] == pytest.approx(float(scores.max()), abs=1e-6)


def test_a_picture(client: TestClient) -> None:
    answer = ask(client, encode(picture(0, (30, 30))), format="png")
    drawn = np.asarray(Image.open(BytesIO(answer.content)))
    expected = SPEC.pixels(picture(0, (30, 30))).permute(1, 2, 0)
    np.testing.assert_array_equal(drawn, expected)
    assert json.loads(answer.headers["X-Fanlight"])["box"] == [0, 0, 1, 1]
    images = [encode(picture(0))] * 2
    assert "takes one image, not 2" in problem(ask(client, *images, format="png"), 422)["detail"]

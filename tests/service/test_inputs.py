"""`input` answers with the picture as the network gets it."""

import json
from io import BytesIO
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from tests.networks import SPEC, encode, picture
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


def test_a_picture(client: TestClient) -> None:
    answer = ask(client, encode(picture(0, (30, 30))), format="png")
    drawn = np.asarray(Image.open(BytesIO(answer.content)))
    expected = SPEC.pixels(picture(0, (30, 30))).permute(1, 2, 0)
    np.testing.assert_array_equal(drawn, expected)
    assert json.loads(answer.headers["X-Fanlight"])["box"] == [0, 0, 1, 1]
    images = [encode(picture(0))] * 2
    assert "takes one image, not 2" in problem(ask(client, *images, format="png"), 422)["detail"]

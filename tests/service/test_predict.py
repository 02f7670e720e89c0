"""POST /v1/models/{model}/predict: images in, classes out."""

from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient

from models import checkpoint
from models.preprocessing import decode
from service.responses.predictions import Predictions
from tests.networks import LABELS, encode, picture
from tests.service.conftest import Serve
from tests.service.connections import PREDICT


def parts(*images: bytes, type: str = "image/png") -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("images", (f"{index}.png", image, type)) for index, image in enumerate(images)]


def probabilities(prediction: dict[str, Any]) -> list[float]:
    """In the order of the labels."""
    scores = {each["label"]: each["score"] for each in prediction["top"]}
    return [scores[label] for label in LABELS]


def expected(repository: Path, image: bytes, version: int = 2) -> list[float]:
    """What plain torch answers, without any of the service."""
    loaded = checkpoint.load(repository / "colors" / str(version), torch.device("cpu"))
    spec = loaded.card.input
    with torch.inference_mode():
        logits = loaded.network(spec.normalize(spec.pixels(decode(image)).unsqueeze(0)))
    answer: list[float] = logits.softmax(1)[0].tolist()
    return answer


@pytest.mark.slow
def test_many_images_are_answered_in_order(client: TestClient, repository: Path) -> None:
    images = [encode(picture(seed, size=(20 + seed, 9))) for seed in range(10)]
    answer = client.post(PREDICT, files=parts(*images)).json()
    assert (answer["model"], answer["version"]) == ("colors", 2)
    for image, prediction in zip(images, answer["predictions"], strict=True):
        assert probabilities(prediction) == pytest.approx(expected(repository, image), abs=1e-6)
        assert prediction["label"] == prediction["top"][0]["label"]
        assert prediction["score"] == prediction["top"][0]["score"]


@pytest.mark.parametrize(
    ("format", "type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("BMP", "image/bmp"),
     ("GIF", "image/gif")],
)  # fmt: skip
def test_one_image_as_the_body(
    client: TestClient, repository: Path, format: str, type: str
) -> None:
    image = encode(picture(1), format)
    answer = client.post(PREDICT, content=image, headers={"Content-Type": type})
    assert answer.status_code == 200, answer.text
    [prediction] = answer.json()["predictions"]
    assert probabilities(prediction) == pytest.approx(expected(repository, image), abs=1e-6)


def test_a_version_can_be_chosen(client: TestClient, repository: Path) -> None:
    image = encode(picture(1))
    answer = client.post(PREDICT, files=parts(image), params={"version": 1}).json()
    assert answer["version"] == 1
    [prediction] = answer["predictions"]
    assert probabilities(prediction) == pytest.approx(expected(repository, image, 1), abs=1e-6)


@pytest.mark.parametrize(("top_k", "listed"), [(1, 1), (2, 2), (1000, 3)])
def test_top_k_lists_at_most_all_classes(client: TestClient, top_k: int, listed: int) -> None:
    answer = client.post(PREDICT, files=parts(encode(picture(1))), params={"top_k": top_k})
    [prediction] = answer.json()["predictions"]
    scores = [each["score"] for each in prediction["top"]]
    assert len(scores) == listed
    assert scores == sorted(scores, reverse=True)


def test_parts_without_a_known_type_are_known_by_their_bytes(client: TestClient) -> None:
    for type in ("application/octet-stream", ""):
        answer = client.post(PREDICT, files=parts(encode(picture(1)), type=type))
        assert answer.status_code == 200, answer.text


@pytest.mark.slow
def test_a_large_part_goes_through_a_temporary_file(client: TestClient, repository: Path) -> None:
    image = encode(picture(1, size=(1000, 800)))
    assert len(image) > 2**20
    for request in (
        {"files": parts(image, image)},
        {"content": image, "headers": {"Content-Type": "image/png"}},
    ):
        answer = client.post(PREDICT, **request)
        for prediction in answer.json()["predictions"]:
            wanted = expected(repository, image)
            assert probabilities(prediction) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.slow
def test_a_request_larger_than_a_batch_is_answered(serve: Serve) -> None:
    client = serve(max_batch_size=3)
    images = [encode(picture(seed)) for seed in range(10)]
    together = client.post(PREDICT, files=parts(*images)).json()["predictions"]
    for image, prediction in zip(images, together, strict=True):
        [alone] = client.post(PREDICT, files=parts(image)).json()["predictions"]
        assert probabilities(prediction) == pytest.approx(probabilities(alone), abs=1e-6)


def test_a_mounted_service_answers_the_same(client: TestClient, repository: Path) -> None:
    """FastAPI's route answers where the shortcut doesn't know the path."""
    outer = FastAPI()
    outer.mount("/fanlight", client.app)
    image = encode(picture(1))
    mounted = TestClient(outer)
    mounted.portal = client.portal  # the loop that the service runs on
    good: list[dict[str, Any]] = [
        {"files": parts(image), "params": {"top_k": 2}},
        {"files": parts(image), "params": {"version": 1}},
    ]
    for request in good:
        own, other = client.post(PREDICT, **request), mounted.post(f"/fanlight{PREDICT}", **request)
        assert own.status_code == other.status_code == 200
        assert own.json() == other.json()
        assert own.headers["x-batch-size"] == other.headers["x-batch-size"] == "1"
    bad: list[dict[str, Any]] = [{"params": {"top_k": "x"}}, {"params": {"version": 9}}, {}]
    for request in bad:
        own, other = client.post(PREDICT, **request), mounted.post(f"/fanlight{PREDICT}", **request)
        assert own.json()["detail"] == other.json()["detail"]
        assert own.status_code == other.status_code >= 400


def test_an_answer_is_as_the_document_says(client: TestClient) -> None:
    answer = client.post(PREDICT, files=parts(encode(picture(1)), encode(picture(2))))
    assert answer.headers["content-type"] == "application/json"
    told = Predictions.model_validate_json(answer.content, strict=True)
    assert told.model_dump(exclude_none=True) == answer.json()

"""A client generated from the OpenAPI document uploads the bytes that it was given."""

import hashlib
import importlib
import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings
from tests.e2e.servers import in_thread
from tests.networks import DATA, encode, picture


@pytest.fixture
def app(repository: Path) -> FastAPI:
    return create_app(Settings(repository=repository, device="cpu"))


@pytest.fixture
def generated(app: FastAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the package that openapi-python-client writes for the app."""
    (tmp_path / "openapi.json").write_text(json.dumps(app.openapi()))
    (tmp_path / "config.yaml").write_text("post_hooks: []\n")
    command = [
        *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
        *("--path", "openapi.json", "--config", "config.yaml"),
        *("--output-path", "fanlight_client"),
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    monkeypatch.syspath_prepend(tmp_path)
    return "fanlight_client"


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    """The app on a loopback port, in a thread of this process."""
    with in_thread(app) as url:
        yield url


def test_two_pictures_arrive_byte_for_byte(generated: str, url: str, received: list[str]) -> None:
    client = importlib.import_module(generated).Client(
        base_url=url, raise_on_unexpected_status=True
    )
    with client:
        upload_two_pictures(generated, client, received)


def upload_two_pictures(generated: str, client: Any, received: list[str]) -> None:
    module = importlib.import_module
    file, models = module(f"{generated}.types").File, module(f"{generated}.models")
    assert module(f"{generated}.api.health.ready").sync_detailed(client=client).status_code == 200

    pictures = [
        (DATA / "birds-vs-planes" / "bird-owl.png").read_bytes(),
        encode(picture(5, size=(64, 48)), "JPEG"),
    ]
    body = models.Images(
        images=[
            file(payload=BytesIO(pictures[0]), file_name="owl.png", mime_type="image/png"),
            file(payload=BytesIO(pictures[1]), file_name="noise.jpg", mime_type="image/jpeg"),
        ]
    )
    predict = module(f"{generated}.api.predict.predict").sync
    answer = predict("colors", client=client, body=body, top_k=1)

    assert isinstance(answer, models.Predictions)
    assert [len(prediction.top) for prediction in answer.predictions] == [1, 1]
    assert sorted(received) == sorted(hashlib.sha256(each).hexdigest() for each in pictures)

    received.clear()
    encoded = {"images": [b64encode(each).decode() for each in pictures]}  # by its own HTTP client
    path = "/v1/models/colors/predict?top_k=1"
    assert client.get_httpx_client().post(path, json=encoded).json() == answer.to_dict()
    assert received == [hashlib.sha256(each).hexdigest() for each in pictures]

    body.images[0].payload = BytesIO(b"broken")
    problem = predict("colors", client=client, body=body)
    assert isinstance(problem, models.Problem)
    assert (problem.status, problem.errors[0].filename) == (422, "owl.png")

    card = module(f"{generated}.api.models.get_model").sync("colors", client=client).card
    assert card.labels == ["blue", "green", "red"]

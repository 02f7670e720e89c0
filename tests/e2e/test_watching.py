"""What is published into the folder of a running server is served, by all of its workers."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2 as httpx
import pytest
import torch
from PIL import Image

from models import checkpoint
from service.settings import SHIPPED
from tests.e2e.servers import running
from tests.networks import DATA
from tests.waiting import until

IMAGE = (DATA / "digits" / "7.png").read_bytes()
ROW = 30  # connections that two workers share: that one gets all of them is as good as impossible


def publish(repository: Path, name: str) -> None:
    """The shipped network for digits, as the next version of the model `name`."""
    shipped = checkpoint.load(checkpoint.find(SHIPPED, "mnist"), torch.device("cpu"))
    card = shipped.card
    checkpoint.publish(
        repository,
        shipped.network,
        name=name,
        architecture=card.architecture,
        arguments=card.arguments,
        labels=card.labels,
        input=card.input,
    )


def wait_for_a_row(holds: Callable[[], bool]) -> None:
    """Until it holds `ROW` times one after the other."""
    row, deadline = 0, time.monotonic() + 60
    while row < ROW:
        assert time.monotonic() < deadline
        row = row + 1 if holds() else 0


@pytest.mark.thorough
def test_two_workers_follow_the_folder(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    publish(repository, "digits")
    flags = ("--repository", str(repository), "--workers", "2", "--watch-interval", "0.1")
    with running(tmp_path / "log", *flags) as server:

        def predict(model: str, **params: int) -> httpx.Response:
            url, type = f"{server.url}/v1/models/{model}/predict", {"Content-Type": "image/png"}
            return httpx.post(url, content=IMAGE, headers=type, params=params)

        def version() -> int:
            answer = predict("digits")
            assert answer.status_code == 200, answer.text  # also while others load and go
            assert answer.json()["predictions"][0]["label"] == "7"
            number: int = answer.json()["version"]
            return number

        assert version() == 1
        publish(repository, "digits")
        wait_for_a_row(lambda: version() == 2)
        publish(repository, "numbers")
        wait_for_a_row(lambda: version() == 2 and predict("numbers").status_code == 200)
        shutil.rmtree(repository / "digits" / "1")
        wait_for_a_row(lambda: version() == 2 and predict("digits", version=1).status_code == 404)
        assert httpx.get(f"{server.url}/health/ready").status_code == 200
        assert server.stop() == 0
        assert "error" not in server.log.read_text()


@pytest.mark.thorough
def test_what_is_trained_beside_a_running_server_is_served(tmp_path: Path) -> None:
    """Neither command names a repository: both mean ./checkpoints, which is not there at first."""
    colors = tmp_path / "colors"
    for number, (name, colour) in enumerate({"red": (255, 0, 0), "blue": (0, 0, 255)}.items()):
        (colors / name).mkdir(parents=True)
        for shade in range(12):
            picture = Image.new("RGB", (16, 16), tuple(max(c - 9 * shade, 0) for c in colour))
            picture.save(colors / name / f"{number}-{shade}.png")
    command = [sys.executable, "-m", "fanlight", "fit", "colors", "--epochs", "1"]
    with running(tmp_path / "log", "--watch-interval", "0.1", cwd=tmp_path) as server:

        def names() -> list[str]:
            models = httpx.get(f"{server.url}/v1/models").json()["models"]
            return sorted(each["name"] for each in models)

        shipped = names()
        assert "mnist" in shipped
        done = subprocess.run(
            [*command, "--pretrained", "none"], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "--repository" not in done.stdout

        def is_ready() -> bool:
            image = (colors / "red" / "0-0.png").read_bytes()
            url = f"{server.url}/v1/models/colors/predict"
            return httpx.post(url, files={"images": image}).status_code == 200

        until(is_ready)
        assert names() == sorted([*shipped, "colors"])
        assert server.stop() == 0

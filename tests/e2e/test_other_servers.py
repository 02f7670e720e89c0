"""The application under other servers: the same answers, and one line that says what is missing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from structlog.testing import capture_logs

from service.app import create_app
from service.server.protocol import LimitedHttpProtocol
from service.settings import SHIPPED, Settings
from tests.e2e.servers import Server, free_port, in_thread, running, wait_until_ready
from tests.networks import DATA

IMAGE = (DATA / "digits" / "7.png").read_bytes()
APP = "service.app:from_environment"
SERVERS = {
    "uvicorn": ["uvicorn", "--factory", APP, "--port", "{port}"],
    "uvicorn-h11": ["uvicorn", "--factory", APP, "--port", "{port}", "--http", "h11"],
    "gunicorn": ["gunicorn", "-k", "asgi", "-b", "127.0.0.1:{port}", f"{APP}()"],
    "hypercorn": ["hypercorn", "-b", "127.0.0.1:{port}", f"{APP}()"],
}
PNG = {"content": IMAGE, "headers": {"Content-Type": "image/png"}}
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/models/mnist/predict?top_k=2", PNG),
    ("POST", "/v1/models/mnist/predict", {"files": [("images", IMAGE), ("images", IMAGE)]}),
    ("POST", "/v1/models/mnist/predict", {"files": [("images", b"none")]}),
    ("POST", "/v1/models/mnist/predict", {"content": b"x", "headers": {"Content-Type": "a/b"}}),
    ("POST", "/v1/models/mnist/predict?topk=1", PNG),
    ("POST", "/v1/models/none/predict", PNG),
    ("POST", "/v1/models/mnist/features?layer=penultimate", PNG),
    ("POST", "/v1/models/mnist/explain?method=saliency", PNG),
    ("GET", "/v1/models/mnist", {}),
    ("GET", "/nothing", {}),
    ("PUT", "/v1/models/mnist/predict", {}),
]
VARIES = {"request_id"}
TOLERANCE = 1e-5  # images of one request may be predicted in one batch or in two
PATIENCE = 60  # seconds; the first explanation imports captum, beside other tests


def answers(url: str) -> list[tuple[int, str, Any]]:
    found = []
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        for method, path, request in REQUESTS:
            answer = client.request(method, path, **request)
            told = {key: value for key, value in answer.json().items() if key not in VARIES}
            assert answer.headers["x-request-id"]
            found.append((answer.status_code, answer.headers["content-type"], told))
    return found


def alike(one: Any, other: Any) -> bool:
    """Return whether both have the same parts, and numbers within TOLERANCE."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= TOLERANCE
    return bool(one == other)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model, so that a server starts soon."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(SHIPPED / "mnist", folder / "mnist")
    return folder


@contextmanager
def other(name: str, log: Path, repository: Path) -> Iterator[Server]:
    """That server with our application, once it is ready."""
    port = free_port()
    environment = {
        **os.environ,
        "FANLIGHT_DEVICE": "cpu",
        "FANLIGHT_REPOSITORY": str(repository),
        "FANLIGHT_REQUEST_TIMEOUT": str(PATIENCE),
    }
    command = [sys.executable, "-m", *(each.format(port=port) for each in SERVERS[name])]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stderr=output, stdout=output, env=environment) as process,
    ):
        server = Server(process, f"http://127.0.0.1:{port}", log)
        try:
            wait_until_ready(server)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.fixture(scope="module")
def expected(
    tmp_path_factory: pytest.TempPathFactory, repository: Path
) -> list[tuple[int, str, Any]]:
    """What our own server answers."""
    log = tmp_path_factory.mktemp("own") / "log"
    options = ["--device", "cpu", "--request-timeout", str(PATIENCE)]
    with running(log, *options, "--repository", str(repository)) as server:
        found = answers(server.url)
    assert "other_server" not in log.read_text()
    return found


def test_the_answers_of_plain_uvicorn_are_the_same(repository: Path) -> None:
    settings = Settings(repository=repository, device="cpu", request_timeout=PATIENCE)
    found, told = [], []
    for http in (LimitedHttpProtocol, "h11"):
        with capture_logs() as lines, in_thread(create_app(settings), http) as url:
            found.append(answers(url))
        told.append([each["missing"] for each in lines if each["event"] == "other_server"])
    assert alike(*found), found
    own, [missing] = told
    assert own == []
    assert "the fast path for predictions" in missing


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.thorough
def test_the_answers_are_the_same(
    name: str, expected: list[tuple[int, str, Any]], repository: Path, tmp_path: Path
) -> None:
    if find_spec(SERVERS[name][0]) is None:
        pytest.skip(f"{SERVERS[name][0]} is not installed")
    with other(name, tmp_path / "log", repository) as server:
        found = answers(server.url)
    assert alike(found, expected), f"{found}\n{expected}"
    log = (tmp_path / "log").read_text()
    assert log.count("other_server") == 1
    assert "the fast path for predictions" in log

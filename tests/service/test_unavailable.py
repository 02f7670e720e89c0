"""Errors of good requests: the service is busy, not ready or at fault."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from models.preprocessing import Pixels
from service.inference.batcher import Batcher
from service.inference.engine import PredictionResult
from service.repository import repository as repository_module
from service.repository.loading import Loader
from service.repository.repository import Repository
from tests.networks import encode, picture
from tests.service.conftest import Serve
from tests.service.connections import PREDICT
from tests.service.held_run import HeldRun
from tests.service.test_errors import GOOD, problem
from tests.service.test_predict import parts
from tests.waiting import until


def batcher_of(client: TestClient, version: int | None = None) -> Batcher[Pixels, PredictionResult]:
    repository: Repository = client.app.state.repository  # type: ignore[attr-defined]
    return repository.get("colors", version).batcher


@pytest.mark.slow
def test_429_when_the_queue_is_full(serve: Serve) -> None:
    client = serve(max_images=1, max_queue_size=1)
    batcher = batcher_of(client)
    hold = HeldRun(batcher)
    with ThreadPoolExecutor() as others:
        running = others.submit(client.post, PREDICT, files=parts(GOOD))
        assert hold.started.wait(30)
        waiting = others.submit(client.post, PREDICT, files=parts(GOOD))
        until(lambda: batcher.waiting)
        answer = client.post(PREDICT, files=parts(GOOD))
        hold.let_go.set()
        assert running.result().status_code == waiting.result().status_code == 200
    assert "limit of 1 (setting max_queue_size)" in problem(answer, 429)["detail"]
    assert answer.headers["retry-after"] == "1"


@pytest.mark.slow
def test_429_when_too_many_wait_to_be_decoded(serve: Serve) -> None:
    client = serve(max_images=2, max_queue_size=2)
    client.app.state.decoder.waiting = 1  # type: ignore[attr-defined]
    large = encode(picture(1), "JPEG")  # small plain PNGs don't wait
    for images in ((large,), (GOOD, GOOD), (GOOD, large)):
        assert client.post(PREDICT, files=parts(*images, type="")).status_code == 200
    answer = client.post(PREDICT, files=parts(large, large, type=""))
    assert "limit of 2 (setting max_queue_size)" in problem(answer, 429)["detail"]


@pytest.mark.slow
def test_429_when_bodies_fill_the_room(serve: Serve) -> None:
    client = serve(max_body_bytes=3_000_000, max_held_bytes=4_000_000)
    limits = client.app.state.receiver.limits  # type: ignore[attr-defined]
    large = parts(encode(picture(1, size=(800, 600))), encode(picture(2, size=(800, 600))))
    for _ in range(3):
        assert client.post(PREDICT, files=large).status_code == 200
    assert limits.held == 0
    limits.held = 3_500_000  # as clients that stall would hold
    answer = client.post(PREDICT, files=large)
    assert "4,000,000 bytes (setting max_held_bytes)" in problem(answer, 429)["detail"]
    assert answer.headers["retry-after"] == "1"
    assert limits.held == 3_500_000
    limits.held = 4_000_000
    assert client.post(PREDICT, files=parts(GOOD)).status_code == 200  # small ones still pass


@pytest.mark.slow
class Test500:
    def test_for_a_failing_network(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        client = serve(runtime="torch")
        network = client.app.state.repository.get("colors", None).checkpoint.network  # type: ignore[attr-defined]
        with monkeypatch.context() as broken:
            broken.setattr(network, "forward", lambda *_: [][1])
            answer = client.post(PREDICT, files=parts(GOOD))
        assert "IndexError" not in answer.text
        assert "log" in problem(answer, 500)["detail"]
        assert client.post(PREDICT, files=parts(GOOD)).status_code == 200

    def test_for_what_nobody_expected(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        client = serve()
        monkeypatch.setattr(Repository, "names", lambda _: [][1])
        answer = client.get("/v1/models")
        assert "IndexError" not in answer.text
        assert "request_id" in problem(answer, 500)["detail"]


class Test503:
    @pytest.mark.slow
    def test_while_loading(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        async def forever(self: Loader, name: str, number: int) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(Loader, "load", forever)
        for limit in ("PATIENCE_SECONDS", "EXIT_SECONDS"):
            monkeypatch.setattr(repository_module, limit, 0.2)
        client = serve(wait=False)
        for answer in (
            client.post(PREDICT, files=parts(GOOD)),
            client.get("/health/ready"),
            client.get("/v1/models/colors"),
        ):
            assert "loading" in problem(answer, 503)["detail"]
            assert answer.headers["retry-after"] == "1"
        assert client.get("/health/live").status_code == 200
        [model] = client.get("/v1/models").json()["models"]
        assert [version["state"] for version in model["versions"]] == ["loading", "loading"]

    @pytest.mark.slow
    def test_where_no_version_could_be_loaded(self, serve: Serve, repository: Path) -> None:
        for version in (1, 2):
            (repository / "colors" / str(version) / "weights.pt").write_bytes(b"changed")
        client = serve()
        for answer in (client.post(PREDICT, files=parts(GOOD)), client.get("/health/ready")):
            assert "SHA-256" in problem(answer, 503)["detail"]

    @pytest.mark.slow
    def test_not_where_a_lower_version_answers(self, serve: Serve, repository: Path) -> None:
        (repository / "colors" / "2" / "weights.pt").write_bytes(b"changed")
        client = serve()
        assert client.post(PREDICT, files=parts(GOOD)).json()["version"] == 1
        assert client.get("/health/ready").status_code == 200
        answer = client.post(PREDICT, files=parts(GOOD), params={"version": 2})
        assert "colors/2 failed to load" in problem(answer, 503)["detail"]

    def test_of_an_empty_repository(self, serve: Serve, tmp_path: Path) -> None:
        client = serve(repository=tmp_path)
        assert "holds no models" in problem(client.get("/health/ready"), 503)["detail"]


@pytest.mark.slow
def test_504_when_the_answer_takes_too_long(serve: Serve) -> None:
    client = serve(request_timeout=0.3)
    hold = HeldRun(batcher_of(client))
    answer = client.post(PREDICT, files=parts(GOOD))
    hold.let_go.set()
    assert "within 300 ms (setting request_timeout)" in problem(answer, 504)["detail"]

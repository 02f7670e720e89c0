"""A service whose models lie elsewhere follows them, and goes on while they can't be reached."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from models.remote.address import CACHE, RemoteError
from models.remote.mirror import Mirror, Synced
from tests.networks import publish_tiny
from tests.service.conftest import Serve
from tests.service.repository.test_following import predict, ready, states
from tests.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))


def away(mirror: Mirror, *_: Any, **__: Any) -> Any:
    raise RemoteError(f"{mirror.address} can't be used: no route")


def test_is_followed(serve: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve(repository=Path(f"file://{repository}"), watch_interval=0.05)
    assert states(client) == {"colors": ["ready", "ready"]}
    publish_tiny(repository, "shapes")
    shutil.rmtree(repository / "colors" / "1")
    until(lambda: states(client) == {"colors": ["ready"], "shapes": ["ready"]})
    with capture_logs() as logs, monkeypatch.context() as patch:
        patch.setattr(Mirror, "sync", away)
        until(lambda: "fanlight_repository_failures_total{" in client.get("/metrics").text)
        until(lambda: any(line["event"] == "not fetched" for line in logs))
        assert predict(client).json()["version"] == 2
        assert ready(client)
    told = [line for line in logs if line["event"] == "not fetched"]
    assert len(told) == 1  # once, not at every look
    assert told[0]["repository"] == f"file://{repository}"
    publish_tiny(repository, "late")
    until(lambda: "late" in states(client))


def test_starts_from_the_copies(
    serve: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Path(f"file://{repository}")
    serve(repository=elsewhere, watch_interval=0)
    monkeypatch.setattr(Mirror, "sync", away)
    with capture_logs() as logs:
        client = serve(repository=elsewhere, watch_interval=0)
    assert ready(client)
    assert predict(client).json()["version"] == 2
    assert [line["reason"] for line in logs if line["event"] == "not fetched"]


def test_a_start_without_copies_says_why(serve: Serve, tmp_path: Path) -> None:
    client = serve(repository=Path(f"file://{tmp_path}/absent"), watch_interval=0)
    assert client.get("/health/ready").status_code == 503
    assert "lists no version" in json.dumps(client.get("/health/ready").json())


def test_a_start_waits_for_what_another_process_fetches(
    serve: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.repository.mirrors.BUSY_SECONDS", 0.01)
    sync, calls = Mirror.sync, []

    def late(mirror: Mirror, **options: Any) -> Synced:
        calls.append(options)
        return Synced(is_busy=True) if len(calls) < 4 else sync(mirror, **options)

    monkeypatch.setattr(Mirror, "sync", late)
    client = serve(repository=Path(f"file://{repository}"), watch_interval=0)
    assert states(client) == {"colors": ["ready", "ready"]}

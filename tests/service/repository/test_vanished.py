"""A repository folder that is gone: what answers goes on answering."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from tests.networks import publish_tiny
from tests.service.conftest import Serve
from tests.service.repository.test_following import (
    Gate,
    call,
    predict,
    ready,
    served,
    spoil,
    states,
    update,
)
from tests.service.repository.test_following import still as still


class TestVanishedFolder:
    @pytest.mark.parametrize("mount_point", [False, True])
    def test_goes_on_being_served(
        self, still: TestClient, repository: Path, mount_point: bool
    ) -> None:
        publish_tiny(repository, seed=2)
        spoil(repository / "colors" / "3")
        update(still)
        repository.rename(repository.with_name("elsewhere"))
        if mount_point:
            repository.mkdir()
        with capture_logs() as logs:
            update(still)
            update(still)
        assert predict(still).json()["version"] == 2
        assert predict(still, version=1).status_code == 200
        assert ready(still)
        events = [line["event"] for line in logs]
        assert events == ["not readable", "removed"]  # once; and what answers nothing is forgotten
        assert logs[0]["repository"] == str(repository)

        if mount_point:
            repository.rmdir()
        repository.with_name("elsewhere").rename(repository)
        shutil.rmtree(repository / "colors" / "3")
        publish_tiny(repository, seed=2)
        with capture_logs() as logs:
            update(still)
        assert "readable again" in [line["event"] for line in logs]
        assert predict(still).json()["version"] == 3

    def test_what_loads_goes_on_loading(
        self, serve: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A look that fails in the middle must not make a service ready without its models."""
        publish_tiny(repository, "shapes")
        gate = Gate(monkeypatch)
        with ThreadPoolExecutor(1) as other:
            starting = other.submit(serve, wait=False, watch_interval=0)
            assert gate.reached.wait(30)  # the first version; the others wait
            repository.rename(repository.with_name("elsewhere"))
            gate.opened.set()
            client = starting.result()
        call(client, served(client).loaded)
        assert states(client) == {"colors": ["ready"]}  # what failed is tried again later
        assert "shapes: its folder can't be read" in client.get("/health/ready").json()["detail"]

        repository.with_name("elsewhere").rename(repository)
        update(client)
        assert ready(client)
        assert states(client) == {"colors": ["ready", "ready"], "shapes": ["ready"]}

    def test_nothing_is_served_while_none_can_be_read(self, serve: Serve, repository: Path) -> None:
        spoil(repository / "colors" / "1")
        spoil(repository / "colors" / "2")
        client = serve(watch_interval=0)
        repository.rename(repository.with_name("elsewhere"))
        update(client)
        assert "can't be read" in client.get("/health/ready").json()["detail"]

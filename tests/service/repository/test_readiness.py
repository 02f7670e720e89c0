"""When the service is ready: at its start, while models load, and when one fails."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from tests.networks import publish_tiny
from tests.service.conftest import Serve
from tests.service.repository.test_following import Gate, predict, ready, spoil, states, update
from tests.service.repository.test_following import still as still


class TestReady:
    def test_stays_while_a_new_model_loads_or_fails(
        self, still: TestClient, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = Gate(monkeypatch)
        publish_tiny(repository, "shapes")
        publish_tiny(repository, "sounds")
        spoil(repository / "sounds" / "1")
        with ThreadPoolExecutor() as other:
            updating = other.submit(update, still)
            assert gate.reached.wait(30)
            assert states(still)["shapes"] == ["loading"]
            assert predict(still, "shapes").status_code == 503
            assert ready(still)
            gate.opened.set()
            updating.result()
        assert states(still) == {
            "colors": ["ready", "ready"],
            "shapes": ["ready"],
            "sounds": ["failed"],
        }
        assert ready(still)

    @pytest.mark.parametrize("mend", ["publish", "remove"])
    def test_waits_for_each_model_of_the_start(
        self, serve: Serve, repository: Path, mend: str
    ) -> None:
        publish_tiny(repository, "shapes")
        spoil(repository / "shapes" / "1")
        client = serve(watch_interval=0)
        assert not ready(client)
        if mend == "publish":
            publish_tiny(repository, "shapes")
        else:
            shutil.rmtree(repository / "shapes")
        update(client)
        assert ready(client)
        shutil.rmtree(repository / "shapes", ignore_errors=True)
        update(client)
        publish_tiny(repository, "shapes")
        spoil(repository / "shapes" / "1")
        update(client)
        assert ready(client)  # this one is new

    def test_stays_when_a_model_loses_the_version_that_answered(
        self, serve: Serve, repository: Path
    ) -> None:
        publish_tiny(repository, "shapes")
        spoil(repository / "colors" / "1")
        client = serve(watch_interval=0)
        shutil.rmtree(repository / "colors" / "2")
        update(client)
        assert predict(client).status_code == 503
        assert ready(client)

    def test_comes_with_the_first_model(self, serve: Serve, tmp_path: Path) -> None:
        folder = tmp_path / "later"
        client = serve(repository=folder, watch_interval=0)  # not even a folder
        assert not ready(client)
        publish_tiny(folder)
        spoil(folder / "colors" / "1")
        with capture_logs() as logs:
            update(client)
            update(client)
            assert "SHA-256" in client.get("/health/ready").json()["detail"]
            publish_tiny(folder)
            update(client)
            update(client)
        assert ready(client)
        told = [line["event"] for line in logs if "ready" in line["event"].split()]
        assert told == ["not ready", "ready"]

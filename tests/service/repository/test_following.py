"""A running service follows its folder: new versions are loaded, removed ones let go."""

import asyncio
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from models import checkpoint
from models.checkpoint import Place
from service.app import create_app
from service.errors import UnavailableError
from service.inference.engine import Engine
from service.repository.folder import Folder
from service.repository.repository import Repository
from service.settings import Settings
from tests.networks import SPEC, encode, picture, publish_tiny
from tests.service.conftest import Serve
from tests.service.held_run import HeldRun
from tests.service.test_unavailable import batcher_of

pytestmark = pytest.mark.slow

IMAGE = encode(picture(0))


@pytest.fixture
def still(serve: Serve) -> TestClient:
    """A service that looks at its folder only when told to by `update`."""
    return serve(watch_interval=0)


def served(client: TestClient) -> Repository:
    repository: Repository = client.app.state.repository  # type: ignore[attr-defined]
    return repository


def call(client: TestClient, function: Callable[..., Any], *arguments: Any) -> Any:
    """Run it in the service's event loop."""
    assert client.portal is not None
    return client.portal.call(function, *arguments)


def update(client: TestClient) -> None:
    call(client, served(client).update)


def predict(client: TestClient, model: str = "colors", **params: Any) -> httpx.Response:
    headers = {"Content-Type": "image/png"}
    url = f"/v1/models/{model}/predict"
    answer: httpx.Response = client.post(url, content=IMAGE, headers=headers, params=params)
    return answer


def states(client: TestClient) -> dict[str, list[str]]:
    models = client.get("/v1/models").json()["models"]
    return {model["name"]: [each["state"] for each in model["versions"]] for model in models}


def ready(client: TestClient) -> bool:
    return client.get("/health/ready").status_code == 200


def engines() -> set[str]:
    """The model and version of each engine whose thread runs."""
    names = {thread.name.rpartition("_")[0] for thread in threading.enumerate()}
    return {name for name in names if name.startswith(("colors-", "shapes-"))}


def spoil(version: Path) -> None:
    (version / "weights.pt").write_bytes(b"changed")


def record_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The numbers of the versions that are loaded from now on, as texts."""
    loads: list[str] = []
    load = checkpoint.load

    def recorded(place: Place, *others: Any) -> checkpoint.Checkpoint:
        loads.append(str(place.number))
        return load(place, *others)

    monkeypatch.setattr(checkpoint, "load", recorded)
    return loads


class Gate:
    """Holds the warming of engines until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        warm = Engine.warm

        async def gated(engine: Engine) -> None:
            self.reached.set()
            assert await asyncio.to_thread(self.opened.wait, 30)
            await warm(engine)

        monkeypatch.setattr(Engine, "warm", gated)


class TestNewVersions:
    def test_are_served_by_a_running_service(self, serve: Serve, repository: Path) -> None:
        client = serve(watch_interval=0.01)
        publish_tiny(repository, "shapes")
        publish_tiny(repository, seed=2)
        deadline = time.monotonic() + 30
        while states(client) != {"colors": ["ready"] * 3, "shapes": ["ready"]}:
            assert predict(client).status_code == 200
            assert time.monotonic() < deadline
        assert predict(client).json()["version"] == 3
        assert predict(client, "shapes").json()["version"] == 1

    def test_answer_only_once_they_are_ready(
        self, still: TestClient, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = Gate(monkeypatch)
        publish_tiny(repository, seed=2)
        with ThreadPoolExecutor() as other:
            updating = other.submit(update, still)
            assert gate.reached.wait(30)
            assert states(still) == {"colors": ["ready", "ready", "loading"]}
            assert predict(still).json()["version"] == 2
            assert "still loading" in predict(still, version=3).json()["detail"]
            assert ready(still)
            gate.opened.set()
            updating.result()
        assert predict(still).json()["version"] == 3
        assert predict(still, version=2).json()["version"] == 2

    def test_are_loaded_from_the_highest_down(
        self, still: TestClient, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The highest is what most clients ask for."""
        loads = record_loads(monkeypatch)
        publish_tiny(repository, seed=2)
        publish_tiny(repository, seed=3)
        update(still)
        assert loads == ["4", "3"]

    def test_may_be_removed_while_they_load(
        self, still: TestClient, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = Gate(monkeypatch)
        publish_tiny(repository, seed=2)
        with ThreadPoolExecutor() as other:
            updating = other.submit(update, still)
            assert gate.reached.wait(30)
            shutil.rmtree(repository / "colors" / "3")
            gate.opened.set()
            updating.result()
        assert predict(still, version=3).status_code == 404
        assert engines() == {"colors-1", "colors-2"}

    def test_that_fail_leave_the_older_one_answering(
        self, still: TestClient, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish_tiny(repository, seed=2)
        spoil(repository / "colors" / "3")
        loads = record_loads(monkeypatch)
        for _ in range(3):
            update(still)
            assert states(still) == {"colors": ["ready", "ready", "failed"]}
            assert predict(still).json()["version"] == 2
            assert "SHA-256" in predict(still, version=3).json()["detail"]
            assert ready(still)
        assert loads == ["3"]  # not tried again while its folder is there

        shutil.rmtree(repository / "colors" / "3")
        update(still)
        assert states(still) == {"colors": ["ready", "ready"]}
        publish_tiny(repository, seed=2)
        update(still)
        assert predict(still).json()["version"] == 3

    def test_are_not_seen_where_watching_is_off(self, still: TestClient, repository: Path) -> None:
        publish_tiny(repository, seed=2)
        assert not served(still).watching
        assert states(still) == {"colors": ["ready", "ready"]}

    def test_are_seen_also_after_errors(
        self, serve: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = serve(watch_interval=0.01)
        errors = ["can't start new thread"] * 3 + ["and now another"]
        over = threading.Event()
        wanted = Folder.wanted

        def failing(folder: Folder, answering: set[tuple[str, int]]) -> set[tuple[str, int]]:
            if errors:
                raise RuntimeError(errors.pop(0))
            over.set()
            return wanted(folder, answering)

        with capture_logs() as logs:
            monkeypatch.setattr(Folder, "wanted", failing)
            assert over.wait(30)
        assert [line["event"] for line in logs] == ["not updated"] * 2  # each kind once
        publish_tiny(repository, seed=2)
        deadline = time.monotonic() + 30
        while predict(client).json()["version"] != 3:
            assert time.monotonic() < deadline


class TestRemovedVersions:
    def test_do_not_answer_any_more(self, still: TestClient, repository: Path) -> None:
        shutil.rmtree(repository / "colors" / "2")
        with capture_logs() as logs:
            update(still)
        answer = predict(still, version=2)
        assert answer.status_code == 404
        assert answer.json()["detail"] == "no version 2 of 'colors'; there are: 1"
        assert predict(still).json()["version"] == 1
        [line] = [line for line in logs if line["event"] == "removed"]
        assert (line["model"], line["version"]) == ("colors", 2)

    def test_leave_no_model_behind_with_the_last(self, still: TestClient, repository: Path) -> None:
        publish_tiny(repository, "shapes")
        update(still)
        for version in ("1", "2"):
            shutil.rmtree(repository / "colors" / version)  # its folder stays, and is empty
        update(still)
        assert states(still) == {"shapes": ["ready"]}
        assert predict(still).status_code == 404
        assert ready(still)
        shutil.rmtree(repository / "shapes")
        update(still)
        assert states(still) == {}
        assert not ready(still)

    def test_give_back_thread_and_memory(self, still: TestClient, repository: Path) -> None:
        network = weakref.ref(served(still).get("colors", 2).checkpoint.network)
        assert predict(still, version=2).status_code == 200
        assert engines() == {"colors-1", "colors-2"}
        shutil.rmtree(repository / "colors" / "2")
        update(still)
        assert engines() == {"colors-1"}
        deadline = time.monotonic() + 30
        while network() is not None:  # the thread that closed the engine lets go of it last
            assert time.monotonic() < deadline

    def test_make_room_before_others_are_loaded(
        self, still: TestClient, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found: list[set[str]] = []
        warm = Engine.warm

        async def recorded(engine: Engine) -> None:
            found.append(engines())
            await warm(engine)

        monkeypatch.setattr(Engine, "warm", recorded)
        publish_tiny(repository, seed=2)
        shutil.rmtree(repository / "colors" / "2")
        update(still)
        assert found == [{"colors-1"}]

    def test_finish_what_they_have_begun(self, still: TestClient, repository: Path) -> None:
        hold = HeldRun(batcher_of(still, 2))
        with ThreadPoolExecutor() as other:
            running = other.submit(predict, still, version=2)
            assert hold.started.wait(30)
            shutil.rmtree(repository / "colors" / "2")
            update(still)
            assert predict(still, version=2).status_code == 404
            hold.let_go.set()
            answer = running.result()
        assert (answer.status_code, answer.json()["version"]) == (200, 2)
        update(still)
        assert engines() == {"colors-1"}

    def test_answer_who_chose_them_before(self, still: TestClient, repository: Path) -> None:
        """Between the choice and the batch lie the body and its decoding."""
        chosen = served(still).get("colors", 2)
        with chosen.lease:
            shutil.rmtree(repository / "colors" / "2")
            update(still)
            [answer] = call(still, chosen.batcher.submit, [SPEC.array(picture(0))])
        assert sum(answer.probabilities) == pytest.approx(1)
        update(still)
        assert engines() == {"colors-1"}

    def test_are_closed_while_somebody_still_knows_them(
        self, still: TestClient, repository: Path
    ) -> None:
        """A reference (in a traceback, a debugger) keeps no engine running: only a lease does."""
        known = served(still).get("colors", 2)
        shutil.rmtree(repository / "colors" / "2")
        update(still)
        assert engines() == {"colors-1"}
        with pytest.raises(UnavailableError):
            call(still, known.batcher.submit, [SPEC.array(picture(0))])

    def test_end_with_the_service_if_someone_holds_them(self, repository: Path) -> None:
        app = create_app(Settings(repository=repository, device="cpu", watch_interval=3600))
        with TestClient(app) as client:
            call(client, served(client).loaded)
            chosen = served(client).get("colors", 2)
            chosen.lease.__enter__()
            shutil.rmtree(repository / "colors" / "2")
            update(client)
            assert engines() == {"colors-1", "colors-2"}
        assert engines() == set()
        assert chosen.checkpoint.card.version == 2

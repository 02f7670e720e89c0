"""Files that hang, as those of a network file system do: only what needs them waits."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from models import checkpoint
from models.checkpoint import Checkpoint, Place
from service.app import create_app
from service.repository import changes as changes_module
from service.repository import places as places_module
from service.repository import repository as repository_module
from service.repository.folder import Folder
from service.settings import Settings
from tests.networks import encode, picture, publish_tiny
from tests.service.conftest import Serve
from tests.service.repository.test_following import predict, ready, served, states, update
from tests.waiting import until

pytestmark = pytest.mark.slow


class Hang:
    """Holds calls for whose arguments `is_held` is true, until `release`."""

    def __init__(self, function: Callable[..., Any], is_held: Callable[..., bool]) -> None:
        self._function, self._is_held = function, is_held
        self.begun, self._released = threading.Event(), threading.Event()

    def __call__(self, *arguments: Any) -> Any:
        if self._is_held(*arguments):
            self.begun.set()
            assert self._released.wait(60)
        return self._function(*arguments)

    def release(self) -> None:
        self._released.set()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository_module, "ASIDE_SECONDS", 0.05)
    monkeypatch.setattr(repository_module, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(places_module, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(places_module, "BESIDE_SECONDS", 0.2)
    monkeypatch.setattr(repository_module, "EXIT_SECONDS", 0.2)
    monkeypatch.setattr(changes_module, "PATIENCE_SECONDS", 0.2)


def held(place: Place, *_: object) -> bool:
    return (place.name, place.number) == ("colors", 2)


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hang]:
    """Holds whoever loads version 2 of `colors`."""
    hang = Hang(checkpoint.load, held)
    monkeypatch.setattr(checkpoint, "load", hang)
    yield hang
    hang.release()


def until_updated(client: TestClient, expected: dict[str, list[str]]) -> None:
    """Update until the states are as expected: on a busy machine, one update may not suffice."""

    def is_so() -> bool:
        update(client)
        return states(client) == expected

    until(is_so)


class TestVersion:
    def test_holds_up_no_other(self, serve: Serve, repository: Path, hang: Hang) -> None:
        publish_tiny(repository, "shapes")
        with capture_logs() as logs:
            client = serve(watch_interval=0)
        expected = {"colors": ["ready", "loading"], "shapes": ["ready"]}
        until(lambda: states(client) == expected)  # a busy machine is slow with others too
        assert "slow to read, or the network is large" in versions(client)[1]["reason"]
        assert predict(client).json()["version"] == 1
        assert "still loading" in predict(client, version=2).json()["detail"]
        assert ready(client)
        slow = [(e["model"], e["version"]) for e in logs if e["event"] == "slow to load"]
        assert slow.count(("colors", 2)) == 1  # a busy machine may be slow with others too
        hang.release()
        until(lambda: predict(client).json()["version"] == 2)  # also where nobody watches
        assert "reason" not in versions(client)[1]

    def test_that_hangs_may_be_removed_and_published_anew(
        self, serve: Serve, repository: Path, hang: Hang
    ) -> None:
        client = serve(watch_interval=3600)
        shutil.rmtree(repository / "colors" / "2")
        until_updated(client, {"colors": ["ready"]})
        publish_tiny(repository, "shapes")
        until_updated(client, {"colors": ["ready"], "shapes": ["ready"]})
        hang.release()

    def test_does_not_keep_the_service_from_ending(self, repository: Path, hang: Hang) -> None:
        app = create_app(Settings(repository=repository, device="cpu"))
        with TestClient(app):
            assert hang.begun.wait(30)

    def test_of_which_many_hang_takes_no_more_threads(
        self, serve: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(repository_module, "MAX_READING", 2)
        calls: list[str] = []
        load = checkpoint.load

        def recorded(place: Place, *others: Any) -> Checkpoint:
            calls.append(str(place.number))
            return load(place, *others)

        hang = Hang(recorded, lambda *_: True)
        monkeypatch.setattr(checkpoint, "load", hang)
        for seed in range(2, 5):
            publish_tiny(repository, seed=seed)
        before = threading.active_count()
        client = serve(watch_interval=0)
        assert states(client) == {"colors": ["loading"] * 5}
        assert threading.active_count() < before + 12
        hang.release()
        until(lambda: states(client) == {"colors": ["ready"] * 5})
        assert sorted(calls) == ["1", "2", "3", "4", "5"]


def test_a_folder_that_hangs_stops_nothing(
    serve: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(watch_interval=3600)
    hang = Hang(Folder.wanted, lambda *_: True)
    monkeypatch.setattr(Folder, "wanted", lambda *arguments: hang(*arguments))
    publish_tiny(repository, seed=2)
    with capture_logs() as logs:
        update(client)
        update(client)
    assert [line["event"] for line in logs] == ["folder does not answer"]
    assert predict(client).json()["version"] == 2
    hang.release()

    def is_new() -> bool:
        update(client)
        return bool(predict(client).json()["version"] == 3)

    until(is_new)


def test_a_folder_that_hangs_at_the_start(
    serve: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = Hang(Folder.wanted, lambda *_: True)
    monkeypatch.setattr(Folder, "wanted", lambda *arguments: hang(*arguments))
    client = serve(watch_interval=0.01)
    assert "does not answer" in client.get("/health/ready").json()["detail"]
    hang.release()
    until(lambda: ready(client))


def versions(client: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/v1/models").json()["models"][0]["versions"]
    return found


class TestChangedFolder:
    """Of a version that answers."""

    def test_is_told_and_goes_on_answering(self, serve: Serve, repository: Path) -> None:
        client = serve(watch_interval=3600)
        weights = repository / "colors" / "2" / "weights.pt"
        content = weights.read_bytes()
        weights.write_bytes(b"changed")
        with capture_logs() as logs:
            update(client)
            update(client)
        [version] = [line["version"] for line in logs if line["event"] == "changed"]
        assert version == 2  # a busy machine may tell more, such as what is slow to load
        first, second = versions(client)
        assert "warnings" not in first
        assert "weights.pt is not the one that was loaded; what was" in second["warnings"][0]
        figure = 'fanlight_model_changed{model="colors",version="2"} '
        assert f"{figure}1.0" in client.get("/metrics").text
        assert predict(client).json()["version"] == 2
        weights.write_bytes(content)
        update(client)
        assert "warnings" not in versions(client)[1]
        assert f"{figure}0.0" in client.get("/metrics").text

    def test_that_hangs_keeps_no_other_from_being_noticed(
        self, serve: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = serve(watch_interval=3600)
        hang = Hang(checkpoint.changes, held)
        monkeypatch.setattr(checkpoint, "changes", hang)
        (repository / "colors" / "1" / "card.json").unlink()
        update(client)
        update(client)
        assert "card.json was removed" in versions(client)[0]["warnings"][0]
        (repository / "colors" / "2" / "card.json").unlink()
        hang.release()

        def is_noticed() -> bool:
            update(client)
            return "warnings" in versions(client)[1]

        until(is_noticed)

    def test_of_which_the_disk_is_gone_is_not_called_changed(
        self, serve: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = serve(watch_interval=3600)

        def broken(*_: object) -> Any:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(checkpoint, "changes", broken)
        update(client)
        assert not any("warnings" in each for each in versions(client))
        assert predict(client).status_code == 200


def test_a_failed_version_is_counted(serve: Serve, repository: Path) -> None:
    (repository / "colors" / "2" / "weights.pt").write_bytes(b"changed")
    client = serve(watch_interval=3600)
    figure = 'fanlight_model_failed{model="colors",version="2"} '
    assert f"{figure}1.0" in client.get("/metrics").text
    shutil.rmtree(repository / "colors" / "2")
    update(client)
    assert f"{figure}0.0" in client.get("/metrics").text
    assert served(client).names() == ["colors"]


def test_what_is_loaded_needs_no_disk(
    serve: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or one that is gone: answers need none."""
    client = serve(watch_interval=0.01)
    image = {"images": ("a.png", encode(picture(0)), "image/png")}
    expected = client.post("/v1/models/colors/predict", files=image).json()

    def full(*_: object, **__: object) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        patch.setattr("os.scandir", full)
        shutil.move(repository, repository.with_name("elsewhere"))
        for _ in range(20):
            assert client.post("/v1/models/colors/predict", files=image).json() == expected
    assert [each["state"] for each in versions(client)] == ["ready", "ready"]

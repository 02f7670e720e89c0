"""Several repositories: of each model, the first that has it serves it."""

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from models.checkpoint import Place
from service.repository import places as places_module
from service.repository.folder import Folder
from service.repository.places import Places
from tests.networks import publish_tiny
from tests.service.conftest import Serve
from tests.service.repository.test_following import predict, ready, spoil, states, update


def folder(path: Path, *versions: str) -> Path:
    for version in ("", *versions):
        (path / version).mkdir(parents=True, exist_ok=True)
    return path


def look(places: Places, held: set[Place] | None = None) -> set[str]:
    found = asyncio.run(places.wanted(held or set()))
    return {f"{each.root.name}/{each.name}/{each.number}" for each in found}


class TestPlaces:
    def test_an_earlier_one_hides_the_model_whole(self, tmp_path: Path) -> None:
        a, b = folder(tmp_path / "a", "m/1"), folder(tmp_path / "b", "m/1", "m/7", "n/1")
        c = folder(tmp_path / "c", "n/2", "o/1", "m/draft")
        places = Places((a, b, c), 100)
        with capture_logs() as logs:
            assert look(places) == {"a/m/1", "b/n/1", "c/o/1"}
            look(places)
        told = [(line["model"], line["by"]) for line in logs if line["event"] == "hidden"]
        assert told == [("m", str(a)), ("n", str(b))]
        shutil.rmtree(a / "m" / "1")  # a model without versions hides nothing
        with capture_logs() as logs:
            assert look(places) == {"b/m/1", "b/m/7", "b/n/1", "c/o/1"}
        assert [line["event"] for line in logs] == ["no longer hidden"]

    def test_one_inside_the_other_is_no_model_of_it(self, tmp_path: Path) -> None:
        a = folder(tmp_path / "a", "m/1", "inner/n/1")
        assert look(Places((a, a / "inner"), 100)) == {"a/m/1", "inner/n/1"}

    def test_one_that_is_to_come_is_no_trouble(self, tmp_path: Path) -> None:
        a, b = tmp_path / "a", folder(tmp_path / "b", "m/1")
        places = Places((a, b), 100, optional=(a,))
        with capture_logs() as logs:
            assert look(places) == {"b/m/1"}
        assert (logs, places.readable(a)) == ([], True)
        folder(a, "m/3")
        assert look(places) == {"a/m/3"}

    def test_one_that_goes_keeps_what_answers(self, tmp_path: Path) -> None:
        a, b = folder(tmp_path / "a", "m/1"), folder(tmp_path / "b", "m/1", "n/1")
        places = Places((a, b), 100)
        held = {Place(a, "m", 1), Place(b, "n", 1)}
        look(places)
        a.rename(tmp_path / "away")
        with capture_logs() as logs:
            assert look(places, held) == {"a/m/1", "b/n/1"}
        assert [line["event"] for line in logs] == ["not readable"]
        (tmp_path / "away").rename(a)
        assert look(places, held) == {"a/m/1", "b/n/1"}
        assert places.readable(a)

    def test_a_file_is_told_and_stops_no_other(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        with capture_logs() as logs:
            assert look(Places((tmp_path / "a", folder(tmp_path / "b", "m/1")), 100)) == {"b/m/1"}
        assert [line["event"] for line in logs] == ["not readable"]

    def test_no_more_versions_than_allowed_of_all(self, tmp_path: Path) -> None:
        a, b = folder(tmp_path / "a", "m/1", "m/2"), folder(tmp_path / "b", "n/1", "n/2")
        assert look(Places((a, b), 2)) == {"a/m/2", "b/n/2"}

    def test_one_that_hangs_holds_up_no_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a, b = folder(tmp_path / "a", "m/1"), folder(tmp_path / "b", "m/2")
        released = threading.Event()
        wanted: Callable[..., set[tuple[str, int]]] = Folder.wanted

        def hanging(folder: Folder, held: set[tuple[str, int]]) -> set[tuple[str, int]]:
            if folder.path == a:
                assert released.wait(60)
            return wanted(folder, held)

        monkeypatch.setattr(Folder, "wanted", hanging)
        monkeypatch.setattr(places_module, "BESIDE_SECONDS", 0.1)

        async def follow() -> None:
            places = Places((a, b), 100)
            assert await places.wanted(set()) == {Place(b, "m", 2)}
            assert list(places.silent) == [a]
            released.set()
            await asyncio.wait(list(places.silent.values()))
            assert await places.wanted(set()) == {Place(a, "m", 1)}

        asyncio.run(follow())


class TestReplaced:
    """`colors` of the fixture `repository`, and another of the same name in an earlier folder."""

    @pytest.mark.slow
    def test_answers_until_another_can(
        self, serve: Serve, repository: Path, tmp_path: Path
    ) -> None:
        first = tmp_path / "first"
        client = serve(repository=[folder(first), repository], watch_interval=0)
        assert predict(client).json()["version"] == 2
        publish_tiny(first, labels=("red", "green", "blue"), seed=5)
        spoil(first / "colors" / "1")
        update(client)
        assert states(client) == {"colors": ["failed"]}
        told = client.get("/v1/models").json()["models"][0]["versions"][0]["reason"]
        assert told.endswith("in another repository goes on answering")
        assert str(tmp_path) not in told
        assert predict(client).json()["version"] == 2
        assert ready(client)
        publish_tiny(first, labels=("red", "green", "blue"), seed=5)
        update(client)
        assert states(client) == {"colors": ["failed", "ready"]}
        assert predict(client, version=1).status_code == 503
        shutil.rmtree(first / "colors")
        update(client)
        assert states(client) == {"colors": ["ready", "ready"]}
        assert predict(client, version=1).status_code == 200

"""Bad versions, and swaps under load: what answers is right, and the states say what is."""

import asyncio
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from benchmarks.soak.bad_versions import BAD, publish_bad
from benchmarks.soak.connection import Connection
from benchmarks.soak.oracle import SWAPPED, Oracle, publish
from benchmarks.soak.process import Service
from tests.faults.asking import ask, ask_anew, connected, request
from tests.faults.conftest import Start
from tests.waiting import until, until_async

pytestmark = pytest.mark.anyio
CLIENTS, SWAPS = 8, 3
LATER = {  # kinds that have tests of their own
    "outputs that are infinite for most images",
    "weights are a FIFO",
}


@pytest.fixture(scope="module")
def folder(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of the service that the tests of bad versions share."""
    return Path(shutil.copytree(published, tmp_path_factory.mktemp("versions") / "models"))


@pytest.fixture(scope="module")
def service(start: Start, folder: Path) -> Iterator[Service]:
    with start(folder, "--runtime", "torch") as service:  # which needs no export
        yield service


def publish_next(repository: Path, known: Oracle) -> int:
    """Which network it is follows from the number, as the oracle expects."""
    taken = max(int(each.name) for each in (repository / SWAPPED).glob("[0-9]*"))
    return publish(repository, SWAPPED, known.networks["even" if taken % 2 else "odd"])


def is_in_state(service: Service, number: int, state: str) -> bool:
    told = service.versions(SWAPPED)
    return number in told and told[number]["state"] == state


@pytest.mark.parametrize("kind", sorted(BAD.keys() - LATER))
async def test_a_bad_version_is_called_failed_and_the_one_before_answers(
    service: Service, folder: Path, oracle: Oracle, kind: str
) -> None:
    before = await ask_anew(service, oracle, SWAPPED)
    number = publish_bad(folder, SWAPPED, kind)
    until(lambda: number in service.versions(SWAPPED))
    until(lambda: not is_in_state(service, number, "loading"))
    try:
        told = service.versions(SWAPPED)[number]
        assert told["state"] == "failed"
        assert told["reason"]
        assert service.metric("fanlight_model_ready", model=SWAPPED, version=str(number)) in (
            0,
            None,
        )
        assert await ask_anew(service, oracle, SWAPPED) == before
        assert service.is_ready()
        assert not (folder / SWAPPED / "ran").exists()  # a program among the weights
        good = publish_next(folder, oracle)
        until(partial(is_in_state, service, good, "ready"))
        assert await ask_anew(service, oracle, SWAPPED) == good
    finally:
        shutil.rmtree(folder / SWAPPED / str(number))
        until(lambda: number not in service.versions(SWAPPED))


async def test_answers_are_right_while_versions_are_swapped(
    start: Start, repository: Path, oracle: Oracle
) -> None:
    """The versions' networks differ in their labels: an answer of the wrong one is seen."""
    with start(repository) as service:
        seen: set[int] = set()
        over = asyncio.Event()

        async def keep_asking(connection: Connection) -> None:
            while not over.is_set():
                seen.add(await ask(connection, oracle, SWAPPED))

        async with connected(service, CLIENTS) as connections:
            asking = [asyncio.create_task(keep_asking(each)) for each in connections]
            try:
                for _ in range(SWAPS):
                    old = max(seen, default=1)
                    number = await asyncio.to_thread(publish_next, repository, oracle)
                    await until_async(lambda number=number: number in seen)  # type: ignore[misc]
                    shutil.rmtree(repository / SWAPPED / str(old))
                    versions = partial(service.versions, SWAPPED)
                    while old in await asyncio.to_thread(versions):
                        assert not any(task.done() for task in asking)
            finally:
                over.set()
                await asyncio.gather(*asking)
        assert seen == set(range(1, SWAPS + 2))


@pytest.mark.thorough
async def test_a_version_with_infinite_outputs_is_not_an_internal_error(
    start: Start, repository: Path, oracle: Oracle
) -> None:
    with start(repository) as service:
        number = publish_bad(repository, SWAPPED, "outputs that are infinite for most images")
        until(lambda: number in service.versions(SWAPPED))
        until(lambda: not is_in_state(service, number, "loading"))
        async with connected(service) as [connection]:
            answer = await connection.ask(request(oracle, SWAPPED))
        assert answer.status in (200, 422, 503)
        if answer.status == 200:
            assert await ask_anew(service, oracle, SWAPPED) == 1


@pytest.mark.thorough
async def test_a_version_that_never_ends_loading_holds_up_no_other(
    start: Start, repository: Path, oracle: Oracle
) -> None:
    """Nobody writes into the FIFO: who opens it to read waits for ever."""
    with start(repository) as service:
        publish_bad(repository, "colours", "weights are a FIFO")
        until(lambda: 2 in service.versions("colours"))
        good = publish_next(repository, oracle)
        until(partial(is_in_state, service, good, "ready"), 10)
        assert await ask_anew(service, oracle, SWAPPED) == good
        assert await ask_anew(service, oracle, "colours") == 1

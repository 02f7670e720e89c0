"""It ends: what was accepted is answered, nothing is routed to it any more, no process is left."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.soak import figures
from benchmarks.soak.oracle import Oracle
from benchmarks.soak.process import Service, end_all
from tests.faults.asking import answered, ask, ask_anew, connected, request
from tests.faults.conftest import Start
from tests.waiting import until, until_async

pytestmark = pytest.mark.anyio
ONE = pytest.param("1", marks=pytest.mark.thorough)
MORE = pytest.param("2", marks=pytest.mark.thorough)


@pytest.mark.parametrize("workers", ["1", MORE])
async def test_it_ends_with_exit_code_0(
    start: Start, published: Path, oracle: Oracle, workers: str
) -> None:
    with start(published, "--workers", workers) as service:
        async with connected(service, 4) as connections:  # which are idle when it ends
            for connection in connections:
                await ask(connection, oracle)
            assert service.stop() == 0


@pytest.mark.parametrize("workers", [ONE, "2"])
async def test_what_was_accepted_is_answered_before_the_end(
    start: Start, published: Path, oracle: Oracle, workers: str
) -> None:
    """Half of the body is there when the signal comes, the rest comes after it."""
    sent = request(oracle)
    half = len(sent) - 20
    with start(published, "--workers", workers) as service:
        async with connected(service, 8) as connections:
            for connection in connections:
                await ask(connection, oracle)
                connection.send(sent[:half])
            os.kill(service.pid, signal.SIGTERM)
            await until_async(lambda: is_ending(service))
            for connection in connections:
                assert await answered(connection, oracle, "steady", sent[half:]) == 1
        assert service.process.wait(60) in (0, -signal.SIGTERM)


def is_ending(service: Service) -> bool:
    """New requests are not taken any more, or are told so."""
    try:
        return service.get("/health/ready", 1)[0] == 503
    except OSError:
        return True


async def test_ready_says_no_before_the_end(start: Start, published: Path, oracle: Oracle) -> None:
    sent = request(oracle)
    with start(published, "--shutdown-grace", "3") as service:
        async with connected(service) as [busy]:
            await ask(busy, oracle)
            busy.send(sent[:-20])
            os.kill(service.pid, signal.SIGTERM)
            await until_async(lambda: is_ending(service))
            assert service.get("/health/ready")[0] == 503
            assert await answered(busy, oracle, "steady", sent[-20:]) == 1


@contextmanager
def watched(service: Service) -> Iterator[list[int]]:
    """The processes of the service; those that are left at the end are ended here."""
    tree = [service.pid, *figures.descendants(service.pid)]
    try:
        yield tree
    finally:
        end_all(tree)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.thorough
async def test_no_process_is_left_after_the_end(
    start: Start, published: Path, oracle: Oracle, workers: str
) -> None:
    with start(published, "--workers", workers) as service:
        await ask_anew(service, oracle, "colours")
        with watched(service) as tree:
            service.stop()
            until(lambda: not any(map(figures.is_alive, tree)), 10)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.thorough
async def test_no_process_is_left_when_the_supervisor_is_killed(
    start: Start, published: Path, oracle: Oracle, workers: str
) -> None:
    """Else the port stays taken, by workers that nobody replaces."""
    with start(published, "--workers", workers) as service:
        await ask_anew(service, oracle, "colours")
        with watched(service) as tree:
            service.process.kill()
            service.process.wait(10)
            until(lambda: not any(map(figures.is_alive, tree)), 15)

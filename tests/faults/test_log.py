"""Nobody reads the log, or it can't be written: the service answers as before, and says so."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.soak.oracle import SWAPPED, Oracle, publish
from tests.faults.asking import ask, ask_anew, connected
from tests.faults.conftest import Start
from tests.waiting import until, until_async

pytestmark = pytest.mark.anyio
REQUESTS = 2000  # whose lines are more than a pipe holds


@pytest.mark.thorough
async def test_a_log_that_nobody_reads_stops_nothing(
    start: Start, published: Path, oracle: Oracle
) -> None:
    reader, writer = os.pipe()
    with start(published, stderr=writer) as service, os.fdopen(reader, "rb") as log:
        os.close(writer)
        async with asyncio.timeout(60), connected(service) as [connection]:
            for _ in range(REQUESTS):
                async with asyncio.timeout(5):
                    await ask(connection, oracle)
            assert (await asyncio.to_thread(service.get, "/health/live"))[0] == 200
            lines: list[bytes] = []
            threading.Thread(target=lambda: lines.extend(log), daemon=True).start()
            await until_async(lambda: len(lines) > 0)
            before = len(lines)
            await ask(connection, oracle)
            await until_async(lambda: len(lines) > before)
        service.stop()
        until(lambda: lines[-1].endswith(b"\n"))
        assert all(isinstance(json.loads(line), dict) for line in lines)


@contextmanager
def full_disk() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@contextmanager
def broken_pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize(
    "broken",
    [pytest.param(full_disk, id="full disk"), pytest.param(broken_pipe, id="nobody there")],
)
@pytest.mark.thorough
async def test_a_log_that_can_not_be_written_falsifies_nothing(
    start: Start, repository: Path, oracle: Oracle, broken: object
) -> None:
    assert callable(broken)
    with broken() as log, start(repository, stderr=log) as service:
        for model in ("steady", "colours", SWAPPED):
            assert await ask_anew(service, oracle, model) == 1
            assert service.versions(model)[1]["state"] == "ready"
        publish(repository, SWAPPED, oracle.networks["even"])
        for _ in range(8):
            until(lambda: service.versions(SWAPPED).get(2, {}).get("state") == "ready", 10)
        assert await ask_anew(service, oracle, SWAPPED) == 2
        assert service.is_ready()

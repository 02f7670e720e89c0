"""A worker dies, hangs, or can't start: the others answer, and it is replaced or given up."""

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from benchmarks.soak import figures
from benchmarks.soak.connection import Connection, LostError, close_all
from benchmarks.soak.oracle import SWAPPED, Oracle, publish
from benchmarks.soak.process import Service
from tests.faults.asking import ask, ask_anew
from tests.faults.conftest import Start
from tests.waiting import until

pytestmark = pytest.mark.anyio
TWO = ("--workers", "2")
CONNECTIONS = 20  # of each worker


def stop(worker: int) -> None:
    os.kill(worker, signal.SIGSTOP)
    until(lambda: figures.state(worker) == "T")


@asynccontextmanager
async def connected_to(
    worker: int, service: Service, oracle: Oracle
) -> AsyncIterator[list[Connection]]:
    """Connections that this worker holds."""
    with service.only(worker):
        made = [await Connection.open(service.port) for _ in range(CONNECTIONS)]
        for connection in made:
            await ask(connection, oracle)
    assert {each.port for each in made} <= figures.connections(worker, service.port)
    try:
        yield made
    finally:
        await close_all(made)


def is_replaced(service: Service, worker: int) -> bool:
    workers = service.workers()
    return worker not in workers and len(workers) == 2 and service.answers(workers[-1])


@pytest.mark.thorough
async def test_a_killed_worker_takes_only_its_own_connections_with_it(
    start: Start, published: Path, oracle: Oracle
) -> None:
    with start(published, *TWO) as service:
        survivor, victim = service.workers()
        async with (
            connected_to(survivor, service, oracle) as others,
            connected_to(victim, service, oracle) as its_own,
        ):
            stop(victim)
            await ask_anew(service, oracle)  # nobody waits behind the one that is stopped
            os.kill(victim, signal.SIGKILL)
            for connection in its_own:
                with pytest.raises(LostError):
                    await ask(connection, oracle)
            for connection in others:
                await ask(connection, oracle)
            until(lambda: is_replaced(service, victim), 60)
            assert survivor in service.workers()
            await ask_each(service, oracle)


@pytest.mark.thorough  # tests/service/server/test_supervisor.py has it in short
async def test_a_worker_that_hangs_is_replaced(
    start: Start, published: Path, oracle: Oracle
) -> None:
    with start(published, *TWO, "--worker-timeout", "3") as service:
        victim = service.workers()[-1]
        until(partial(service.answers, victim), 60)
        stop(victim)
        await ask_anew(service, oracle)
        until(lambda: victim not in service.workers() and len(service.workers()) == 2, 60)
        await ask_each(service, oracle)


@pytest.mark.thorough
def test_what_a_killed_worker_served_is_not_told_for_ever(
    start: Start, repository: Path, oracle: Oracle
) -> None:
    """The figures of all workers are summed from files; those of a dead one have to go."""
    with start(repository, *TWO) as service:
        victim = service.workers()[-1]
        os.kill(victim, signal.SIGKILL)
        until(lambda: is_replaced(service, victim), 60)
        publish_next(repository, oracle)
        shutil.rmtree(repository / SWAPPED / "1")
        for worker in service.workers():
            until(partial(serves, service, worker, 2))
        told = {"model": SWAPPED, "version": "1"}
        until(lambda: not service.metric("fanlight_model_ready", **told), 10)


async def ask_each(service: Service, oracle: Oracle) -> None:
    """Every worker answers rightly."""
    for worker in service.workers():
        with service.only(worker):
            await ask_anew(service, oracle)


def serves(service: Service, worker: int, version: int) -> bool:
    """Whether the worker serves this version of `swapped` and no other."""
    with service.only(worker):
        return list(service.versions(SWAPPED)) == [version]


def publish_next(repository: Path, known: Oracle) -> None:
    assert publish(repository, SWAPPED, known.networks["even"]) == 2


@pytest.mark.thorough
def test_a_service_whose_workers_can_not_start_ends(start: Start, published: Path) -> None:
    """Without memory no worker gets to where it could answer: the service says so and ends."""
    limits = {resource.RLIMIT_AS: 650 * 2**20}  # the supervisor takes some 620
    with start(published, *TWO, limits=limits, wait=False) as service:
        try:
            status = service.process.wait(120)  # three starts, each of which may take ten seconds
        except subprocess.TimeoutExpired:
            pytest.fail("it starts workers again and again")
        assert status > 0

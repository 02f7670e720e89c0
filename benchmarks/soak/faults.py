"""What goes wrong during a soak: each fault is a function, registered under its name.

A fault does its harm while the load goes on, and waits until the service reacts as promised. It
raises `BrokenPromiseError` if the service does not.
"""

import asyncio
import os
import random
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.soak import figures, oracle
from benchmarks.soak.bad_versions import publish_bad
from benchmarks.soak.connection import Connection, LostError, close_all, form, post
from benchmarks.soak.kinds import OVERLOADED
from benchmarks.soak.oracle import LAYER, SWAPPED, Oracle
from benchmarks.soak.process import NeverError, Service, wait_for
from benchmarks.soak.record import BrokenPromiseError, Record
from models import checkpoint
from models.registry import markdown_table

AGREED = 12  # answers in a row over new connections, until all workers are believed to agree
SOON = 120  # seconds that a service may take to load a version, or to replace a worker
_HELD = 3.0  # seconds that a flood lasts
_QUIETLY_BAD = ("truncated weights", "one byte changed", "the card is no JSON", "no weights")
Found = TypeVar("Found")


@dataclass
class Site:
    """The service and the repository that a fault may harm, and the record of what it saw."""

    service: Service
    repository: Path
    oracle: Oracle
    record: Record
    chance: random.Random

    async def wait(
        self, promise: str, what: str, condition: Callable[[], Found], seconds: float = SOON
    ) -> Found:
        """Run `wait_for` in a thread. Raises `BrokenPromiseError` if the condition never holds."""
        try:
            return await asyncio.to_thread(wait_for, what, condition, seconds)
        except NeverError as error:
            raise BrokenPromiseError(promise, str(error)) from error

    def agree(self, condition: Callable[[], bool]) -> bool:
        """Return True if the condition holds `AGREED` times: each call may reach another worker."""
        try:
            return all(condition() for _ in range(AGREED))
        except OSError:  # a worker that was just killed
            return False


Inject = Callable[[Site], Awaitable[None]]
FAULTS: dict[str, Inject] = {}


def fault(name: str) -> Callable[[Inject], Inject]:
    def register(inject: Inject) -> Inject:
        FAULTS[name] = inject
        return inject

    return register


@fault("a version is swapped")
async def _swap(site: Site) -> None:
    """A new version is published, answers everywhere, and the ones before are removed."""
    started = time.perf_counter()
    folder = site.repository / SWAPPED
    old = checkpoint.versions(folder)
    network = ("even", "odd")[(max(old) + 1) % 2]
    publish = partial(oracle.publish, site.repository, SWAPPED, site.oracle.networks[network])
    number = await asyncio.to_thread(publish)
    assert number % 2 == (network == "odd")
    await site.wait("swaps", f"version {number} answers", partial(_answers, site, number))
    site.record.took("a new version answers everywhere", time.perf_counter() - started)
    for each in old:
        shutil.rmtree(folder / str(each))
    await site.wait(
        "swaps", f"versions {old} are gone", lambda: site.agree(lambda: _gone(site.service, old))
    )


@fault("a bad version is published")
async def _bad_version(site: Site) -> None:
    """It is called failed, with the reason; the version before goes on answering."""
    kind = site.chance.choice(_QUIETLY_BAD)
    number = await asyncio.to_thread(publish_bad, site.repository, SWAPPED, kind)
    state = partial(_state, site.service, number)
    await site.wait(
        "truth", f"version {number}, {kind}: failed", lambda: site.agree(state("failed"))
    )
    told = await asyncio.to_thread(site.service.versions, SWAPPED)
    if not told[number].get("reason"):
        raise BrokenPromiseError("truth", f"no reason for version {number}, {kind}: {told}")
    shutil.rmtree(site.repository / SWAPPED / str(number))
    await site.wait("swaps", f"version {number} is gone", lambda: _gone(site.service, [number]))


@fault("a worker is killed")
async def _kill(site: Site) -> None:
    """SIGKILL for the youngest; what it held is lost, and nothing else."""
    workers = site.service.workers()
    if len(workers) < 2:
        return
    _harm(site, workers[-1])
    os.kill(workers[-1], signal.SIGKILL)
    await _replaced(site, workers, "a killed worker is replaced")


@fault("a worker hangs")
async def _hang(site: Site) -> None:
    """SIGSTOP for the youngest, which nobody lets go on: it is found and replaced."""
    workers = site.service.workers()
    if len(workers) < 2:
        return
    _harm(site, workers[-1])
    await _replaced(site, workers, "a worker that hangs is replaced")


@fault("nobody reads the log")
async def _unread(site: Site) -> None:
    """The pipe of the log is full, as with a log collector that hangs."""
    with site.service.log.unread():
        await asyncio.sleep(_HELD)


@fault("the repository is out of reach")
async def _no_repository(site: Site) -> None:
    """What is loaded goes on answering, and the folder is followed again once it is back."""
    away = site.repository.with_name("away")
    site.repository.rename(away)
    try:
        await asyncio.sleep(_HELD)
    finally:
        away.rename(site.repository)
    await site.wait("ready", "ready again", lambda: site.agree(site.service.is_ready))


@fault("a flood of requests")
async def _flood(site: Site) -> None:
    """Far more than can be answered: each gets an answer all the same, right or refused."""
    [picture] = site.chance.choices(site.oracle.pictures["colours"])
    body, type = form(*[picture.encoded] * 64)
    request = post("/v1/models/colours/predict", body, type)
    end = time.perf_counter() + _HELD

    async def push() -> None:
        connection = await Connection.open(site.service.port)
        try:
            while time.perf_counter() < end:
                for _ in range(8):
                    connection.send(request)
                for _ in range(8):
                    answer = await connection.answer()
                    site.record.note("of a flood", str(answer.status))
                    if answer.status != 200 and answer.status not in OVERLOADED:
                        raise BrokenPromiseError("truth", f"a flood got {answer.status}")
        except LostError as error:
            if connection.port not in site.record.excused:
                raise BrokenPromiseError("nothing lost", f"in a flood: {error}") from error
        finally:
            connection.abort()

    await asyncio.gather(*(push() for _ in range(32)))


@fault("a flood of connections")
async def _connections(site: Site) -> None:
    """Hundreds that send nothing, and hundreds whose head never ends."""
    opened = await asyncio.gather(
        *(Connection.open(site.service.port) for _ in range(600)), return_exceptions=True
    )
    made = [each for each in opened if isinstance(each, Connection)]
    end = time.perf_counter() + _HELD
    while time.perf_counter() < end:
        for slow in made[::2]:
            with suppress(LostError):  # given up by the service, or gone with its worker
                slow.send(b"GET /health/live HTTP/1.1\r\n" if slow.port % 2 else b"X")
        await asyncio.sleep(0.5)
    await close_all(made)


@fault("clients that don't read")
async def _unread_answers(site: Site) -> None:
    """Large answers pile up for clients that never take them."""
    pictures = site.oracle.pictures["steady"]
    body, type = form(*(site.chance.choice(pictures).encoded for _ in range(32)))
    request = post(f"/v1/models/steady/features?layer={LAYER}&values=true", body, type)
    slow = [await Connection.open(site.service.port, receive_buffer=4096) for _ in range(8)]
    for each in slow:
        for _ in range(3):
            with suppress(LostError):
                each.send(request)
    await asyncio.sleep(_HELD)
    await close_all(slow)


@fault("large bodies")
async def _large(site: Site) -> None:
    """Megabytes that are no image, all at once."""
    body = site.chance.randbytes(2**20)

    async def send() -> None:
        connection = await Connection.open(site.service.port)
        try:
            for _ in range(3):
                answer = await connection.ask(post("/v1/models/steady/predict", body))
                if answer.status not in (413, 415, 422, *OVERLOADED):
                    raise BrokenPromiseError("truth", f"noise of 1 MiB got {answer.status}")
                if answer.closes:
                    return
        except LostError:  # refused before it was read
            pass
        finally:
            connection.abort()

    await asyncio.gather(*(send() for _ in range(24)))


def _harm(site: Site, victim: int) -> None:
    """Stop a worker by SIGSTOP, and excuse the loss of the connections that it holds."""
    os.kill(victim, signal.SIGSTOP)
    wait_for("the worker is stopped", lambda: figures.state(victim) == "T", 5)
    site.record.excused |= figures.connections(victim, site.service.port)


async def _replaced(site: Site, before: list[int], what: str) -> None:
    """Wait until the youngest of the workers `before` is replaced, and record how long it took."""
    started = time.perf_counter()

    def replaced() -> bool:
        """Return True if the new worker holds connections, so that it has loaded and takes load."""
        workers = site.service.workers()
        return (
            before[-1] not in workers
            and len(workers) == len(before)
            and bool(figures.connections(workers[-1], site.service.port))
        )

    await site.wait("workers", what, replaced)
    site.record.took(what, time.perf_counter() - started)


def _answers(site: Site, number: int) -> bool:
    """Whether every worker has answered one of its clients with this version."""
    held = (figures.connections(pid, site.service.port) for pid in site.service.workers())
    return all(any(site.record.seen.get(port) == number for port in ports) for ports in held)


def _state(service: Service, number: int, state: str) -> Callable[[], bool]:
    def holds() -> bool:
        told = service.versions(SWAPPED)
        return number in told and told[number]["state"] == state

    return holds


def _gone(service: Service, numbers: list[int]) -> bool:
    return not set(numbers) & service.versions(SWAPPED).keys()


def table() -> str:
    """Return the faults, with the docstrings of their functions, as a Markdown table."""
    rows = [[name, _sentence(inject)] for name, inject in FAULTS.items()]
    return markdown_table(["fault", "what happens, and what has to"], rows)


def _sentence(inject: Inject) -> str:
    return " ".join((inject.__doc__ or "").split())

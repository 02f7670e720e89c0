"""One soak: rounds of load with every fault in each, and a quiet look at the service after each."""

import asyncio
import math
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.soak import figures, kinds, oracle
from benchmarks.soak.connection import Connection, LostError
from benchmarks.soak.faults import FAULTS, SOON, Site
from benchmarks.soak.kinds import Kind, Visit
from benchmarks.soak.oracle import SWAPPED, Oracle
from benchmarks.soak.process import NeverError, Service, wait_for
from benchmarks.soak.record import BrokenPromiseError, Record, Sample
from models import checkpoint

TASKS = "fanlight_event_loop_tasks"
_AT_ONCE = 3  # seconds for an answer while the other workers stand still
_ANEW = 0.01  # of the requests are the last of their connection, so that new workers get some
_PROBE = 0.1  # seconds between two looks whether the service lives
_SETTLED = 20  # looks in a row that show the same


@dataclass(frozen=True)
class Options:
    requests: int = 1_000_000
    minutes: float = math.inf  # at most, but for the round that is begun
    a_round: int = 40_000  # requests, at least: a round ends when its faults are over too
    connections: int = 48
    workers: int = 2
    seed: int = 0
    faults: tuple[str, ...] = tuple(FAULTS)


def publish(repository: Path, known: Oracle) -> None:
    """Publish the models that a soak sends requests to."""
    for name in ("steady", "colours"):
        oracle.publish(repository, name, known.networks[name])
    oracle.publish(repository, SWAPPED, known.networks["odd"])


def flags(repository: Path, workers: int) -> tuple[str, ...]:
    """Return the flags of the service. The graphs of its networks are kept beside `repository`."""
    folders = ("--repository", repository, "--graph-cache", repository.with_name("graphs"))
    return tuple(
        map(
            str,
            (*folders, "--workers", workers, "--watch-interval", "0.5", "--request-timeout", 20),
        )
    )


async def soak(service: Service, repository: Path, known: Oracle, options: Options) -> Record:
    """Run rounds until enough requests are answered or the time is up. Needs a ready service."""
    record = Record()
    chance = random.Random(f"faults {options.seed}")
    site = Site(service, repository, known, record, chance)
    began = time.perf_counter()
    number = 0
    while record.requests < options.requests and time.perf_counter() - began < 60 * options.minutes:
        number += 1
        await _round(site, options, f"{options.seed} {number}")
        record.samples.append(await asyncio.to_thread(_quiet_look, site, began))
        record.excused.clear()
        record.seen.clear()
        _tell(number, record)
    return record


async def _round(site: Site, options: Options, seed: str) -> None:
    record = site.record
    least = record.requests + options.a_round
    over = asyncio.Event()  # the faults

    async def harm() -> None:
        try:
            for name in site.chance.sample(options.faults, len(options.faults)):
                try:
                    await FAULTS[name](site)
                except BrokenPromiseError as broken:
                    record.breaks(broken.promise, f"{name}: {broken}")
                except LostError as lost:
                    record.breaks("nothing lost", f"{name}: {lost}")
        finally:
            over.set()

    def more() -> Iterator[int]:
        number = 0
        while record.requests < least or not over.is_set():
            number += 1
            yield number

    numbers = more()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(harm())
        prober = tasks.create_task(_probe(site))
        visitors = [
            tasks.create_task(_visit(site, random.Random(f"{seed} {each}"), numbers))
            for each in range(options.connections)
        ]
        await asyncio.wait(visitors)
        prober.cancel()


async def _visit(site: Site, chance: random.Random, numbers: Iterator[int]) -> None:
    """Send requests one after the other, over a connection that is kept as long as possible."""
    visit: Visit | None = None
    for _ in numbers:
        kind = kinds.choose(chance)
        visit = await _ask(site, kind, visit, chance)
        if visit is not None and (visit.connection.is_over or chance.random() < _ANEW):
            visit.connection.abort()
            visit = None
    if visit is not None:
        visit.connection.abort()


async def _ask(site: Site, kind: Kind, visit: Visit | None, chance: random.Random) -> Visit | None:
    """Send a request, record its outcome, and return the visit; None if its connection ended."""
    record = site.record
    try:
        if visit is None:
            connection = await Connection.open(site.service.port)
            visit = Visit(connection, site.service.port, site.oracle, chance, record.seen)
        record.note(kind.name, await kind.ask(visit))
        return visit
    except BrokenPromiseError as broken:
        record.note(kind.name, "wrong")
        record.breaks(broken.promise, f"{kind.name}: {broken}")
    except LostError as lost:
        if visit is not None and visit.connection.port in record.excused:
            record.note(kind.name, "lost with its worker")
        else:
            record.note(kind.name, "lost")
            record.breaks("nothing lost", f"{kind.name}: {lost}")
    except OSError as error:  # of a connection of its own, which broke while it was written to
        record.note(kind.name, f"broke off, {type(error).__name__}")
    if visit is not None:
        visit.connection.abort()
    return None


async def _probe(site: Site) -> None:
    """Ask /health/live again and again, on a new connection each time, and record failures."""
    request = b"GET /health/live HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n"
    while True:
        started = time.perf_counter()
        connection = None
        try:
            connection = await Connection.open(site.service.port)
            answer = await connection.ask(request)
            if answer.status != 200:
                site.record.breaks("lives", f"/health/live says {answer.status}")
            site.record.took("health/live", time.perf_counter() - started)
        except LostError as lost:
            if connection is None or connection.port not in site.record.excused:
                site.record.breaks("lives", str(lost))
        finally:
            if connection is not None:
                connection.abort()
        await asyncio.sleep(_PROBE)


def _quiet_look(site: Site, began: float) -> Sample:
    """Wait until open files are constant, check each worker, and return the service's figures."""
    service, record = site.service, site.record
    oldest = service.workers()[0]
    with suppress(NeverError):  # its figures will show it
        wait_for("nothing changes", lambda: _is_settled(oldest), SOON)
    there = set(checkpoint.versions(site.repository / SWAPPED))
    exposition = ""
    for worker in service.workers():
        try:
            wait_for("every worker answers", partial(service.answers, worker), SOON)
            with service.only(worker):
                told = set(service.versions(SWAPPED, _AT_ONCE))
                exposition = exposition or service.get("/metrics", _AT_ONCE)[1].decode()
        except (NeverError, OSError) as error:
            record.breaks("workers", f"one that nobody harmed: {error}")
        else:
            if told != there:
                record.breaks("truth", f"a worker serves versions {told}; {there} are there")
    return Sample(
        record.requests,
        time.perf_counter() - began,
        figures.of(service.pid),
        figures.of(oldest),
        _gauges(exposition, oldest),
    )


def _is_settled(pid: int) -> bool:
    first = figures.of(pid)
    for _ in range(_SETTLED):
        time.sleep(0.05)
        if figures.of(pid).files != first.files:
            return False
    return True


def _gauges(exposition: str, oldest: int) -> dict[str, float]:
    """Return gauges by name, summed over labels; gauges with a pid only of the oldest worker."""
    names = {
        line.split()[2]
        for line in exposition.splitlines()
        if line.startswith("# TYPE fanlight") and line.endswith(" gauge")
    }
    sums: dict[str, float] = {}
    for name, labels, value in figures.metrics(exposition):
        if name in names and labels.get("pid", str(oldest)) == str(oldest):
            sums[name] = sums.get(name, 0) + value
    return sums


def _tell(number: int, record: Record) -> None:
    last = record.samples[-1]
    own = last.oldest
    print(
        f"round {number}: {last.requests:,} requests, {last.seconds:.0f} s, "
        f"{last.requests / last.seconds:.0f}/s; {own.resident:.0f} MiB, {own.files} files, "
        f"{own.threads} threads; broken promises: {dict(record.broken) or 'none'}",
        flush=True,
    )

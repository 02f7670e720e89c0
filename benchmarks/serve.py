"""The service on one core, beside its limit, a bare echo and a tutorial's server, in one run.

The load generator runs on another core. Ratios of one run are what counts: machines differ, and
virtual ones vary from minute to minute. `--quick` takes a second a figure, for a look.
"""

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.serving import limits, load
from benchmarks.serving.limits import Limit
from benchmarks.serving.load import Result
from benchmarks.serving.workloads import Workload, publish, workloads

UVICORN = ("-m", "uvicorn", "--log-level", "error", "--no-access-log")


@dataclass(frozen=True)
class Server:
    url: str
    process: "subprocess.Popen[bytes]"
    ready_after: float  # seconds

    @property
    def resident(self) -> float:
        """Megabytes, of the process and its children; NaN where the system doesn't tell."""
        tree = [self.process.pid, *_children(self.process.pid)]
        return sum(_resident(pid) for pid in tree)


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in path.read_text().split()] if path.exists() else []


def _resident(pid: int) -> float:
    path = Path(f"/proc/{pid}/status")
    if not path.exists():
        return float("nan")
    line = next(line for line in path.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@contextmanager
def running(
    arguments: tuple[str, ...], path: str, cores: set[int], env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server of ours on these cores, once `path` answers; it ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *arguments, "--port", str(port)]
    started, before = time.perf_counter(), _pinned()
    _pin(0, cores)  # the child inherits it, and counts its processors when it starts
    with subprocess.Popen(command, env={**os.environ, **(env or {})}) as process:  # noqa: S603
        _pin(0, before)
        url = f"http://127.0.0.1:{port}"
        try:
            while not _answers(url + path):
                if process.poll() is not None or time.perf_counter() - started > 120:
                    raise RuntimeError(f"{' '.join(command)} doesn't answer")
                time.sleep(0.02)
            yield Server(url, process, time.perf_counter() - started)
        finally:
            process.terminate()
            process.wait(30)


def _pinned() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _pin(pid: int, cores: set[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, cores)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as answer:  # noqa: S310 (loopback)
            return bool(answer.status == 200)
    except OSError as error:
        return getattr(error, "code", 0) in (404, 405, 422)


class Benchmark:
    """All measurements of one run; the server on the first core, the load on the second."""

    def __init__(self, seconds: float, repository: Path) -> None:
        self._seconds, self._repository = seconds, repository
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0, 0]
        self._core, self._other = {cores[0]}, {cores[-1]}

    def service(
        self, workers: int = 1, cores: set[int] | None = None
    ) -> AbstractContextManager[Server]:
        arguments = ("-m", "service", "--repository", str(self._repository))
        quiet = ("--log-level", "error", "--workers", str(workers), "--max-images", "256")
        return running((*arguments, *quiet), "/health/ready", cores or self._core)

    def tutorial(self, model: str) -> AbstractContextManager[Server]:
        env = {"BENCHMARK_CHECKPOINT": str(self._repository / model / "1"), "OMP_NUM_THREADS": "1"}
        return running((*UVICORN, "benchmarks.serving.tutorial:app"), "/docs", self._core, env)

    def echo(self) -> AbstractContextManager[Server]:
        arguments = (*UVICORN, "--lifespan", "off", "benchmarks.serving.echo:app")
        return running(arguments, "/", self._core)

    def closed(self, url: str, workload: Workload, *, raw: bool) -> Result:
        body, kind = (workload.image, workload.media_type) if raw else workload.multipart
        connections, seconds = workload.connections, self._seconds
        if shutil.which("wrk"):
            _pin(0, self._other)
            return load.by_wrk(url, body, kind, connections=connections, seconds=seconds)
        return self._on_the_other(
            load.closed(url, body, kind, connections=connections, seconds=seconds)
        )

    def _on_the_other(self, work: Coroutine[Any, Any, Result]) -> Result:
        _pin(0, self._other)
        return asyncio.run(work)

    def limit(self, workload: Workload) -> Limit:
        """Measured in a process of its own on the server's core."""
        with get_context("spawn").Pool(1, _pin, (0, self._core)) as pool:
            return pool.apply(limits.measure, (workload, self._repository))

    def throughput(self) -> None:
        """Images a second of each workload, as parts of the limit and times the tutorial."""
        print(f"{'':30}{'images/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}{'of limit':>10}")
        for workload in workloads():
            limit = self.limit(workload)
            with self.echo() as server:
                echo = self.closed(f"{server.url}/", workload, raw=workload.images == 1)
            with self.tutorial(workload.model) as server:
                tutorial = self.closed(f"{server.url}/predict", workload, raw=False)
            with self.service() as server:
                url = f"{server.url}/v1/models/{workload.model}/predict"
                own = {"multipart": self.closed(url, workload, raw=False)}
                if workload.images == 1:
                    own["raw body"] = self.closed(url, workload, raw=True)
                memory = server.resident
            alone = 1e6 / (limit.decode + limit.best)
            http = 1e6 / echo.rate / workload.images
            together = 1e6 / (http + limit.decode + limit.best)
            print(f"{workload.name}: {workload.about}, {workload.connections} connections")
            print(
                f"  limit: decode {limit.decode:.0f} µs, forward {limit.forward[1]:.0f} µs alone, "
                f"{limit.best:.0f} µs at best; HTTP {http:.0f} µs an image"
            )
            print(f"{'  decode and forward alone':30}{alone:10.0f}")
            print(f"{'  with HTTP':30}{together:10.0f}{'':26}{1:10.2f}")
            for name, result in (("tutorial", tutorial), *own.items()):
                rate = result.rate * workload.images
                print(
                    f"{'  ' + name:30}{rate:10.0f}{result.p50:9.1f}"
                    f"{result.p99:9.1f}{result.errors:8}{rate / together:10.2f}"
                )
            for name, result in own.items():
                print(f"  {name}: {result.rate / tutorial.rate:.1f} times the tutorial's server")
            print(f"  memory {memory:.0f} MB\n", flush=True)

    def single(self) -> None:
        """W1, one request at a time, beside echo, decoding and a forward pass of one."""
        first = replace(workloads()[0], connections=1)
        limit = self.limit(first)
        with self.echo() as server:
            echo = self.closed(f"{server.url}/", first, raw=True).p50
        with self.service() as server:
            url = f"{server.url}/v1/models/{first.model}/predict"
            own = self.closed(url, first, raw=True).p50
        least = echo + (limit.decode + limit.forward[1]) / 1000
        print("W1, raw body, one request at a time")
        print(f"  echo {echo:.2f} ms, with decoding and a forward pass {least:.2f} ms")
        print(f"  ours {own:.2f} ms, {own / least:.2f} times that\n", flush=True)

    def latency(self) -> None:
        """Open loop, W1 as a raw body: latency at parts of the peak rate."""
        first = workloads()[0]
        with self.service() as server:
            url = f"{server.url}/v1/models/{first.model}/predict"
            peak = self.closed(url, first, raw=True).rate
            print(f"W1, raw body, open loop; the peak is {peak:.0f} a second")
            for part in (0.1, 0.5, 0.8):
                kind, seconds = first.media_type, self._seconds
                result = self._on_the_other(
                    load.open_loop(url, first.image, kind, rate=part * peak, seconds=seconds)
                )
                print(
                    f"  at {part:4.0%}: p50 {result.p50:7.1f} ms, "
                    f"p99 {result.p99:7.1f} ms, errors {result.errors}"
                )
            waited = asyncio.run(load.admission(url, first.image, kind, connections=64))
            print(
                f"new connections under full load: the first after {waited[0]:.0f} ms, "
                f"the 64th after {waited[-1]:.0f} ms\n",
                flush=True,
            )

    def crowd(self) -> None:
        """W5: singles beside requests of many images, against singles alone."""
        single, many = workloads()[0], replace(workloads()[1], images=256)
        with self.service() as server:
            url = f"{server.url}/v1/models/{single.model}/predict"

            async def singles(beside: bool) -> Result:
                (body, kind), seconds = many.multipart, self._seconds
                image, own = single.image, single.media_type
                asked = [load.closed(url, image, own, connections=16, seconds=seconds)]
                if beside:
                    asked.append(load.closed(url, body, kind, connections=2, seconds=seconds))
                return (await asyncio.gather(*asked))[0]

            _pin(0, self._other)
            alone, beside = asyncio.run(singles(False)), asyncio.run(singles(True))
        print("W5: 16 clients of one image, alone and beside two of 256")
        for name, result in (("alone", alone), ("beside", beside)):
            middle, high = result.p50, result.p99
            print(f"  {name:8} p50 {middle:7.1f} ms, p99 {high:7.1f} ms")
        ratio = beside.p99 / alone.p99
        print(f"  p99 {ratio:.1f} times as long\n", flush=True)

    def workers(self) -> None:
        """W1 as a raw body by one and by two processes, on all cores, the load beside them."""
        first = workloads()[0]
        rates = []
        for count in (1, 2):
            with self.service(count, self._core | self._other) as server:
                url = f"{server.url}/v1/models/{first.model}/predict"
                rates.append(self.closed(url, first, raw=True).rate)
                print(
                    f"{count} workers: {rates[-1]:.0f} a second, ready after "
                    f"{server.ready_after:.1f} s, {server.resident:.0f} MB"
                )
        print(f"  two workers: {rates[1] / rates[0]:.2f} times one\n", flush=True)

    def start(self) -> None:
        """From process start to ready, beside an import of torch; and with more models."""
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        bare = time.perf_counter() - started
        print(f"import torch alone: {bare:.2f} s")
        for copies in (1, 10, 50):
            with tempfile.TemporaryDirectory() as folder:
                publish(Path(folder), copies)
                other = Benchmark(self._seconds, Path(folder))
                with other.service() as server:
                    print(
                        f"{copies + 2:3} models: ready after {server.ready_after:.2f} s, "
                        f"{server.resident:.0f} MB",
                        flush=True,
                    )
        print()


PARTS = ("throughput", "single", "latency", "crowd", "workers", "start")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks serve", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=5, help="that each figure takes")
    parser.add_argument("--quick", action="store_true", help="a second each")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as folder:
        publish(Path(folder))
        benchmark = Benchmark(1 if arguments.quick else arguments.seconds, Path(folder))
        for part in arguments.parts or PARTS:
            getattr(benchmark, part)()


if __name__ == "__main__":
    main()

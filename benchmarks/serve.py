"""The service on one core, beside its limit, a bare echo and a tutorial's server, in one run.

The load generator runs on another core. Ratios of one run are what counts: machines differ, and
virtual ones vary from minute to minute. So all that is compared is measured in turns, some rounds
of it, and the median of the rounds is told. `--quick` takes one round of a second a figure.
`--against COMMIT` measures only the service, beside that of another commit.
"""

import argparse
import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

from benchmarks.serving import limits, load
from benchmarks.serving.limits import Limit
from benchmarks.serving.load import Result
from benchmarks.serving.started import HERE, commit
from benchmarks.serving.workloads import Workload, publish, publish_many, workloads

UVICORN = ("-m", "uvicorn", "--log-level", "error", "--no-access-log")


@dataclass(frozen=True)
class Server:
    url: str
    process: "subprocess.Popen[bytes]"
    ready_after: float  # seconds

    @property
    def resident(self) -> float:
        """Return the resident MiB of the process and its children; NaN if /proc is missing."""
        tree = [self.process.pid, *_children(self.process.pid)]
        return sum(_resident(pid) for pid in tree)

    def mean(self, figure: str) -> float:
        """Return the mean of a histogram in /metrics over all models; NaN if it is empty."""
        with urlopen(f"{self.url}/metrics", timeout=5) as answer:  # noqa: S310 (loopback)
            lines = answer.read().decode().splitlines()
        total, count = (
            sum(float(line.split()[-1]) for line in lines if line.startswith(f"{figure}_{part}{{"))
            for part in ("sum", "count")
        )
        return total / count if count else float("nan")


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
    arguments: tuple[str, ...],
    path: str,
    cores: set[int],
    env: Mapping[str, str] | None = None,
    checkout: Path = HERE,
) -> Iterator[Server]:
    """Start a server on these cores, and yield it once `path` answers. It ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *arguments, "--port", str(port)]
    started, before = time.perf_counter(), _pinned()
    _pin(0, cores)  # the child inherits it, and counts its processors when it starts
    environment = {**os.environ, **(env or {})}
    with subprocess.Popen(command, cwd=checkout, env=environment) as process:  # noqa: S603
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
    """All measurements of one run, with the server on the first core and the load on the last."""

    def __init__(self, seconds: float, rounds: int, repository: Path) -> None:
        self._seconds, self._rounds, self._repository = seconds, rounds, repository
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0, 0]
        self._core, self._other = {cores[0]}, {cores[-1]}

    def service(
        self,
        workers: int = 1,
        cores: set[int] | None = None,
        cache: Path | None = None,
        checkout: Path = HERE,
    ) -> AbstractContextManager[Server]:
        """Start the service. `cache` is the folder of its graphs, by default beside its models."""
        graphs = cache or self._repository.with_name("graphs")
        arguments = ("-m", "service", "--repository", self._repository, "--graph-cache", graphs)
        quiet = ("--log-level", "error", "--workers", workers, "--max-images", 256)
        command = tuple(map(str, (*arguments, *quiet)))
        return running(command, "/health/ready", cores or self._core, checkout=checkout)

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

    @contextmanager
    def limits(self, workload: Workload) -> Iterator[Callable[[], Limit]]:
        """Yield a function that measures the limit, in a process on the server's core."""
        with get_context("spawn").Pool(1, _pin, (0, self._core)) as pool:
            yield lambda: pool.apply(limits.measure, (workload, self._repository))

    def throughput(self) -> None:
        """Print the images a second of each workload, beside the limit and the tutorial server."""
        print(f"{'':30}{'images/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}{'of limit':>10}")
        for workload in workloads():
            self._throughput(workload)

    def _throughput(self, workload: Workload) -> None:
        images, raw = workload.images, workload.images == 1
        found: dict[str, list[Result]] = defaultdict(list)
        least: list[Limit] = []
        with (
            self.limits(workload) as limit,
            self.echo() as echo,
            self.tutorial(workload.model) as tutorial,
            self.service() as service,
        ):
            url = f"{service.url}/v1/models/{workload.model}/predict"
            for _ in range(self._rounds):
                least.append(limit())
                found["echo"].append(self.closed(f"{echo.url}/", workload, raw=raw))
                predict = f"{tutorial.url}/predict"
                found["tutorial"].append(self.closed(predict, workload, raw=False))
                found["multipart"].append(self.closed(url, workload, raw=False))
                if raw:
                    found["raw body"].append(self.closed(url, workload, raw=True))
            memory, batch = service.resident, service.mean("fanlight_batch_images")
        alone = [1e6 / (each.decode + each.best) for each in least]
        http = [1e6 / echo.rate / images for echo in found.pop("echo")]
        together = [1e6 / (h + 1e6 / a) for h, a in zip(http, alone, strict=True)]
        decode = median(each.decode for each in least)
        single = median(each.forward[1] for each in least)
        best = median(each.best for each in least)
        print(f"{workload.name}: {workload.about}, {workload.connections} connections")
        print(
            f"  limit: decode {decode:.0f} µs, forward {single:.0f} µs alone, {best:.0f} µs at "
            f"best; HTTP {median(http):.0f} µs an image"
        )
        for name, rates in (("decode and forward alone", alone), ("with HTTP", together)):
            part = median(rate / most for rate, most in zip(rates, together, strict=True))
            print(f"{'  ' + name:30}{median(rates):10.0f}{'':26}{part:10.2f}")
        for name, results in found.items():
            rates = [each.rate * images for each in results]
            part = median(rate / most for rate, most in zip(rates, together, strict=True))
            p50, p99 = median(each.p50 for each in results), median(each.p99 for each in results)
            errors = sum(each.errors for each in results)
            print(
                f"{'  ' + name:30}{median(rates):10.0f}{p50:9.1f}{p99:9.1f}{errors:8}{part:10.2f}"
            )
        tutorials = found.pop("tutorial")
        for name, results in found.items():
            pairs = zip(results, tutorials, alone, strict=True)
            ratios = [
                (own.rate / other.rate, own.rate * images / most) for own, other, most in pairs
            ]
            times, part = (median(each) for each in zip(*ratios, strict=True))
            print(
                f"  {name}: {times:.1f} times the tutorial's server (by multipart), {part:.2f} of "
                "decode and forward alone"
            )
        print(f"  memory {memory:.0f} MB, batches of {batch:.0f} images on average\n", flush=True)

    def against(self, other: str) -> None:
        """Print the rate of each workload beside that of another commit's service."""
        print(f"{'requests a second':30}{'here':>10}{other[:10]:>12}{'here/there':>12}")
        with (
            commit(other) as checkout,
            self.service() as here,
            self.service(cache=self._repository.with_name("theirs"), checkout=checkout) as there,
        ):
            for workload in workloads():
                kinds = (True, False) if workload.images == 1 else (False,)
                for raw in kinds:
                    self._against(workload, (here, there), raw=raw)

    def _against(self, workload: Workload, servers: tuple[Server, Server], *, raw: bool) -> None:
        path = f"/v1/models/{workload.model}/predict"
        rates: list[tuple[float, ...]] = []
        for turn in range(self._rounds):
            order = servers[:: -1 if turn % 2 else 1]  # neither is always first
            found = tuple(self.closed(each.url + path, workload, raw=raw).rate for each in order)
            rates.append(found[:: -1 if turn % 2 else 1])
        here, there = (median(each) for each in zip(*rates, strict=True))
        ratios = sorted(own / other for own, other in rates)
        name = f"{workload.name}, {'raw body' if raw else 'multipart'}"
        print(
            f"{name:30}{here:10.0f}{there:12.0f}{median(ratios):12.3f}"
            f"  ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )

    def single(self) -> None:
        """Print the latency of W1, one request at a time, beside echo, decoding and forward."""
        first = replace(workloads()[0], connections=1)
        rows = []
        with self.limits(first) as limit, self.echo() as echo, self.service() as service:
            url = f"{service.url}/v1/models/{first.model}/predict"
            for _ in range(self._rounds):
                least = limit()
                bare = self.closed(f"{echo.url}/", first, raw=True).p50
                own = self.closed(url, first, raw=True).p50
                hot, cold = (bare + each / 1000 for each in (least.single, least.single_waked))
                rows.append((bare, hot, cold, own, own / hot, own / cold))
        bare, hot, cold, own, of_hot, of_cold = (median(row) for row in zip(*rows, strict=True))
        print("W1, raw body, one request at a time")
        print(f"  echo {bare:.2f} ms, with decoding and a forward pass {hot:.2f} ms,")
        print(f"  or {cold:.2f} ms where these are timed as a server meets them, after a sleep")
        print(
            f"  ours {own:.2f} ms: {of_hot:.2f} times the one, {of_cold:.2f} the other\n",
            flush=True,
        )

    def latency(self) -> None:
        """Print the latency of W1 as a raw body, in an open loop at fractions of the peak rate."""
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
        """Print W5: the latency of single images, alone and beside requests of 256 images."""
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
        """Print the rate of W1 with one and with two workers on two cores; the load shares one."""
        first, both = workloads()[0], self._core | self._other
        path = f"/v1/models/{first.model}/predict"
        rates: list[tuple[float, float]] = []
        with self.service(1, both) as one, self.service(2, both) as two:
            for _ in range(self._rounds):
                own, other = (
                    self.closed(each.url + path, first, raw=True).rate for each in (one, two)
                )
                rates.append((own, other))
            for count, server, found in zip(
                (1, 2), (one, two), zip(*rates, strict=True), strict=True
            ):
                print(
                    f"{count} workers: {median(found):.0f} a second, ready after "
                    f"{server.ready_after:.1f} s, {server.resident:.0f} MB in all"
                )
        ratios = sorted(other / own for own, other in rates)
        print(
            f"  two workers: {median(ratios):.2f} times one "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})\n",
            flush=True,
        )

    def start(self) -> None:
        """Print start time and memory of the service with 1 to 50 models, beside bare processes."""
        import_torch = median(self._bare("import torch")[0] for _ in range(self._rounds))
        bare = self._bare("import torch, onnxruntime")[1]
        print(f"import torch alone: {import_torch:.2f} s; with onnxruntime {bare:.0f} MB")
        for models in (1, 10, 50):
            with tempfile.TemporaryDirectory() as folder:
                publish_many(Path(folder, "models"), models)
                other = Benchmark(self._seconds, 1, Path(folder, "models"))
                for which in ("first", "again"):  # when the exported graphs are there
                    with other.service(cache=Path(folder, "graphs")) as server:
                        ready, memory = server.ready_after, server.resident
                    print(
                        f"{models:3} models, {which}: ready after {ready:.2f} s, "
                        f"{ready / import_torch:.2f} times; {memory:.0f} MB, "
                        f"{memory / bare:.2f} times",
                        flush=True,
                    )
        print()

    def _bare(self, program: str) -> tuple[float, float]:
        """Run a program of Python on the server's core. Return its seconds and its resident MiB."""
        told = f"{program}\nprint(open('/proc/self/status').read())"
        before = _pinned()
        _pin(0, self._core)
        started = time.perf_counter()
        quiet = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}  # as the service has it
        command = [sys.executable, "-c", told]
        done = subprocess.run(command, check=True, capture_output=True, env=quiet)  # noqa: S603
        taken = time.perf_counter() - started
        _pin(0, before)
        [resident] = re.findall(r"VmRSS:\s+(\d+) kB", done.stdout.decode())
        return taken, int(resident) / 1024


PARTS = ("throughput", "single", "latency", "crowd", "workers", "start")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks serve", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=3, help="that each figure takes")
    parser.add_argument("--rounds", type=int, default=3, help="of all that is compared")
    parser.add_argument("--quick", action="store_true", help="one round of a second each")
    parser.add_argument("--against", metavar="COMMIT", help="another commit, in turns")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "models")
        publish(models)
        seconds, rounds = (1, 1) if arguments.quick else (arguments.seconds, arguments.rounds)
        benchmark = Benchmark(seconds, rounds, models)
        if arguments.against:
            benchmark.against(arguments.against)
            return
        for part in arguments.parts or PARTS:
            getattr(benchmark, part)()


if __name__ == "__main__":
    main()

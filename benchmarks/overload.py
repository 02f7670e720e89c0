"""What the service does with more requests than it can answer, on one core.

The peak is what 64 connections get that ask again at once. Then requests of W1 are due at multiples
of it, on many connections that are open already; besides, another model of the same kind is asked
50 times a second, and `GET /health/live` 20 times. Told are the answers beside the peak, how long
those took that were taken, and what the others felt.
"""

import argparse
import resource
import tempfile
from pathlib import Path

from benchmarks.serve import Benchmark, Server
from benchmarks.serving import load
from benchmarks.serving.overload import OpenLoop, Stream
from benchmarks.serving.workloads import publish, publish_many, workloads

OTHERS = 50  # requests a second of another model
WITHIN = 5  # times its usual p99: what counts as unhurt
HEADER = (
    "| times peak | answered / peak | p50 | p99 | refused a second | not sent a second "
    f"| others within {WITHIN} × p99 | live, worst |\n|---|---|---|---|---|---|---|---|"
)


class Overload:
    def __init__(
        self, benchmark: Benchmark, server: Server, connections: int, seconds: float
    ) -> None:
        self._benchmark, self._server = benchmark, server
        self._connections, self._seconds = connections, seconds
        self._work = workloads()[0]

    def peak(self) -> float:
        """Measure the largest rate: answers a second over 64 connections.

        It also pins this process to the client's core, where it stays.
        """
        url = f"{self._server.url}/v1/models/{self._work.model}/predict"
        return self._benchmark.closed(url, self._work, raw=True).rate

    def run(self, rate: float, connections: int, seconds: float) -> tuple[Stream, Stream, Stream]:
        streams = (
            Stream("hot", self._predict(self._work.model), rate, connections),
            Stream("other", self._predict("model-0"), OTHERS, 64),
            Stream("live", b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n", 20, 8),
        )
        loop = OpenLoop(self._server.url, list(streams))
        loop.open()
        loop.run(seconds)
        return streams

    def report(self, factors: list[float]) -> None:
        self.peak()  # warm
        _, other, _ = self.run(100, 16, 3)
        usual = other.quantile(0.99)
        print(f"p99 of the other model, unloaded: {1000 * usual:.1f} ms\n\n{HEADER}")
        for factor in factors:
            peak = self.peak()
            hot, other, live = self.run(factor * peak, self._connections, self._seconds)
            within = sum(each <= WITHIN * usual for each in other.latencies.get(200, []))
            figures = (
                f"{factor:g}",
                f"{hot.answered(200) / self._seconds / peak:.2f}",
                *(f"{1000 * hot.quantile(part):.0f} ms" for part in (0.5, 0.99)),
                f"{hot.refused / self._seconds:.0f}",
                f"{hot.unsent / self._seconds:.0f}",
                f"{within / max(1, other.sent):.2f}",
                f"{1000 * live.quantile(1):.0f} ms",
            )
            print(f"| {' | '.join(figures)} |", flush=True)

    def _predict(self, model: str) -> bytes:
        url = f"{self._server.url}/v1/models/{model}/predict"
        return load.request(url, self._work.image, self._work.media_type)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks overload", description=__doc__)
    parser.add_argument("factors", nargs="*", type=float, default=[1, 1.2, 2, 10])
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=5)
    asked = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the server inherits it
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder, "repository")
        publish(repository)
        publish_many(repository, 1)
        benchmark = Benchmark(3, 1, repository)
        with benchmark.service() as server:
            Overload(benchmark, server, asked.connections, asked.seconds).report(asked.factors)


if __name__ == "__main__":
    main()

"""What metrics, statistics and class counts cost a request: `python -m benchmarks telemetry`.

The access log and tracing are off. Records of requests in batches of 8 are kept as the fast path
keeps them, in turns with and without what counts, and the processor time of a request is compared.
The request id and `Server-Timing` belong to the answer, and are made in both. The share is that of
a small PNG a request, of which one core answers 7,508 a second (docs/speed.md, `serve throughput`);
--rate names the rate of another machine.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from service.inference.arrivals import Arrivals
from service.inference.outputs import Outputs
from service.inference.statistics import Statistics
from service.monitoring import work
from service.monitoring.metrics import Metrics
from service.server.middleware.telemetry import Telemetry

BATCH, BATCHES, TURNS = 8, 400, 25
LABELS = tuple(map(str, range(10)))
Batch = Callable[[], None]


class Nothing:
    """In place of metrics, statistics and class counts: counts nothing."""

    in_flight = 0

    def _nothing(self, *_: object) -> None:
        pass

    answered = predicted = left_queue = ran = add = succeeded = _nothing


def batch(metrics: Any, versions: Any, statistics: Any, arrivals: Any) -> Batch:
    """Return a function that keeps the records of one batch of answered requests."""
    telemetry = Telemetry(lambda *_: None, metrics, is_logged=False)  # type: ignore[arg-type]
    rows = np.random.default_rng(0).dirichlet(np.ones(10), BATCH).astype(np.float32)
    outputs = Outputs(rows, rows, None)

    def keep() -> None:
        requests = []
        for _ in range(BATCH):
            path = "/v1/models/digits/predict"
            scope = {"headers": [], "path": path, "operation": "predict", "method": "POST"}
            own = work.begin(scope, "digits", 1)
            record = telemetry.record(scope, own.begun)
            own.received(1, 600)
            own.decoded()
            requests.append((own, record))
        statistics.left_queue([0.0] * BATCH)
        versions.ran("digits", 1, BATCH, 1e-3)
        statistics.ran(BATCH, 1e-3)
        arrivals.add(outputs)
        for own, record in requests:
            own.ended(0.0, BATCH)
            statistics.succeeded(own)
            record.answered(200)
            record.over()

    return keep


def counting() -> Batch:
    metrics = Metrics()
    told = partial(metrics.versions.arrived, "digits", 1, LABELS)
    statistics = Statistics(partial(metrics.versions.staged, "digits", 1))
    return batch(metrics, metrics.versions, statistics, Arrivals(len(LABELS), None, told))


def microseconds(keep: Batch) -> float:
    """The processor time of a request."""
    began = time.process_time()
    for _ in range(BATCHES):
        keep()
    return 1e6 * (time.process_time() - began) / (BATCHES * BATCH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=7508, help="requests a second and core")
    options = parser.parse_args()
    nothing = Nothing()
    ways = (counting(), batch(nothing, nothing, nothing, nothing))
    for keep in ways:
        microseconds(keep)
    pairs = [tuple(map(microseconds, ways)) for _ in range(TURNS)]
    cost = median(full - bare for full, bare in pairs)
    print(f"with: {median(full for full, _ in pairs):.2f} µs a request")
    print(f"without: {median(bare for _, bare in pairs):.2f} µs")
    share = cost * options.rate / 1e6
    print(f"difference: {cost:.2f} µs, {share:.1%} of a request at {options.rate:,.0f} a second")


if __name__ == "__main__":
    main()

"""What Prometheus collects from the service: requests and batches, models and their runtimes.

With more than one worker their figures are summed: each writes its own to the folder that
`PROMETHEUS_MULTIPROC_DIR` names, and whichever is asked reads all.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.log_writer import LOST

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@contextmanager
def shared() -> Iterator[None]:
    """A folder for the figures of processes that are started inside, unless one is set."""
    if os.environ.get(FOLDER):
        yield
        return
    with TemporaryDirectory(prefix="fanlight-metrics-") as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]


class Metrics:
    """The figures of this process; `exposition` has those of all workers."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        version = ["model", "version"]
        requests = Histogram(
            "fanlight_request_seconds",
            "From the head of a request to the head of its answer",
            ["operation", "status"],
            buckets=_SECONDS,
            registry=registry,
        )
        batches = Histogram(
            "fanlight_batch_images",
            "Images in a forward pass",
            version,
            buckets=_IMAGES,
            registry=registry,
        )
        passes = Histogram(
            "fanlight_forward_seconds",
            "Duration of a forward pass",
            version,
            buckets=_SECONDS,
            registry=registry,
        )
        self._ready = Gauge(
            "fanlight_model_ready",
            "1 for a version that answers, by the runtime that gives its predictions",
            [*version, "runtime"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._fallback = Gauge(
            "fanlight_runtime_fallback",
            "1 for a version whose predictions don't come from the runtime that was wanted",
            version,
            registry=registry,
            multiprocess_mode="livemax",
        )
        ways = Counter(
            "fanlight_predict_requests",
            "Requests for predictions, by which code answered: fast_path or application",
            ["way"],
            registry=registry,
        )
        self._failures = Counter(
            "fanlight_fast_path_failures",
            "Unexpected errors of the fast path, by type; the application answered these requests",
            ["error"],
            registry=registry,
        )
        self._ended = Counter(
            "fanlight_connections_ended",
            "Connections that the service ended or refused, by reason; unfinished_head, "
            "unfinished_handshake, untaken_answer and refused mean limits, see the settings of "
            "connections",
            ["reason"],
            registry=registry,
        )
        self._failed = Gauge(
            "fanlight_model_failed",
            "1 for a version that could not be loaded",
            version,
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._changed = Gauge(
            "fanlight_model_changed",
            "1 for a version whose files have changed since they were loaded",
            version,
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._not_finite = Counter(
            "fanlight_not_finite_images",
            "Images that were refused because the network gives no finite number for them",
            version,
            registry=registry,
        )
        self._lost = Counter(
            "fanlight_log_lines_lost",
            "Lines of the log that could not be written, or not quickly enough",
            registry=registry,
        )
        self._lost_before = LOST.total
        self._tasks = Gauge(
            "fanlight_event_loop_tasks",
            "Tasks of asyncio that are not done, when this process was last asked for its figures",
            registry=registry,
            multiprocess_mode="liveall",
        )
        self._request = cache(requests.labels)
        self._ways = {way: ways.labels(way) for way in ("fast_path", "application")}
        self._uncounted = dict.fromkeys(self._ways, 0)  # requests since the last forward pass
        self._batch, self._pass = cache(batches.labels), cache(passes.labels)

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """A request; `operation` is that of the OpenAPI document, or "other"."""
        self._request(operation, status).observe(seconds)

    def predicted(self, way: str) -> None:
        """A request for predictions that was answered by the `fast_path` or the `application`.

        It is counted with the next forward pass: a counter costs each request a microsecond.
        """
        self._uncounted[way] += 1

    def fast_path_failed(self, error: str) -> None:
        """An unexpected error of this type ended the fast path for a request."""
        self._failures.labels(error).inc()

    def connection_ended(self, reason: str) -> None:
        """The service ended or refused a connection, for one of `connections.Wait`'s reasons."""
        self._ended.labels(reason).inc()

    def ran(self, model: str, version: int, images: int, seconds: float) -> None:
        """A forward pass of a batch."""
        self._batch(model, version).observe(images)
        self._pass(model, version).observe(seconds)
        self._count_ways()

    def loaded(self, model: str, version: int, runtime: str, fallback: bool) -> None:
        self._ready.labels(model, version, runtime).set(1)
        self._fallback.labels(model, version).set(fallback)

    def failed(self, model: str, version: int) -> None:
        """A version could not be loaded."""
        self._failed.labels(model, version).set(1)

    def changed(self, model: str, version: int, is_changed: bool) -> None:
        """Whether the files of a version differ from what was loaded."""
        self._changed.labels(model, version).set(is_changed)

    def not_finite(self, model: str, version: int, images: int) -> None:
        """Images that got no finite answer."""
        self._not_finite.labels(model, version).inc(images)

    def removed(self, model: str, version: int, runtime: str | None) -> None:
        """A version is gone; `runtime` gave its predictions, None if it was not loaded."""
        if runtime is None:
            self._failed.labels(model, version).set(0)
            return
        self._ready.labels(model, version, runtime).set(0)
        self._fallback.labels(model, version).set(0)
        self._changed.labels(model, version).set(0)

    def _count_ways(self) -> None:
        for way, requests in self._uncounted.items():
            if requests:
                self._ways[way].inc(requests)
                self._uncounted[way] = 0
        if lost := LOST.total - self._lost_before:
            self._lost.inc(lost)
            self._lost_before += lost

    def exposition(self) -> bytes:
        """In Prometheus' text format."""
        self._count_ways()
        with suppress(RuntimeError):  # where no event loop runs
            self._tasks.set(len(asyncio.all_tasks()))
        if not os.environ.get(FOLDER):
            return generate_latest(self._registry)
        _forget_the_dead(Path(os.environ[FOLDER]))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def close(self) -> None:
        """What this process has is over; what it has counted stays."""
        self._count_ways()
        if os.environ.get(FOLDER):
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]


def _forget_the_dead(folder: Path) -> None:
    """What a worker that was killed has said of itself is over; what it has counted stays."""
    pids = {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*_*.db")}
    for pid in pids:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
        except PermissionError:  # it lives, as another user
            continue

"""The Prometheus metrics of the service: what they are of, and how they are told.

With more than one worker, their metrics are summed; see `service.monitoring.workers_figures`.
"""

import asyncio
import platform
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata

from prometheus_client import ProcessCollector, generate_latest

from service.monitoring import logs, workers_figures
from service.monitoring.figures import Described, Figures
from service.monitoring.log_writer import LOST
from service.monitoring.version_figures import SECONDS, VersionFigures

log = logs.Log()
MOST_EXPOSITIONS = 5  # a second, that are made anew
GAUGE_SECONDS = 1.0  # between two looks at what changes all the time


class Metrics:
    """The figures of this process; those of models are in `versions`.

    `exposition` returns the figures of all workers.
    """

    def __init__(self) -> None:
        figures = self._figures = Figures()
        ProcessCollector(registry=figures.registry)
        self.versions = VersionFigures(figures)
        request = ("operation", "model", "status")
        requests = figures.histogram(
            "fanlight_request_seconds",
            "From the head of a request to the head of its answer",
            request,
            buckets=SECONDS,
        )
        self._answers = figures.histogram(
            "fanlight_answer_seconds",
            "From when the body of a request with images has arrived to the head of its answer",
            request,
            buckets=SECONDS,
        )
        ways = figures.counter(
            "fanlight_predict_requests",
            "Requests for predictions, by which code answered: fast_path or application",
            ["way"],
        )
        self._failures = figures.counter(
            "fanlight_fast_path_failures",
            "Unexpected errors of the fast path, by type; the application answered these requests",
            ["error"],
        )
        self._repository_failures = figures.counter(
            "fanlight_repository_failures",
            "Looks at a repository elsewhere that failed, or could not fetch a version",
            ["repository"],
        )
        self._ended = figures.counter(
            "fanlight_connections_ended",
            "Connections that the service ended or refused, by reason; unfinished_head, "
            "unfinished_handshake, untaken_answer and refused mean limits, see the settings of "
            "connections",
            ["reason"],
        )
        self._refused = figures.counter(
            "fanlight_refused_requests",
            "Requests that got no answer for want of room, time or right, by reason",
            ["reason"],
        )
        self._late = figures.counter(
            "fanlight_late_problems",
            "Answers of status 200, in lines, that ended in a problem of this status",
            ["operation", "status"],
        )
        self._in_flight = figures.gauge(
            "fanlight_requests_in_flight",
            "Requests whose head has arrived and whose answer is not complete",
            multiprocess_mode="livesum",
        )
        built = figures.gauge(
            "fanlight_build_info",
            "1, by the versions of what runs",
            ["version", "python", "torch", "onnxruntime"],
        )
        built.labels(*map(_version, ("fanlight", None, "torch", "onnxruntime"))).set(1)
        self._asked: list[Callable[[], None]] = []
        self._lost = figures.counter(
            "fanlight_log_lines_lost",
            "Lines of the log that could not be written, or not quickly enough",
        )
        self._lost_before = LOST.total
        self._tasks = figures.gauge(
            "fanlight_event_loop_tasks",
            "Tasks of asyncio that are not done, when this process was last asked for its figures",
            multiprocess_mode="liveall",
        )
        self._shown = deque[float]([], MOST_EXPOSITIONS)  # when the last ones were made
        self._exposition = b""
        self._request = figures.quick(requests.labels)
        self._ways = {way: ways.labels(way) for way in ("fast_path", "application")}
        self.in_flight = 0  # requests
        self._working = defaultdict[tuple[str, str, int], list[float]](list)  # since the last look
        self._uncounted = dict.fromkeys(self._ways, 0)  # requests since the last look

    def repository_failed(self, repository: str) -> None:
        """Count one failed attempt to list or copy a remote repository, given by its address."""
        self._repository_failures.labels(repository).inc()

    def described(self) -> Sequence[Described]:
        """Return the descriptions of all figures, except those of the process."""
        return self._figures.described

    def answered(
        self,
        operation: str,
        model: str,
        status: int,
        seconds: float,
        working: float | None = None,
    ) -> None:
        """Count a request and its time. `operation` is that of the OpenAPI document, or "other".

        `model` may be any text of a client: one that is not served is counted as "". `working` is
        the seconds since its body had arrived, if it has images. Their histogram changes with the
        next look at the metrics, since that takes less time for each.
        """
        model = model if self._figures.versions.is_served(model) else ""
        self._request(operation, model, status).observe(seconds)
        if working is not None:
            self._working[operation, model, status].append(working)

    def ended_late(self, operation: str, status: int) -> None:
        """Count a stream of lines that ended in a problem of this status."""
        self._late.labels(operation, status).inc()

    def predicted(self, way: str) -> None:
        """Count a request for predictions; `way` is `fast_path` or `application`.

        The counter changes with the next look at the metrics: changing it takes a microsecond.
        """
        self._uncounted[way] += 1

    def fast_path_failed(self, error: str) -> None:
        """Count a request whose fast path was ended by an unexpected error of this type."""
        self._failures.labels(error).inc()

    def connection_ended(self, reason: str) -> None:
        """Count a connection that the service ended or refused.

        `reason` is a value of `connections.Wait`, "refused" or "unfinished_handshake".
        """
        self._ended.labels(reason).inc()

    def refused(self, reason: str) -> None:
        """Count a request that was refused, by a reason such as `queue-full`."""
        self._refused.labels(reason).inc()

    async def keep_current(self) -> None:
        """Update the metrics that change all the time, every `GAUGE_SECONDS`, until cancelled.

        With several workers, any of them may have to answer /metrics: it reads the metrics that the
        others have written.
        """
        while True:
            try:
                self._look()
            except Exception:  # figures decide nothing
                log.exception("figures not brought up to date")
            await asyncio.sleep(GAUGE_SECONDS)

    def _look(self, asking: int = 0) -> None:
        """Update the metrics that change all the time, without `asking` requests for /metrics."""
        self._count_ways()
        self._count_working()
        self._figures.forget_the_gone()
        self._in_flight.set(max(0, self.in_flight - asking))
        for report in self._asked:
            report()

    @contextmanager
    def asking(self, report: Callable[[], None]) -> Iterator[None]:
        """Call `report` every second and before each `exposition`, while in the context.

        It is called a last time when the context ends.
        """
        self._asked.append(report)
        try:
            yield
        finally:
            self._asked.remove(report)
            report()

    def _count_ways(self) -> None:
        for way, requests in self._uncounted.items():
            if requests:
                self._ways[way].inc(requests)
                self._uncounted[way] = 0
        if lost := LOST.total - self._lost_before:
            self._lost.inc(lost)
            self._lost_before += lost

    def _count_working(self) -> None:
        working, self._working = self._working, defaultdict(list)
        for labels, seconds in working.items():
            self._answers.labels(*labels).observe_all(seconds)

    def exposition(self) -> bytes:
        """Return the metrics of all workers in Prometheus' text format.

        They take 2 to 20 ms of the event loop. If they were asked for `MOST_EXPOSITIONS` times in
        the last second, it returns the last ones again.
        """
        now = time.monotonic()
        if len(self._shown) == MOST_EXPOSITIONS and now - self._shown[0] < 1:
            return self._exposition
        self._exposition = self._expose()
        self._shown.append(now)
        return self._exposition

    def _expose(self) -> bytes:
        self._look(asking=1)
        with suppress(RuntimeError):  # where no event loop runs
            self._tasks.set(len(asyncio.all_tasks()))
        told = workers_figures.registry(self._figures.versions.has_figures)
        return generate_latest(told or self._figures.registry)

    def close(self) -> None:
        """Withdraw the gauges of this process, which ends. Its counters stay in the sums."""
        self._count_ways()
        self._count_working()
        workers_figures.leave()


def _version(package: str | None) -> str:
    """Return the version of a package, or of Python for None; empty if it is not installed."""
    if package is None:
        return platform.python_version()
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""

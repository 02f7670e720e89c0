"""The Prometheus metrics of the service: requests and batches, models and their runtimes.

With more than one worker, their metrics are summed; see `service.monitoring.workers_figures`.
"""

import asyncio
import platform
import time
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import metadata
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from models.checkpoint import Card
from models.trust.card import TENTHS
from service.monitoring import logs, workers_figures
from service.monitoring.gone_versions import GoneVersions
from service.monitoring.log_writer import LOST
from service.monitoring.quick_histogram import QuickHistogram

log = logs.Log()
Kind = TypeVar("Kind", bound=Counter | Gauge | Histogram)
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MOST_LABELS = 100  # of a version that have a figure each
OTHERS = "(others)"
MOST_EXPOSITIONS = 5  # a second, that are made anew
GAUGE_SECONDS = 1.0  # between two looks at what changes all the time
_TENTHS = tuple(f"{tenth / TENTHS:g}" for tenth in range(TENTHS))  # their lower bounds


class Counts(NamedTuple):
    """Counts of answers by label, by tenth of score, by tenth of familiarity, and by doubt."""

    labels: Sequence[int]
    scores: Sequence[int]
    familiarity: Sequence[int]
    unsure: Mapping[str, int]


class Metrics:
    """The figures of this process; `exposition` has those of all workers."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        described = self._described = list[tuple[str, str, Sequence[str], str]]()
        self._of_versions: list[Counter | Gauge | Histogram] = []
        self._of_models: list[Counter | Gauge | Histogram] = []

        def kept(made: Kind, by: Sequence[str]) -> Kind:
            if {"model", "version"} <= set(by):
                self._of_versions.append(made)
            elif "model" in by:
                self._of_models.append(made)
            return made

        def counter(name: str, about: str, by: Sequence[str] = ()) -> Counter:
            described.append((f"{name}_total", "counter", by, about))
            return kept(Counter(name, about, by, registry=registry), by)

        def gauge(
            name: str, about: str, by: Sequence[str] = (), multiprocess_mode: Any = "livemax"
        ) -> Gauge:
            described.append((name, "gauge", by, about))
            made = Gauge(name, about, by, registry=registry, multiprocess_mode=multiprocess_mode)
            return kept(made, by)

        def histogram(
            name: str, about: str, by: Sequence[str], buckets: Sequence[float]
        ) -> QuickHistogram:
            described.append((name, "histogram", by, about))
            return kept(QuickHistogram(name, about, by, registry=registry, buckets=buckets), by)

        version, request = ["model", "version"], ["operation", "model", "status"]
        requests = histogram(
            "fanlight_request_seconds",
            "From the head of a request to the head of its answer",
            request,
            buckets=_SECONDS,
        )
        self._answers = histogram(
            "fanlight_answer_seconds",
            "From when the body of a request with images has arrived to the head of its answer",
            request,
            buckets=_SECONDS,
        )
        batches = histogram(
            "fanlight_batch_images",
            "Images in a forward pass",
            version,
            buckets=_IMAGES,
        )
        passes = histogram(
            "fanlight_forward_seconds",
            "Duration of a forward pass",
            version,
            buckets=_SECONDS,
        )
        self._stage_seconds = counter(
            "fanlight_stage_seconds",
            "Time of requests for predictions by stage: the body is received, images are decoded, "
            "wait in the queue, pass through the network, and the answer is encoded",
            [*version, "stage"],
        )
        self._stage_requests = counter(
            "fanlight_stage_requests",
            "Requests for predictions that passed a stage",
            [*version, "stage"],
        )
        self._ready = gauge(
            "fanlight_model_ready",
            "1 for a version that answers, by the runtime that gives its predictions",
            [*version, "runtime"],
        )
        self._fallback = gauge(
            "fanlight_runtime_fallback",
            "1 for a version whose predictions don't come from the runtime that was wanted",
            version,
        )
        ways = counter(
            "fanlight_predict_requests",
            "Requests for predictions, by which code answered: fast_path or application",
            ["way"],
        )
        self._failures = counter(
            "fanlight_fast_path_failures",
            "Unexpected errors of the fast path, by type; the application answered these requests",
            ["error"],
        )
        self._ended = counter(
            "fanlight_connections_ended",
            "Connections that the service ended or refused, by reason; unfinished_head, "
            "unfinished_handshake, untaken_answer and refused mean limits, see the settings of "
            "connections",
            ["reason"],
        )
        self._refused = counter(
            "fanlight_refused_requests",
            "Requests that got no answer for want of room, time or right, by reason",
            ["reason"],
        )
        self._late = counter(
            "fanlight_late_problems",
            "Answers of status 200, in lines, that ended in a problem of this status",
            ["operation", "status"],
        )
        self._load_failures = counter(
            "fanlight_load_failures", "Versions that could not be loaded, by model", ["model"]
        )
        self._queued = gauge(
            "fanlight_queue_images",
            "Images that wait in the queue",
            version,
            multiprocess_mode="livesum",
        )
        self._in_flight = gauge(
            "fanlight_requests_in_flight",
            "Requests whose head has arrived and whose answer is not complete",
            multiprocess_mode="livesum",
        )
        built = gauge(
            "fanlight_build_info",
            "1, by the versions of what runs",
            ["version", "python", "torch", "onnxruntime"],
        )
        built.labels(*map(_version, ("fanlight", None, "torch", "onnxruntime"))).set(1)
        self._failed = gauge(
            "fanlight_model_failed",
            "1 for a version that could not be loaded",
            version,
        )
        self._changed = gauge(
            "fanlight_model_changed",
            "1 for a version whose files have changed since they were loaded",
            version,
        )
        self._not_finite = counter(
            "fanlight_not_finite_images",
            "Images that were refused because the network gives no finite number for them",
            version,
        )
        self._labels = counter(
            "fanlight_answers",
            f"Images by the label that they got; labels beyond {MOST_LABELS} count as {OTHERS}",
            [*version, "label"],
        )
        self._scores = counter(
            "fanlight_answer_scores",
            "Images by the score of their label; tenth 0.9 is 0.9 to 1",
            [*version, "tenth"],
        )
        self._familiarity = counter(
            "fanlight_answer_familiarity",
            "Images by their familiarity; of usual images each tenth has as many",
            [*version, "tenth"],
        )
        self._unsure = counter(
            "fanlight_unsure_answers",
            "Images whose answer is unsure, by why, at the usual coverage and threshold",
            [*version, "why"],
        )
        self._usual_labels, self._usual_scores, self._usual_familiarity = (
            gauge(
                f"fanlight_usual_{what}",
                f"Part of usual images that {has}, as the model's card tells",
                [*version, by],
            )
            for what, has, by in (
                ("answers", "get the label", "label"),
                ("answer_scores", "have such a score", "tenth"),
                ("answer_familiarity", "have such a familiarity", "tenth"),
            )
        )
        self._calibration_images = gauge(
            "fanlight_calibration_images",
            "Images that the usual parts are of, as the model's card tells",
            version,
        )
        self._usual: dict[tuple[str, int], list[tuple[Gauge, tuple[str, ...]]]] = {}
        self._asked: list[Callable[[], None]] = []
        self._lost = counter(
            "fanlight_log_lines_lost",
            "Lines of the log that could not be written, or not quickly enough",
        )
        self._lost_before = LOST.total
        self._tasks = gauge(
            "fanlight_event_loop_tasks",
            "Tasks of asyncio that are not done, when this process was last asked for its figures",
            multiprocess_mode="liveall",
        )
        self._gone = GoneVersions()
        self._shown = deque[float]([], MOST_EXPOSITIONS)  # when the last ones were made
        self._exposition = b""
        self._request = cache(requests.labels)
        self._ways = {way: ways.labels(way) for way in ("fast_path", "application")}
        self.in_flight = 0  # requests
        self._working = defaultdict[tuple[str, str, int], list[float]](list)  # since the last look
        self._uncounted = dict.fromkeys(self._ways, 0)  # requests since the last forward pass
        self._batch, self._pass = cache(batches.labels), cache(passes.labels)
        self._queue = cache(self._queued.labels)

    def described(self) -> Sequence[tuple[str, str, Sequence[str], str]]:
        """Name, type, labels and meaning of each figure, except those of the process."""
        return self._described

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
        model = model if self._gone.is_served(model) else ""
        self._request(operation, model, status).observe(seconds)
        if working is not None:
            self._working[operation, model, status].append(working)

    def ended_late(self, operation: str, status: int) -> None:
        """Count a stream of lines that ended in a problem of this status."""
        self._late.labels(operation, status).inc()

    def predicted(self, way: str) -> None:
        """Count a request for predictions; `way` is `fast_path` or `application`.

        The counter changes with the next forward pass, since changing it takes a microsecond.
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

    def ran(self, model: str, version: int, images: int, seconds: float) -> None:
        """Count a forward pass, its images and its time."""
        self._batch(model, version).observe(images)
        self._pass(model, version).observe(seconds)
        self._count_ways()

    def waiting(self, model: str, version: int, images: int) -> None:
        """Set how many images wait in the queue of a version."""
        self._queue(model, version).set(images)

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
        self._forget_the_gone()
        self._in_flight.set(max(0, self.in_flight - asking))
        for report in self._asked:
            report()

    def staged(self, model: str, version: int, stage: str, requests: int, seconds: float) -> None:
        """Add a number of requests that passed a stage, and the seconds that they took together."""
        self._stage_seconds.labels(model, version, stage).inc(seconds)
        self._stage_requests.labels(model, version, stage).inc(requests)

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

    def arrived(self, model: str, version: int, labels: Sequence[str], counts: Counts) -> None:
        """Add the counts of what a version has answered since the last call.

        `labels` are those of its card.
        """
        for label, count in zip(_shown(labels), counts.labels, strict=True):
            if count:
                self._labels.labels(model, version, label).inc(count)
        for told, tenths in (
            (self._scores, counts.scores),
            (self._familiarity, counts.familiarity),
        ):
            for tenth, count in zip(_TENTHS, tenths, strict=True):
                if count:
                    told.labels(model, version, tenth).inc(count)
        for why, count in filter(itemgetter(1), counts.unsure.items()):
            self._unsure.labels(model, version, why).inc(count)

    def loaded(self, card: Card, runtime: str, fallback: bool) -> None:
        """Set the gauges of a version that begins to answer, with the usual shares in its card."""
        model, version = card.name, card.version
        self._gone.there(model, version)
        self._ready.labels(model, version, runtime).set(1)
        self._fallback.labels(model, version).set(fallback)
        self._forget_usual(model, version)
        self._begin(card)
        told = self._usual[model, version] = []

        def tell(gauge: Gauge, value: float, *by: str) -> None:
            labels = (model, str(version), *by)
            gauge.labels(*labels).set(value)
            told.append((gauge, labels))

        if card.calibration is not None:
            tell(self._calibration_images, card.calibration.images)
        if card.calibration is not None and card.calibration.usual is not None:
            usual = card.calibration.usual
            shares = dict.fromkeys(_shown(card.labels), 0.0)
            for label, share in zip(_shown(card.labels), usual.labels, strict=True):
                shares[label] += share
            for label, share in shares.items():
                tell(self._usual_labels, share, label)
            for tenth, share in zip(_TENTHS, usual.scores, strict=True):
                tell(self._usual_scores, share, tenth)
        if card.familiarity is not None:
            for tenth in _TENTHS:
                tell(self._usual_familiarity, 1 / len(_TENTHS), tenth)

    def _begin(self, card: Card) -> None:
        """Create counters at 0: Prometheus sees no increase in one that begins above 0."""
        by = card.name, card.version
        for label in _shown(card.labels):
            self._labels.labels(*by, label)
        for tenth in _TENTHS:
            self._scores.labels(*by, tenth)
            if card.familiarity is not None:
                self._familiarity.labels(*by, tenth)
        if card.calibration is not None:
            self._unsure.labels(*by, "ambiguous")
        if card.familiarity is not None:
            self._unsure.labels(*by, "unfamiliar")

    def failed(self, model: str, version: int) -> None:
        """Count a version that could not be loaded, and set its gauge."""
        self._gone.there(model, version)
        self._failed.labels(model, version).set(1)
        self._load_failures.labels(model).inc()

    def changed(self, model: str, version: int, is_changed: bool) -> None:
        """Set whether the files of a version have changed since they were loaded."""
        self._changed.labels(model, version).set(is_changed)

    def not_finite(self, model: str, version: int, images: int) -> None:
        """Count images for which the network gave no finite number."""
        self._not_finite.labels(model, version).inc(images)

    def removed(self, model: str, version: int, runtime: str | None) -> None:
        """Reset the gauges of a version that is gone.

        `runtime` gave its predictions, None if it was not loaded.
        """
        if runtime is None:
            self._failed.labels(model, version).set(0)
            return
        self._ready.labels(model, version, runtime).set(0)
        self._fallback.labels(model, version).set(0)
        self._changed.labels(model, version).set(0)
        self._forget_usual(model, version)

    def gone(self, model: str, version: int) -> None:
        """Remove all figures of a version, `gone_versions.KEPT_SECONDS` from now.

        Those of its model go with the last version.
        """
        self._gone.gone(model, version)

    def _forget_the_gone(self) -> None:
        for model, version in self._gone.over():
            by = {"model": model, "version": version} if version else {"model": model}
            with warnings.catch_warnings(action="ignore"):  # of workers: `exposition` leaves it out
                for figures in self._of_versions if version else self._of_models:
                    figures.remove_by_labels(by)
            for kept in (self._request, self._batch, self._pass, self._queue):
                kept.cache_clear()

    def _forget_usual(self, model: str, version: int) -> None:
        """Remove the gauges of the usual shares of a version that no longer answers.

        With several workers a gauge can't be removed. It is set to 0, which adds nothing to the
        population stability index (docs/drift.md).
        """
        for gauge, labels in self._usual.pop((model, version), ()):
            if workers_figures.are_shared():
                gauge.labels(*labels).set(0)
            else:
                gauge.remove(*labels)

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
        self._shown.append(now)
        self._exposition = self._expose()
        return self._exposition

    def _expose(self) -> bytes:
        self._look(asking=1)
        with suppress(RuntimeError):  # where no event loop runs
            self._tasks.set(len(asyncio.all_tasks()))
        return generate_latest(workers_figures.registry(self._gone.has_figures) or self._registry)

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


def _shown(labels: Sequence[str]) -> list[str]:
    """Return the names under which labels are counted: `OTHERS` after `MOST_LABELS`."""
    return [*labels[:MOST_LABELS], *(OTHERS for _ in labels[MOST_LABELS:])]

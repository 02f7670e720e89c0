"""What the versions of models are and have answered, for /metrics."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from prometheus_client import Gauge

from models.checkpoint import Card
from models.trust.card import TENTHS
from service.monitoring import workers_figures
from service.monitoring.figures import VERSION, Figures

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""The upper bounds of the buckets of all histograms of times."""
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MOST_LABELS = 100  # of a version that have a figure each
OTHERS = "(others)"
_TENTHS = tuple(f"{tenth / TENTHS:g}" for tenth in range(TENTHS))  # their lower bounds


class Counts(NamedTuple):
    """Counts of answers by label, by tenth of score, by tenth of familiarity, and by doubt."""

    labels: Sequence[int]
    scores: Sequence[int]
    familiarity: Sequence[int]
    unsure: Mapping[str, int]


class VersionFigures:
    """The figures of versions, and of their models."""

    def __init__(self, figures: Figures) -> None:
        self._versions = figures.versions
        batches = figures.histogram(
            "fanlight_batch_images",
            "Images in a forward pass",
            VERSION,
            buckets=_IMAGES,
        )
        passes = figures.histogram(
            "fanlight_forward_seconds",
            "Duration of a forward pass",
            VERSION,
            buckets=SECONDS,
        )
        self._stage_seconds = figures.counter(
            "fanlight_stage_seconds",
            "Time of requests for predictions by stage: the body is received, images are decoded, "
            "wait in the queue, pass through the network, and the answer is encoded",
            [*VERSION, "stage"],
        )
        self._stage_requests = figures.counter(
            "fanlight_stage_requests",
            "Requests for predictions that passed a stage",
            [*VERSION, "stage"],
        )
        self._ready = figures.gauge(
            "fanlight_model_ready",
            "1 for a version that answers, by the runtime that gives its predictions",
            [*VERSION, "runtime"],
        )
        self._fallback = figures.gauge(
            "fanlight_runtime_fallback",
            "1 for a version whose predictions don't come from the runtime that was wanted",
            VERSION,
        )
        self._load_failures = figures.counter(
            "fanlight_load_failures", "Versions that could not be loaded, by model", ["model"]
        )
        queued = figures.gauge(
            "fanlight_queue_images",
            "Images of predictions that wait: to be decoded, with those being decoded, and for the "
            "network",
            VERSION,
            multiprocess_mode="livesum",
        )
        self._failed = figures.gauge(
            "fanlight_model_failed",
            "1 for a version that could not be loaded",
            VERSION,
        )
        self._changed = figures.gauge(
            "fanlight_model_changed",
            "1 for a version whose files have changed since they were loaded",
            VERSION,
        )
        self._not_finite = figures.counter(
            "fanlight_not_finite_images",
            "Images that were refused because the network gives no finite number for them",
            VERSION,
        )
        self._labels = figures.counter(
            "fanlight_answers",
            f"Images by the label that they got; labels beyond {MOST_LABELS} count as {OTHERS}",
            [*VERSION, "label"],
        )
        self._scores = figures.counter(
            "fanlight_answer_scores",
            "Images by the score of their label; tenth 0.9 is 0.9 to 1",
            [*VERSION, "tenth"],
        )
        self._familiarity = figures.counter(
            "fanlight_answer_familiarity",
            "Images by their familiarity; of usual images each tenth has as many",
            [*VERSION, "tenth"],
        )
        self._unsure = figures.counter(
            "fanlight_unsure_answers",
            "Images whose answer is unsure, by why, at the usual coverage and threshold",
            [*VERSION, "why"],
        )
        self._usual_labels, self._usual_scores, self._usual_familiarity = (
            figures.gauge(
                f"fanlight_usual_{what}",
                f"Part of usual images that {has}, as the model's card tells",
                [*VERSION, by],
            )
            for what, has, by in (
                ("answers", "get the label", "label"),
                ("answer_scores", "have such a score", "tenth"),
                ("answer_familiarity", "have such a familiarity", "tenth"),
            )
        )
        self._calibration_images = figures.gauge(
            "fanlight_calibration_images",
            "Images that the usual parts are of, as the model's card tells",
            VERSION,
        )
        self._usual: dict[tuple[str, int], list[tuple[Gauge, tuple[str, ...]]]] = {}
        self._batch, self._pass = figures.quick(batches.labels), figures.quick(passes.labels)
        self._queue = figures.quick(queued.labels)

    def ran(self, model: str, version: int, images: int, seconds: float) -> None:
        """Count a forward pass, its images and its time."""
        self._batch(model, version).observe(images)
        self._pass(model, version).observe(seconds)

    def waiting(self, model: str, version: int, images: int) -> None:
        """Set how many images wait for a version: to be decoded, and for its network."""
        self._queue(model, version).set(images)

    def staged(self, model: str, version: int, stage: str, requests: int, seconds: float) -> None:
        """Add a number of requests that passed a stage, and the seconds that they took together."""
        self._stage_seconds.labels(model, version, stage).inc(seconds)
        self._stage_requests.labels(model, version, stage).inc(requests)

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
        self._versions.there(model, version)
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
        self._versions.there(model, version)
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
        self._versions.gone(model, version)

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


def _shown(labels: Sequence[str]) -> list[str]:
    """Return the names under which labels are counted: `OTHERS` after `MOST_LABELS`."""
    return [*labels[:MOST_LABELS], *(OTHERS for _ in labels[MOST_LABELS:])]

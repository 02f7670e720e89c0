"""The making of figures: each is registered and described, and ends with the version it is of."""

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.monitoring.gone_versions import GoneVersions
from service.monitoring.quick_histogram import QuickHistogram

VERSION = ("model", "version")
"""The labels of figures of a version; those of its model have the first alone."""
Kind = TypeVar("Kind", bound=Counter | Gauge | Histogram)
Child = TypeVar("Child")


class Described(NamedTuple):
    """A figure as the docs list it: its name in /metrics, Prometheus' type, labels and meaning."""

    name: str
    type: str
    labels: tuple[str, ...]
    about: str


class Figures:
    """Makes the figures of this process, and removes those of versions that are gone."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.described: list[Described] = []
        self.versions = GoneVersions()
        self._of_versions: list[Counter | Gauge | Histogram] = []
        self._of_models: list[Counter | Gauge | Histogram] = []
        self._forgetting: list[Callable[[], None]] = []

    def counter(self, name: str, about: str, by: Sequence[str] = ()) -> Counter:
        made = Counter(name, about, by, registry=self.registry)
        return self._kept(made, f"{name}_total", "counter", about, by)

    def gauge(
        self, name: str, about: str, by: Sequence[str] = (), multiprocess_mode: Any = "livemax"
    ) -> Gauge:
        made = Gauge(name, about, by, registry=self.registry, multiprocess_mode=multiprocess_mode)
        return self._kept(made, name, "gauge", about, by)

    def histogram(
        self, name: str, about: str, by: Sequence[str], buckets: Sequence[float]
    ) -> QuickHistogram:
        made = QuickHistogram(name, about, by, registry=self.registry, buckets=buckets)
        return self._kept(made, name, "histogram", about, by)

    def _kept(self, made: Kind, name: str, type: str, about: str, by: Sequence[str]) -> Kind:
        self.described.append(Described(name, type, tuple(by), about))
        if set(VERSION) <= set(by):
            self._of_versions.append(made)
        elif "model" in by:
            self._of_models.append(made)
        return made

    def quick(self, labels: Callable[..., Child]) -> Callable[..., Child]:
        """Return a quicker form of the method `labels` of a figure, which keeps what it returns."""
        kept = cache(labels)
        self._forgetting.append(kept.cache_clear)
        return kept

    def forget_the_gone(self) -> None:
        """Remove the figures of versions and models that are gone for long enough."""
        for model, version in self.versions.over():
            by = {"model": model, "version": version} if version else {"model": model}
            with warnings.catch_warnings(action="ignore"):  # of workers: `exposition` leaves it out
                for figures in self._of_versions if version else self._of_models:
                    figures.remove_by_labels(by)
            for forget in self._forgetting:
                forget()

"""The Prometheus metrics of several workers, summed.

Each worker writes its metrics to a folder, and the worker that answers /metrics reads all of them.
The environment variable `PROMETHEUS_MULTIPROC_DIR`, which Prometheus' client reads too, names the
folder. Without it there is only one process, which has its metrics in memory.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_STARTED = "process_start_time_seconds"


@contextmanager
def shared() -> Iterator[None]:
    """Set a temporary folder for the metrics of processes started inside, unless one is set."""
    if os.environ.get(FOLDER):
        yield
        return
    with TemporaryDirectory(prefix="fanlight-metrics-") as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]


def are_shared() -> bool:
    """Whether this process is one of several workers."""
    return bool(os.environ.get(FOLDER))


def registry(has_figures: Callable[[str, str], bool]) -> CollectorRegistry | None:
    """The figures of all workers together; None where there is one process only.

    Figures of a version are left out unless `has_figures(model, version)`, those of a model unless
    `has_figures(model, "")`: what workers have written can't be removed.
    """
    if not are_shared():
        return None
    folder = Path(os.environ[FOLDER])
    _forget_the_dead(folder)
    found = CollectorRegistry()
    found.register(_Written(has_figures))
    found.register(_Workers(folder))
    return found


def leave() -> None:
    """Withdraw the gauges of this process, which ends; what it has counted stays."""
    if are_shared():
        mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]


class _Written:
    """A collector of what the workers have written, summed, without versions that are gone."""

    def __init__(self, has_figures: Callable[[str, str], bool]) -> None:
        self._has_figures = has_figures
        self._all = MultiProcessCollector(None)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterator[Metric]:
        for metric in self._all.collect():  # type: ignore[no-untyped-call]
            metric.samples = [each for each in metric.samples if self._is_told(each.labels)]
            yield metric

    def _is_told(self, labels: Mapping[str, str]) -> bool:
        model = labels.get("model")  # empty for requests that are about none
        return not model or self._has_figures(model, labels.get("version", ""))


class _Workers:
    """A collector of the process metrics (CPU, memory, files), summed over the workers."""

    def __init__(self, folder: Path) -> None:
        self._pids = _pids(folder)

    def collect(self) -> Iterator[Metric]:
        by_name = defaultdict[str, list[Metric]](list)
        for pid in self._pids:
            told = ProcessCollector(pid=partial(int, pid), registry=CollectorRegistry())
            for metric in told.collect():
                by_name[metric.name].append(metric)
        for name, metrics in by_name.items():
            values = [sample.value for metric in metrics for sample in metric.samples]
            total = min(values) if name == _STARTED else sum(values)
            kind = CounterMetricFamily if metrics[0].type == "counter" else GaugeMetricFamily
            yield kind(name, metrics[0].documentation, value=total)


def _pids(folder: Path) -> set[int]:
    """Return the ids of the processes that have written gauges to the folder, alive or not."""
    return {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*_*.db")}


def _forget_the_dead(folder: Path) -> None:
    """Withdraw the gauges of workers that were killed. Their counters stay in the sums."""
    for pid in _pids(folder):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
        except PermissionError:  # it lives, as another user
            continue

"""The sums of a version: what is counted, and when the metrics hear of it."""

import time

import pytest

from service.inference.statistics import MAX_KEPT_REQUESTS, STAGES, Statistics
from service.monitoring.work import Work

STARTED = 1000.0  # of `perf_counter`
AGO = 5.0  # seconds since the last answer


class Told:
    """What the metrics were told: number and seconds by stage, one mapping for each report."""

    def __init__(self) -> None:
        self.reports: list[dict[str, tuple[int, float]]] = []

    def __call__(self, stage: str, count: int, seconds: float) -> None:
        if not self.reports or stage in self.reports[-1]:
            self.reports.append({})
        self.reports[-1][stage] = (count, seconds)


def work(started: float = STARTED) -> Work:
    """An answered request with three images, and times that are exact in binary."""
    work = Work("colors", 1)
    work.images, work.started = 3, started
    work.receive, work.decode, work.queue, work.forward = 0.5, 0.25, 0.125, 2.0
    return work


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def statistics(told: Told) -> Statistics:
    return Statistics(told)


def test_requests_are_told_together_once_there_are_many(statistics: Statistics, told: Told) -> None:
    for _ in range(MAX_KEPT_REQUESTS - 1):
        statistics.succeeded(work())
    assert not told.reports
    statistics.succeeded(work())
    [report] = told.reports
    assert tuple(report) == STAGES
    assert report["receive"] == (256, 256 * 0.5)
    assert report["decode"] == (256, 256 * 0.25)
    assert report["forward"] == (256, 256 * 2.0)
    assert report["queue"] == report["encode"] == (0, 0.0)  # counted elsewhere, see below
    assert statistics.images == 256 * 3
    assert (statistics.answered.count, statistics.answered.seconds) == (256, 256 * 2.375)


def test_each_report_has_what_came_since_the_last(statistics: Statistics, told: Told) -> None:
    for count in (2, 0, 1):
        for _ in range(count):
            statistics.succeeded(work())
        statistics.report()
    assert [report["forward"] for report in told.reports] == [(2, 4.0), (0, 0.0), (1, 2.0)]


def test_the_queue_counts_when_requests_leave_it(statistics: Statistics, told: Told) -> None:
    statistics.left_queue([0.5, 0.25])
    statistics.report()
    assert told.reports[0]["queue"] == (2, 0.75)


def test_encoding_counts_when_the_answer_is_ready(statistics: Statistics, told: Told) -> None:
    request = work()
    statistics.succeeded(request)
    request.answered(request.finished + 0.5)
    statistics.report()
    count, seconds = told.reports[0]["encode"]
    assert count == 1
    assert seconds == pytest.approx(0.5)


def test_the_last_answer_is_that_of_the_last_request(
    statistics: Statistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = work(STARTED + 60)
    now = last.finished + AGO
    monkeypatch.setattr("service.inference.statistics.perf_counter", lambda: now)
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000 * 1_000_000)
    statistics.succeeded(work(STARTED))
    statistics.succeeded(last)
    statistics.sum_up()
    assert statistics.last_milliseconds == 1_700_000_000_000 - 5000
    statistics.sum_up()  # nothing came since
    assert statistics.last_milliseconds == 1_700_000_000_000 - 5000


def test_forward_passes_are_counted_by_their_number_of_images(statistics: Statistics) -> None:
    for images, seconds in ((1, 0.5), (8, 1.0), (8, 2.0)):
        statistics.ran(images, seconds)
    assert {images: each.count for images, each in statistics.passes.items()} == {1: 1, 8: 2}
    assert statistics.passes[8].seconds == 3.0

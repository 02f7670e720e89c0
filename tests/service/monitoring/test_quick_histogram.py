"""Many values together are counted as they are one by one."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from service.monitoring.quick_histogram import QuickHistogram

BUCKETS = (0.25, 0.5, 2)


@pytest.mark.parametrize(
    "amounts", [[], [0.25], [0.0, 0.25, 0.375, 0.5, 0.625, 2.0, 2.5, 100.0], [3.0] * 1000]
)
def test_it_counts_as_one_by_one(amounts: list[float]) -> None:
    told = []
    for together in (True, False):
        registry = CollectorRegistry()
        figure = QuickHistogram("x", "X", ["by"], registry=registry, buckets=BUCKETS).labels("y")
        if together:
            figure.observe_all(amounts)
        else:
            for amount in amounts:
                figure.observe(amount)
        lines = generate_latest(registry).decode().splitlines()
        told.append([line for line in lines if "_created" not in line])
    assert told[0] == told[1]

"""Token buckets: so many together, then so many a second."""

import pytest

from service.access import rate_limit
from service.access.rate_limit import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def allowed(limit: RateLimit, client: str, asked: int) -> int:
    return sum(limit.take(client) == 0 for _ in range(asked))


def test_a_burst_then_the_rate(clock: Clock) -> None:
    limit = RateLimit(2, 5, clock)
    assert allowed(limit, "a", 20) == 5
    clock.now += 0.5
    assert allowed(limit, "a", 20) == 1
    clock.now += 1.5
    assert allowed(limit, "a", 20) == 3
    clock.now += 1000
    assert allowed(limit, "a", 20) == 5  # never more than the burst


def test_it_tells_when_to_come_again(clock: Clock) -> None:
    limit = RateLimit(0.5, 1, clock)
    assert limit.take("a") == 0
    wait = limit.take("a")
    assert wait == pytest.approx(2)
    assert limit.take("a") == pytest.approx(2)  # asking in vain costs nothing
    clock.now += wait
    assert limit.take("a") == 0


def test_each_client_has_its_own_bucket(clock: Clock) -> None:
    limit = RateLimit(1, 2, clock)
    assert allowed(limit, "a", 5) == 2
    assert allowed(limit, "b", 5) == 2


@pytest.mark.parametrize("rate", [0.1, 3, 7, 50, 1000])
def test_a_steady_client_at_the_rate_is_never_refused(rate: float, clock: Clock) -> None:
    limit = RateLimit(rate, 1, clock)
    for _ in range(2000):
        assert limit.take("a") == 0
        clock.now += 1 / rate


def test_as_many_as_the_rate_says_over_time(clock: Clock) -> None:
    limit = RateLimit(10, 10, clock)
    passed = 0
    for _ in range(1000):  # for ten seconds, ten times too often
        passed += limit.take("a") == 0
        clock.now += 0.01
    assert passed == pytest.approx(10 + 10 * 10, abs=1)


def test_it_keeps_a_bounded_number_of_clients(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "MAX_CLIENTS", 3)
    limit = RateLimit(1, 1, clock)
    assert [limit.take(name) for name in "abc"] == [0, 0, 0]
    clock.now += 0.5
    assert limit.take("a") > 0
    for name in "defg":
        assert limit.take(name) == 0
    assert limit.take("a") == 0  # forgotten: it asked longest ago
    assert limit.take("g") > 0

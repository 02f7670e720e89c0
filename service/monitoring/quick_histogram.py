"""A histogram that takes many values together; one alone takes a microsecond, two in a worker."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from prometheus_client import Histogram


class QuickHistogram(Histogram):
    """A `Histogram` with `observe_all`. It uses private members, so pyproject has a bound."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observe each of the amounts, as `observe` does."""
        places = Counter(bisect_left(self._upper_bounds, amount) for amount in amounts)
        for place, count in places.items():
            self._buckets[place].inc(count)
        self._sum.inc(sum(amounts))

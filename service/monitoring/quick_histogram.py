"""A Prometheus histogram to which many values can be added in one call.

Adding them one by one takes 1 µs for each, and 2 µs in a process with several workers.
"""

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

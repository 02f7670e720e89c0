"""Which versions still have figures: those that are there, and for a while those that are gone.

Without an end, each version that was ever served would stay in memory and in /metrics. A model is
there as long as one of its versions is.
"""

import time
from collections.abc import Callable

KEPT_SECONDS = 300.0  # after a version is gone, so that Prometheus sees its last figures
Version = tuple[str, str]
"""A model and the number of a version, as labels of figures have them; "" for the model itself."""


class GoneVersions:
    """The versions that this process serves, and when the others were gone.

    Other workers may serve a version of which this process knows nothing; it counts as gone from
    when its figures are first met.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._there: set[Version] = set()
        self._since: dict[Version, float] = {}
        self._over: set[Version] = set()  # never emptied: a pair takes some 200 bytes

    def there(self, model: str, version: int) -> None:
        """Note that a version is there."""
        for pair in ((model, str(version)), (model, "")):
            self._there.add(pair)
            self._since.pop(pair, None)
            self._over.discard(pair)

    def gone(self, model: str, version: int) -> None:
        """Note that a version is gone. Its figures stay for `KEPT_SECONDS`."""
        self._end((model, str(version)))
        if {each for each in self._there if each[0] == model} <= {(model, "")}:
            self._end((model, ""))

    def _end(self, pair: Version) -> None:
        self._there.discard(pair)
        self._since[pair] = self._clock()

    def is_served(self, model: str) -> bool:
        """Return whether a version of the model is there."""
        return (model, "") in self._there

    def over(self) -> list[Version]:
        """Return the versions whose figures are to be removed now; each is returned once."""
        limit = self._clock() - KEPT_SECONDS
        found = [pair for pair, since in self._since.items() if since <= limit]
        for pair in found:
            del self._since[pair]
        self._over.update(found)
        return found

    def has_figures(self, model: str, version: str) -> bool:
        """Return whether /metrics tells the figures of a version, which any worker may serve.

        An empty `version` asks for the figures of the model itself.
        """
        pair = model, version
        if pair not in self._there and pair not in self._over:
            self._since.setdefault(pair, self._clock())
        return pair not in self._over

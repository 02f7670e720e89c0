"""How often a client may ask: a token bucket for each, kept as one number.

The generic cell rate algorithm (ITU-T I.371) is a token bucket that keeps the time at which the
bucket would be full again, in place of a number of tokens and the time of its last change.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

MAX_CLIENTS = 2**16  # of which the time is kept; the one that asked longest ago is forgotten first
_ROUNDING = 1e-9  # seconds


class RateLimit:
    """A limit for each client: at most `burst` requests together, then `rate` a second."""

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / rate  # seconds for one token
        self._slack = (burst - 1) / rate
        self._clock = clock
        self._full: OrderedDict[Hashable, float] = OrderedDict()  # when the client's bucket is

    def take(self, client: Hashable) -> float:
        """Count a request; return 0 if it may pass, else the seconds until the client may retry.

        A refused request takes no token from the bucket.
        """
        now = self._clock()
        full = max(self._full.get(client, now), now)
        wait = full - now - self._slack
        if wait > _ROUNDING:
            return wait
        self._full[client] = full + self._interval
        self._full.move_to_end(client)
        if len(self._full) > MAX_CLIENTS:
            self._full.popitem(last=False)
        return 0.0

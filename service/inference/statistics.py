"""What a version has done since it was loaded: requests, images, and where their time went.

    receive → decode → queue → forward → encode

It is counted in each process by itself; /metrics sums the workers.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from time import perf_counter

from service.monitoring.work import Work

Report = Callable[[str, int, float], None]
"""A callback: gets a stage of `STAGES`, its number of further requests, and their seconds there."""
STAGES = ("receive", "decode", "queue", "forward", "encode")
MAX_KEPT_REQUESTS = 256  # requests, after which sums are reported; at the latest when somebody asks
_FIGURES = attrgetter("images", "receive", "decode", "queue", "forward")


@dataclass
class Duration:
    """A number of events, and the seconds that they took in total."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        self.count += count
        self.seconds += seconds


@dataclass
class Statistics:
    """The sums of one version. `tell` gets how much the sums of each stage have grown.

    Answered requests are added by `sum_up`, many at a time, since that takes less time for each.
    """

    tell: Report
    images: int = 0  # that were answered
    decoding: int = 0  # images that wait to be decoded, or are being decoded
    last_milliseconds: int = 0  # of the last answer, since 1970
    answered: Duration = field(default_factory=Duration)  # requests, from decoding to results
    failed: Duration = field(default_factory=Duration)
    stages: dict[str, Duration] = field(
        default_factory=lambda: {stage: Duration() for stage in STAGES}
    )
    passes: defaultdict[int, Duration] = field(default_factory=lambda: defaultdict(Duration))
    """Forward passes, by the number of their images."""
    _told: dict[str, Duration] = field(default_factory=lambda: defaultdict(Duration))
    _succeeded: list[Work] = field(default_factory=list)  # requests that are not in the sums yet

    def ran(self, images: int, seconds: float) -> None:
        """Count a forward pass of `images` images."""
        self.passes[images].add(seconds)

    def left_queue(self, waits: Sequence[float]) -> None:
        """Count requests that leave the queue for their first batch, by the seconds they waited."""
        self.stages["queue"].add(sum(waits), len(waits))

    def succeeded(self, work: Work) -> None:
        """Count a request that the network has answered, with the time of each stage.

        The time to encode its answer is added later, through `work.encoded`.
        """
        self._succeeded.append(work)
        work.encoded = self.stages["encode"].add
        if len(self._succeeded) == MAX_KEPT_REQUESTS:
            self.report()

    def sum_up(self) -> None:
        """Add the requests that were answered since the last call."""
        works, self._succeeded = self._succeeded, []
        if not works:
            return
        images, receive, decode, queue, forward = map(sum, zip(*map(_FIGURES, works), strict=True))
        self.images += images
        self.answered.add(decode + queue + forward, len(works))
        for stage, seconds in (("receive", receive), ("decode", decode), ("forward", forward)):
            self.stages[stage].add(seconds, len(works))
        ago = perf_counter() - works[-1].finished
        self.last_milliseconds = time.time_ns() // 1_000_000 - int(1000 * ago)

    def report(self) -> None:
        """Sum up, and call `tell` with how much each sum grew since the last report."""
        self.sum_up()
        for stage, now in self.stages.items():
            before = self._told[stage]
            self.tell(stage, now.count - before.count, now.seconds - before.seconds)
            self._told[stage] = Duration(now.count, now.seconds)

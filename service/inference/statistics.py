"""What a version has done since it was loaded: requests, images, and where their time went.

    bytes → decoding → queue → forward pass → results

It is counted in each process by itself; /metrics sums the workers.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Report = Callable[[str, int, float], None]
"""Gets a stage, `decode` or `queue`, and how many more requests have spent how many seconds there.
"""
MANY = 256  # requests, after which sums are reported; at the latest when somebody asks


@dataclass
class Duration:
    """How often, and how many seconds altogether."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        self.count += count
        self.seconds += seconds


@dataclass
class Statistics:
    """The sums of one version. `tell` gets how much each sum grew since the last call."""

    tell: Report
    images: int = 0  # that were answered
    last_milliseconds: int = 0  # of the last answer, since 1970
    answered: Duration = field(default_factory=Duration)  # requests, from decoding to results
    failed: Duration = field(default_factory=Duration)
    decoding: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    passes: defaultdict[int, Duration] = field(default_factory=lambda: defaultdict(Duration))
    """By the number of images."""
    _told: dict[str, Duration] = field(default_factory=lambda: defaultdict(Duration))

    def ran(self, images: int, seconds: float) -> None:
        """A forward pass."""
        self.passes[images].add(seconds)

    def left_queue(self, waits: Sequence[float]) -> None:
        """Count requests that leave the queue for their first batch, by the seconds they waited."""
        self.queue.add(sum(waits), len(waits))

    def succeeded(self, images: int, decoding: float, whole: float) -> None:
        """A request for so many images took so many seconds."""
        self.images += images
        self.last_milliseconds = time.time_ns() // 1_000_000
        self.decoding.add(decoding)
        self.answered.add(whole)
        if not self.decoding.count % MANY:
            self.report()

    def report(self) -> None:
        """Call `tell` with how much each sum grew since the last report."""
        for stage, now in (("decode", self.decoding), ("queue", self.queue)):
            before = self._told[stage]
            self.tell(stage, now.count - before.count, now.seconds - before.seconds)
            self._told[stage] = Duration(now.count, now.seconds)

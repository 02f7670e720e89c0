"""The record of a soak: outcomes by kind of request, durations, figures, broken promises."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from benchmarks.soak.figures import Figures

_KEPT = 20  # cases of one broken promise that are kept in full


class BrokenPromiseError(Exception):
    """A request showed that the promise of this name doesn't hold."""

    def __init__(self, promise: str, detail: str) -> None:
        super().__init__(detail)
        self.promise = promise


@dataclass(frozen=True)
class Sample:
    """Figures of the service while it gets no requests. `oldest` is a worker never harmed."""

    requests: int  # that were answered before
    seconds: float  # since the start
    supervisor: Figures
    oldest: Figures
    gauges: dict[str, float]  # of /metrics, summed over their labels, of the oldest where it says


@dataclass
class Record:
    answered: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    samples: list[Sample] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)
    cases: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    excused: set[int] = field(default_factory=set)  # clients' ports that a harmed worker held
    seen: dict[int, int] = field(default_factory=dict)  # client's port → version that answered it

    @property
    def requests(self) -> int:
        return sum(counts.total() for counts in self.answered.values())

    def note(self, kind: str, outcome: str) -> None:
        self.answered[kind][outcome] += 1

    def took(self, what: str, seconds: float) -> None:
        self.seconds[what].append(seconds)

    def breaks(self, promise: str, case: str) -> None:
        self.broken[promise] += 1
        if len(self.cases[promise]) < _KEPT:
            self.cases[promise].append(case[:500])

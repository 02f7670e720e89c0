"""A cluster under load, event by event: arrivals → balancer → instances, and the autoscaler.

Arrivals are Poisson, and each goes to any ready instance with the same chance, as with a balancer
that knows nothing of queues. All chance comes from one seeded generator, so a run can be repeated.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.simulation import autoscaler
from benchmarks.simulation.autoscaler import Rule, decide
from benchmarks.simulation.instance import USUAL, Bounds, Instance, Work

Rate = Callable[[float], float]  # seconds → requests a second


def ramp(base: float, factor: float, begin: float, seconds: float) -> Rate:
    """From `base` to `factor` times as many, evenly within `seconds`; 0 seconds are a burst."""

    def rate(now: float) -> float:
        if now < begin:
            return base
        part = 1.0 if now >= begin + seconds else (now - begin) / seconds
        return base * (1 + (factor - 1) * part)

    return rate


@dataclass(frozen=True)
class Plan:
    """What is simulated."""

    work: Work
    rate: Rate
    instances: int  # at the beginning, all ready
    seconds: float
    start: float  # seconds from the decision to a ready instance
    rule: Rule = autoscaler.USUAL
    bounds: Bounds = USUAL
    calm: float = 0  # seconds before which the autoscaler adds nothing


class Second(NamedTuple):
    """What happened within a second."""

    offered: int
    refused: int
    ready: int  # instances, at its end


@dataclass
class Outcome:
    """What a run showed."""

    offered: int = 0
    refused: int = 0
    took: list[float] = field(default_factory=list)  # seconds, of the answered requests
    seconds: list[Second] = field(default_factory=list)
    most: int = 0  # instances

    def quantile(self, part: float) -> float:
        ordered = sorted(self.took)
        return ordered[int(part * (len(ordered) - 1))] if ordered else float("inf")

    @property
    def refused_seconds(self) -> int:
        """Seconds in which a request was refused."""
        return sum(each.refused > 0 for each in self.seconds)


class Cluster:
    """One run of a plan."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self._plan, self._random = plan, random.Random(seed)
        self._ready = [Instance(plan.work, plan.bounds) for _ in range(plan.instances)]
        self._starting = 0
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = itertools.count()
        self._queues: dict[Instance, deque[tuple[float, int]]] = {}
        self._busy: dict[Instance, tuple[float, float]] = {}  # time, processor seconds until then
        self._utilizations: dict[Instance, float] = {}
        self._outcome = Outcome(most=plan.instances)
        self._counted = (0, 0)

    def run(self) -> Outcome:
        plan, rule = self._plan, self._plan.rule
        for period, action in (
            (rule.scrape, self._scrape),
            (rule.measure, self._measure),
            (rule.sync, self._sync),
        ):
            self._repeat(self._random.uniform(0, period), period, action)
        self._repeat(1.0, 1.0, self._count)
        arrival = self._random.expovariate(plan.rate(0))
        while arrival < plan.seconds:
            while self._events and self._events[0][0] <= arrival:
                now, _, event = heapq.heappop(self._events)
                event(now)
            self._arrive(arrival)
            arrival += self._random.expovariate(plan.rate(arrival))
        return self._outcome

    def _at(self, when: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), event))

    def _repeat(self, when: float, period: float, action: Callable[[float], None]) -> None:
        def event(now: float) -> None:
            action(now)
            self._at(now + period, event)

        self._at(when, event)

    def _arrive(self, now: float) -> None:
        self._outcome.offered += 1
        instance = self._ready[int(self._random.random() * len(self._ready))]
        if not instance.takes():
            self._outcome.refused += 1
            return
        instance.queue(now)
        if instance.is_idle:
            self._begin(instance, now)

    def _begin(self, instance: Instance, now: float) -> None:
        until = instance.begin(now)
        if until is not None:
            self._at(until, lambda now: self._end(instance, now))

    def _end(self, instance: Instance, now: float) -> None:
        self._outcome.took += instance.end(now)
        self._begin(instance, now)

    def _scrape(self, now: float) -> None:
        for each in self._ready:
            samples = self._queues.setdefault(each, deque())
            samples.append((now, each.queue_images))
            while samples[0][0] < now - self._plan.rule.window:
                samples.popleft()

    def _measure(self, now: float) -> None:
        for each in self._ready:
            before, used = self._busy.get(each, (each.began, 0.0))
            self._busy[each] = now, each.busy(now)
            if now - before > self._plan.rule.measure / 2:  # else there is no rate yet
                self._utilizations[each] = (each.busy(now) - used) / (now - before)

    def _sync(self, now: float) -> None:
        queues = [max(value for _, value in each) for each in self._queues.values()]
        if now < self._plan.calm or not self._utilizations or not queues:
            return
        total = len(self._ready) + self._starting
        wanted = decide(self._plan.rule, total, queues, [*self._utilizations.values()])
        for _ in range(wanted - total):
            self._starting += 1
            self._at(now + self._plan.start, self._started)

    def _started(self, now: float) -> None:
        self._starting -= 1
        self._ready.append(Instance(self._plan.work, self._plan.bounds, now))
        self._outcome.most = max(self._outcome.most, len(self._ready))

    def _count(self, _: float) -> None:
        offered, refused = self._counted
        self._counted = self._outcome.offered, self._outcome.refused
        self._outcome.seconds.append(
            Second(self._counted[0] - offered, self._counted[1] - refused, len(self._ready))
        )


def rate_at(work: Work, utilization: float, bounds: Bounds = USUAL, seconds: float = 20) -> float:
    """Requests a second at which one instance uses this part of a core, found by halving."""
    low, high = 0.0, work.capacity(bounds)
    for _ in range(12):
        middle = (low + high) / 2
        if _utilization(work, middle, bounds, min(seconds, 4000 / middle)) < utilization:
            low = middle
        else:
            high = middle
    return low


def _utilization(work: Work, rate: float, bounds: Bounds, seconds: float) -> float:
    """Part of a core that one instance uses at a rate."""
    chance, instance, until = random.Random(0), Instance(work, bounds), float("inf")
    now = 0.0
    while now < seconds:
        now += chance.expovariate(rate)
        while until <= now:
            instance.end(until)
            until = instance.begin(until) or float("inf")
        if instance.takes():
            instance.queue(now)
            if instance.is_idle:
                until = instance.begin(now) or float("inf")
    return instance.busy(now) / now

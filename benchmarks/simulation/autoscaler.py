"""When Kubernetes adds instances: the rule of a HorizontalPodAutoscaler with two metrics.

Every `sync` seconds each metric proposes a number of instances, and the largest counts: the number
that there is, times the metric's mean over its target, rounded up; no change within the tolerance
of a tenth. Instances that are not ready count as if they used nothing.
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/, "Algorithm details")

- `queue`: `max_over_time(fanlight_queue_images[30s])`, which Prometheus scrapes every 5 s.
- `utilization`: processor time over what an instance requests, one core; measured every 15 s.

KEDA's Prometheus trigger makes the same rule of the same query.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE = 0.1


@dataclass(frozen=True)
class Rule:
    """The settings of an autoscaler. Times are in seconds; None leaves a metric out."""

    queue: float | None = 32  # images that wait, the mean of the instances
    utilization: float | None = 0.5  # of a core, the mean of the instances
    most: int = 10  # instances, as deploy/kubernetes has it
    sync: float = 15
    scrape: float = 5  # of the queue
    window: float = 30  # over which the longest queue counts
    measure: float = 15  # of processor time
    growth: float = 1.0  # instances that may be added in one sync, as a share of those there are


USUAL = Rule()


def proposed(total: int, values: Sequence[float], target: float) -> int:
    """What one metric proposes, given its values for the instances that are ready."""
    ratio = sum(values) / (total * target)
    return total if abs(ratio - 1) <= TOLERANCE else math.ceil(ratio * total - 1e-9)


def decide(rule: Rule, total: int, queues: Sequence[float], utilizations: Sequence[float]) -> int:
    """Return how many instances there shall be, of `total` that are ready or starting.

    `queues` and `utilizations` are the values of those that are ready. None is taken away: what is
    simulated is shorter than the five minutes for which the autoscaler waits before it does so.
    """
    found = [total]
    if rule.queue is not None:
        found.append(proposed(total, queues, rule.queue))
    if rule.utilization is not None:
        found.append(proposed(total, utilizations, rule.utilization))
    return min(max(found), rule.most, math.ceil(total * (1 + rule.growth)))

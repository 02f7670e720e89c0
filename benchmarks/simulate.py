"""Do autoscaled instances keep up where requests double, within a minute or at once?

Simulates instances of one core behind a balancer, with the service's own bounds on its queue and
the rule of Kubernetes' autoscaler (`benchmarks/simulation/`). What an image costs is measured
(docs/speed.md, or --rate). Before the doubling there is nearly as much load as the autoscaler
accepts without adding an instance, and chance adds none. Ends with status 1 if a request got 429
while the load doubled within a minute.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.simulation.autoscaler import TOLERANCE, Rule
from benchmarks.simulation.cluster import Cluster, Outcome, Plan, ramp, rate_at
from benchmarks.simulation.instance import WORKS, Work

BEGIN = 30.0  # seconds of the usual load, in which the first figures are measured
SECONDS = 150.0
RAMP = 60.0
ABOVE = 0.7 * TOLERANCE  # of the target, before the doubling
MAX_LOAD = 0.8  # of what it can answer, where no target of processor time bounds it
SHAPES = {"within 60 s": RAMP, "at once": 0.0}
HEADER = (
    "| doubles | refused | in seconds | p50 ms | p99 ms | instances |\n|---|---|---|---|---|---|"
)


def scaled(work: Work, rate: float) -> Work:
    """The work with another measured rate: images a second that one core answers at most."""
    factor = work.capacity() / rate
    return replace(work, batch=work.batch * factor, image=work.image * factor)


def usual_rate(work: Work, rule: Rule) -> float:
    """Requests a second an instance gets before the doubling."""
    most = MAX_LOAD * work.capacity()
    if rule.utilization is None:
        return most
    return min(most, rate_at(work, min(0.99, rule.utilization * (1 + ABOVE))))


def outcome(
    work: Work, rule: Rule, seconds: float, start: float, instances: int, seed: int
) -> Outcome:
    """Simulate a doubling within `seconds`."""
    rate = ramp(instances * usual_rate(work, rule), 2, BEGIN, seconds)
    plan = Plan(work, rate, instances, SECONDS, start, rule, calm=BEGIN)
    return Cluster(plan, seed).run()


def rows(options: argparse.Namespace, work: Work, rule: Rule) -> Iterator[tuple[str, Outcome]]:
    """Each shape of the doubling with each seed, as it is done."""
    for shape, seconds in SHAPES.items():
        for seed in range(options.seeds):
            yield shape, outcome(work, rule, seconds, options.start, options.instances, seed)


def line(shape: str, found: Outcome) -> str:
    share = f"{found.refused} of {found.offered}"
    times = (f"{1000 * found.quantile(part):.0f}" for part in (0.5, 0.99))
    parts = (shape, share, str(found.refused_seconds), *times, str(found.most))
    return f"| {' | '.join(parts)} |"


def draw(file: Path, work: Work, rules: dict[str, Rule], start: float, instances: int) -> None:
    """Draw requests, what the ready instances can answer, and refusals: a column a rule."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(rules), 5.2), layout="constrained")
    axes = figure.subplots(len(SHAPES), len(rules), sharex=True, sharey="row", squeeze=False)
    capacity = work.capacity()
    for row, (shape, seconds) in zip(axes, SHAPES.items(), strict=True):
        for plot, (name, rule) in zip(row, rules.items(), strict=True):
            found = outcome(work, rule, seconds, start, instances, 0).seconds
            times = range(len(found))
            ready = [each.ready * capacity for each in found]
            plot.plot(times, [each.offered for each in found], label="requests", color="C0")
            plot.step(times, ready, label="what is ready can answer", color="C2")
            plot.plot(times, [each.refused for each in found], label="refused (429)", color="C3")
            plot.set_title(f"doubles {shape}; {name}", fontsize=9)
            plot.set_ylim(bottom=0)
    for plot in axes[-1]:
        plot.set_xlabel("seconds")
    for row in axes:
        row[0].set_ylabel("a second")
    axes[0][0].legend(fontsize=8, loc="lower right")
    figure.savefig(file, dpi=90, metadata={"Software": None})


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to 1000")
    return value


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m benchmarks simulate", description=__doc__)
    found.add_argument("work", nargs="?", choices=WORKS, default="photograph")
    found.add_argument(
        "--rate", type=positive, help="images a second that one core answers at most"
    )
    found.add_argument("--utilization", type=positive, default=0.5, help="target of processor time")
    found.add_argument("--queue", type=positive, default=32, help="target of fanlight_queue_images")
    found.add_argument("--queue-only", action="store_true", help="no target of processor time")
    found.add_argument("--start", type=positive, default=10, help="seconds until a pod is ready")
    found.add_argument("--instances", type=count, default=2, help="at the beginning")
    found.add_argument("--most", type=count, default=10, help="instances, of the autoscaler")
    found.add_argument("--seeds", type=count, default=3, help="runs of each kind")
    found.add_argument("--plot", type=Path, metavar="FILE", help="also draw it, beside queue only")
    return found


def main() -> int:
    asked = parser()
    options = asked.parse_args()
    if not 0.05 <= options.utilization <= 0.9:
        asked.error("--utilization is a part of a core, from 0.05 to 0.9")
    if options.plot and not options.plot.parent.is_dir():
        asked.error(f"there is no folder {options.plot.parent}; make it, or name another")
    if options.most < options.instances:
        asked.error(f"--most {options.most} is below the instances at the beginning")
    work = WORKS[options.work]
    if options.rate:
        work = scaled(work, options.rate)
    target = None if options.queue_only else options.utilization
    rule = Rule(queue=options.queue, utilization=target, most=options.most)
    load = usual_rate(work, rule)
    print(
        f"{work.name}: {work.capacity():.0f} images a second and core; {options.instances} "
        f"instances with {load:.0f} requests a second each before the doubling; pods are ready "
        f"after {options.start:g} s; {rule}\n\n{HEADER}"
    )
    kept = True
    for shape, found in rows(options, work, rule):
        print(line(shape, found), flush=True)
        kept = kept and (SHAPES[shape] == 0 or not found.refused)
    if options.plot:
        rules = {
            "both targets": rule,
            "queue only": replace(rule, utilization=None),
        }
        draw(options.plot, work, rules, options.start, options.instances)
    print("\nno 429 while it doubles within 60 s" if kept else "\n429 while it doubles within 60 s")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

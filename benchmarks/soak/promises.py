"""What the service promises about staying up: each promise with its tests and the soak's verdict.

`docs/reliability.md` shows them. The tests are functions of `tests/faults`; one of `tests` checks
that they exist.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.soak.record import Record, Sample
from benchmarks.soak.run import TASKS
from models.registry import markdown_table

FIGURES = Path(__file__).parents[2] / "docs" / "reliability.json"
_WARM = 2  # rounds whose figures don't count: caches fill, the allocator finds its size
_ENOUGH = 6  # samples after them, or nothing is said of a slope
MEMORY_SLOPE = 4.0  # MiB for 100,000 requests
LIVE = 2.0  # seconds, with a load and faults beside it


@dataclass(frozen=True)
class Verdict:
    """The verdict of a soak on a promise.

    `kept` is None if the run shows nothing about the promise, because it was too short for example.
    """

    kept: bool | None
    figure: str


@dataclass(frozen=True)
class Promise:
    """A promise of the service.

    `tests` are `file: function` in tests/faults. `judge` is None if only tests check the promise.
    """

    name: str
    text: str
    tests: tuple[str, ...]
    judge: Callable[[Record], Verdict] | None = None


def _never(name: str, counted: str) -> Callable[[Record], Verdict]:
    def judge(record: Record) -> Verdict:
        broken = record.broken[name]
        return Verdict(not broken, f"{broken} of {counted.format(requests=record.requests)}")

    return judge


def _times(name: str, *durations: str) -> Callable[[Record], Verdict]:
    """Make a judge: the promise is kept if never broken. Its figure has the slowest duration.

    There is no verdict if nothing happened.
    """

    def judge(record: Record) -> Verdict:
        found = [each for what in durations for each in record.seconds[what]]
        if not found and not record.broken[name]:
            return Verdict(None, "it did not happen")
        slowest = f", the slowest {max(found):.1f} s" if found else ""
        return Verdict(
            not record.broken[name], f"{len(found)} times{slowest}; {record.broken[name]} broken"
        )

    return judge


def _lives(record: Record) -> Verdict:
    found = sorted(record.seconds["health/live"])
    if not found:
        return Verdict(None, "nobody asked")
    high, worst = found[int(0.99 * len(found))], found[-1]
    kept = not record.broken["lives"] and worst <= LIVE
    return Verdict(
        kept,
        f"{len(found)} looks: p99 {1000 * high:.0f} ms, the slowest {1000 * worst:.0f} ms, "
        f"{record.broken['lives']} without an answer",
    )


def _memory(record: Record) -> Verdict:
    settled = record.samples[_WARM:]
    if len(settled) < _ENOUGH:
        return Verdict(None, f"{len(settled)} rounds after the first {_WARM} are too few")
    per_100_000 = slope([(each.requests / 1e5, each.oldest.resident) for each in settled])
    first, last = settled[0].oldest.resident, settled[-1].oldest.resident
    return Verdict(
        per_100_000 <= MEMORY_SLOPE,
        f"{per_100_000:+.1f} MiB for 100,000 requests; {first:.0f} → {last:.0f} MiB",
    )


def _flat(
    what: str, of: Callable[[Sample], float | None], slack: float
) -> Callable[[Record], Verdict]:
    def judge(record: Record) -> Verdict:
        found = [of(each) for each in record.samples[_WARM:]]
        values = [each for each in found if each is not None]
        if len(values) < _ENOUGH:
            return Verdict(None, f"{len(values)} rounds after the first {_WARM} are too few")
        third = len(values) // 3
        before, after = median(values[:third]), median(values[-third:])
        return Verdict(after - before <= slack, f"{before:.0f} → {after:.0f} {what}")

    return judge


def slope(points: list[tuple[float, float]]) -> float:
    """Return the Theil-Sen slope: the median over all pairs, which a few outliers don't move."""
    return median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2))


def _log(record: Record) -> Verdict:
    broken = record.broken["log"]
    return Verdict(not broken, f"{broken} lines are cut, or tell of an error nobody made")


PROMISES = (
    Promise(
        "right answers",
        "An answer 200 is the right one, of the version that it names: whatever fails beside it.",
        (
            "test_versions.py: test_answers_are_right_while_versions_are_swapped",
            "test_workers.py: test_a_killed_worker_takes_only_its_own_connections_with_it",
        ),
        _never("right answers", "{requests:,} requests"),
    ),
    Promise(
        "no 500",
        "Nothing that a client sends is answered with 500.",
        ("test_clients.py: test_hostile_bytes_get_no_500_and_leave_nothing_behind",),
        _never("no 500", "{requests:,} requests"),
    ),
    Promise(
        "truth",
        "A wrong request gets the status that says so, a refusal says when to try again, and "
        "`/v1/models` and `/metrics` say what is.",
        (
            "test_versions.py: test_a_bad_version_is_called_failed_and_the_one_before_answers",
            "test_workers.py: test_what_a_killed_worker_served_is_not_told_for_ever",
            "test_clients.py: test_a_flood_is_refused_with_a_time_to_come_back",
        ),
        _never("truth", "{requests:,} requests"),
    ),
    Promise(
        "nothing lost",
        "A request that was accepted is answered, unless the worker that held it was killed.",
        (
            "test_workers.py: test_a_killed_worker_takes_only_its_own_connections_with_it",
            "test_ending.py: test_what_was_accepted_is_answered_before_the_end",
        ),
        _never("nothing lost", "{requests:,} requests"),
    ),
    Promise(
        "ends",
        "A connection whose client sends no more, or sends nonsense, comes to an end.",
        ("test_clients.py: test_hostile_bytes_get_no_500_and_leave_nothing_behind",),
        _never("ends", "{requests:,} requests"),
    ),
    Promise(
        "lives",
        f"`/health/live` answers throughout, here within {LIVE:g} s beside the load.",
        (
            "test_log.py: test_a_log_that_nobody_reads_stops_nothing",
            "test_clients.py: test_idle_and_unfinished_connections_stop_nobody",
        ),
        _lives,
    ),
    Promise(
        "ready",
        "`/health/ready` says 200 only while requests should come: not while it ends, not before "
        "it has loaded.",
        (
            "test_ending.py: test_ready_says_no_before_the_end",
            "test_repository.py: test_a_repository_out_of_reach_stops_nothing",
        ),
        _never("ready", "{requests:,} requests"),
    ),
    Promise(
        "workers",
        "A worker that is killed or hangs is replaced.",
        (
            "test_workers.py: test_a_killed_worker_takes_only_its_own_connections_with_it",
            "test_workers.py: test_a_worker_that_hangs_is_replaced",
        ),
        _times(
            "workers",
            "a killed worker is replaced",
            "a worker that hangs is replaced",
        ),
    ),
    Promise(
        "no orphans",
        "A service that ends, in whatever way, leaves no process behind.",
        (
            "test_ending.py: test_no_process_is_left_after_the_end",
            "test_ending.py: test_no_process_is_left_when_the_supervisor_is_killed",
        ),
    ),
    Promise(
        "swaps",
        "A new version answers on every worker once it is loaded, and a removed one is let go.",
        ("test_versions.py: test_answers_are_right_while_versions_are_swapped",),
        _times("swaps", "a new version answers everywhere"),
    ),
    Promise(
        "bad versions",
        "A version that can't be trusted never answers, and holds up no other.",
        (
            "test_versions.py: test_a_bad_version_is_called_failed_and_the_one_before_answers",
            "test_versions.py: test_a_version_that_never_ends_loading_holds_up_no_other",
            "test_versions.py: test_a_version_with_infinite_outputs_is_not_an_internal_error",
        ),
    ),
    Promise(
        "disks",
        "A full disk, or one that is gone, stops nothing that is loaded, and falsifies nothing.",
        (
            "test_repository.py: test_a_repository_out_of_reach_stops_nothing",
            "test_repository.py: test_a_disk_that_takes_nothing_changes_no_answer",
        ),
    ),
    Promise(
        "log",
        "Each line of the log is whole, and no fault of the log stops or falsifies the service.",
        (
            "test_log.py: test_a_log_that_nobody_reads_stops_nothing",
            "test_log.py: test_a_log_that_can_not_be_written_falsifies_nothing",
        ),
        _log,
    ),
    Promise(
        "open files",
        "At the limit of open files, connections that were there are answered, and new ones again "
        "once there is room.",
        ("test_clients.py: test_at_the_limit_of_open_files_old_connections_are_answered",),
        _flat("open files", lambda sample: sample.oldest.files, slack=8),
    ),
    Promise(
        "memory",
        f"Memory does not grow with requests: at most {MEMORY_SLOPE:g} MiB for 100,000.",
        ("test_clients.py: test_answers_that_nobody_reads_are_given_up",),
        _memory,
    ),
    Promise(
        "threads",
        "Threads do not grow with requests.",
        ("test_clients.py: test_hostile_bytes_get_no_500_and_leave_nothing_behind",),
        _flat("threads", lambda sample: sample.oldest.threads, slack=4),
    ),
    Promise(
        "tasks",
        "Tasks of asyncio do not grow with requests.",
        ("test_clients.py: test_hostile_bytes_get_no_500_and_leave_nothing_behind",),
        _flat("tasks", lambda sample: sample.gauges.get(TASKS), slack=8),
    ),
    Promise(
        "exit",
        "It ends with exit code 0 on SIGTERM.",
        ("test_ending.py: test_it_ends_with_exit_code_0",),
        _never("exit", "1 end"),
    ),
)


def judge(record: Record) -> dict[str, Verdict]:
    """Return the verdicts by the promise's name, for the promises that a soak can judge."""
    return {each.name: each.judge(record) for each in PROMISES if each.judge}


def table() -> str:
    """The promises with their tests and the last figures, in Markdown."""
    found = _last()["promises"]
    rows = []
    for each in PROMISES:
        tests = "<br>".join(f"`tests/faults/{test}`" for test in each.tests)
        rows.append([each.text, tests, _shown(found[each.name]) if each.judge else "only by tests"])
    return markdown_table(["promise", "tests", "last soak"], rows)


def last_run() -> str:
    """Return the requests and outcomes of the last soak as a Markdown table."""
    found = _last()
    good = {name: each for name, each in found["kinds"].items() if "right" in each}
    rows = [
        ["command", f"`{found['command']}`"],
        ["time", f"{found['seconds'] / 60:.0f} minutes, {len(found['samples'])} rounds"],
        ["requests", f"{found['requests']:,}"],
        ["answers compared with the oracle", f"{sum(each['right'] for each in good.values()):,}"],
        *([f"outcome: {outcome}", f"{count:,}"] for outcome, count in found["outcomes"].items()),
    ]
    return markdown_table(["what", "figure"], rows)


def _last() -> Any:
    return json.loads(FIGURES.read_text(encoding="utf-8"))


def _shown(last: dict[str, Any]) -> str:
    word = {True: "kept", False: "**broken**", None: "not judged"}[last["kept"]]
    return f"{word}: {last['figure']}"

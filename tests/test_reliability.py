"""docs/reliability.md: each promise names tests that exist, and the soak judges what it says."""

import ast
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.soak.figures import Figures
from benchmarks.soak.promises import FIGURES, PROMISES, judge, slope
from benchmarks.soak.record import Record, Sample

FAULTS = Path(__file__).parent / "faults"
ENOUGH = 10  # rounds


def functions(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_a_promise_names_tests_that_exist() -> None:
    named = [test for promise in PROMISES for test in promise.tests]
    there = {
        f"{file.name}: {name}" for file in FAULTS.glob("test_*.py") for name in functions(file)
    }
    assert all(promise.tests for promise in PROMISES)
    assert set(named) - there == set()


def test_the_last_figures_are_of_a_run_that_judged_the_promises_of_today() -> None:
    found = json.loads(FIGURES.read_text())
    assert found["command"].startswith("python -m benchmarks soak")
    assert found["promises"].keys() == {each.name for each in PROMISES if each.judge}
    assert found["requests"] > 0


def test_the_page_says_which_command_gave_the_figures() -> None:
    page = (FIGURES.with_suffix(".md")).read_text()
    assert re.search(r"`python -m benchmarks soak\b", page)


def recorded(growth: float = 0, files: int = 30, tasks: int = 9, rounds: int = ENOUGH) -> Record:
    """A run of 10,000 requests a round, whose memory grows by so many MiB in each."""
    record = Record()
    record.seconds["health/live"] = [0.01] * 100
    for number in range(1, rounds + 1):
        own = Figures(resident=300 + growth * number, files=files, threads=12)
        gauges = {"fanlight_event_loop_tasks": float(tasks)}
        record.samples.append(Sample(10_000 * number, 10.0 * number, own, own, gauges))
    return record


def test_a_run_without_faults_breaks_no_promise() -> None:
    assert [name for name, each in judge(recorded()).items() if each.kept is False] == []


def test_a_case_breaks_the_promise_that_it_names() -> None:
    record = recorded()
    for name in ("right answers", "no 500", "nothing lost", "log", "exit", "lives", "workers"):
        record.breaks(name, "seen")
    broken = {name for name, each in judge(record).items() if each.kept is False}
    assert broken == set(record.broken)


@pytest.mark.parametrize(
    ("promise", "grown"),
    [
        ("memory", recorded(growth=1)),  # 10 MiB for 100,000 requests
        ("memory", None),
        ("open files", None),
        ("threads", None),
        ("tasks", None),
    ],
)
def test_what_grows_is_seen(promise: str, grown: Record | None) -> None:
    record = grown or recorded()
    if grown is None:
        record.samples = [
            Sample(
                each.requests,
                each.seconds,
                each.supervisor,
                Figures(300 + 5.0 * number, 30 + 5 * number, 12 + 2 * number),
                {"fanlight_event_loop_tasks": 9.0 + 4 * number},
            )
            for number, each in enumerate(record.samples)
        ]
    assert judge(record)[promise].kept is False


def test_a_short_run_says_nothing_of_growth() -> None:
    verdicts = judge(recorded(growth=100, rounds=3))
    unjudged = {name for name, each in verdicts.items() if each.kept is None}
    assert {"memory", "open files", "threads", "tasks"} <= unjudged


def test_a_probe_that_waited_too_long_breaks_a_promise() -> None:
    record = recorded()
    record.seconds["health/live"].append(5)
    assert judge(record)["lives"].kept is False


def test_one_odd_sample_does_not_move_a_slope() -> None:
    assert slope([(0, 1), (1, 1), (2, 50), (3, 1), (4, 1)]) == 0


def test_cases_are_counted_but_not_all_kept() -> None:
    record = Record()
    for _ in range(100):
        record.breaks("truth", "x" * 10_000)
    assert record.broken == Counter(truth=100)
    assert len(record.cases["truth"]) < 100
    assert max(map(len, record.cases["truth"])) < 10_000

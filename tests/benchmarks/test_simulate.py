"""The simulation of autoscaling: its parts beside the service's own, and that it can fail."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import simulate
from benchmarks.simulation.autoscaler import Rule, decide
from benchmarks.simulation.cluster import Cluster, Outcome, Plan, ramp, rate_at
from benchmarks.simulation.instance import SMALL, WORKS, Bounds, Instance, Work
from service.errors import QueueFullError
from service.inference.batcher import Batcher
from service.settings import Settings

SLOW = Work("a slow one", batch=0.0, image=0.02, is_decoded_first=True)  # 50 a second
QUEUED = Work("a queued one", batch=0.002, image=0.019)  # about as many, through the queue


def test_the_bounds_are_those_of_the_service() -> None:
    settings, bounds = Settings(), Bounds()
    assert bounds == Bounds(
        settings.max_batch_size, settings.max_queue_size, settings.max_queue_wait
    )


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_full_queue_refuses_as_the_service_s_does(size: int) -> None:
    """The real batcher, whose runner never ends, is asked beside the simulated one."""
    instance = Instance(QUEUED, Bounds(max_batch_size=2, max_queue_size=size))

    async def compare() -> list[tuple[bool, bool]]:
        forever = asyncio.Event()

        async def run(items: list[int]) -> Sequence[int]:
            await forever.wait()
            return items

        found = []
        async with Batcher(run, max_batch_size=2, max_queue_size=size) as batcher:
            for number in range(size + 4):
                try:
                    batcher.check_room(1)
                    batcher.enqueue([number])
                    taken = True
                except QueueFullError:
                    taken = False
                for _ in range(3):  # the batcher takes what it can
                    await asyncio.sleep(0)
                found.append((taken, instance.takes()))
                if instance.takes():
                    instance.queue(0.0)
                    if instance.is_idle:
                        instance.begin(0.0)
            forever.set()
        return found

    found = asyncio.run(compare())
    assert all(real == simulated for real, simulated in found), found
    assert not found[-1][0]


def test_a_queue_that_takes_too_long_refuses() -> None:
    instance = Instance(SLOW, Bounds(max_queue_wait=0.1))
    now = 0.0
    for _ in range(200):  # the pace is known by then: 0.02 s an image
        instance.queue(now)
        now = instance.begin(now) or 0.0
        instance.end(now)
    taken = 0
    while instance.takes():
        instance.queue(now)
        taken += 1
    assert taken == pytest.approx(0.1 / 0.02, abs=1)
    assert instance.queue_images == taken  # which wait for a decoder


@pytest.mark.parametrize(
    ("queues", "utilizations", "total", "expected"),
    [
        ([0, 0], [0.5, 0.5], 2, 2),
        ([0, 0], [0.54, 0.55], 2, 2),  # within a tenth
        ([0, 0], [0.6, 0.6], 2, 3),
        ([64, 64], [0.5, 0.5], 2, 4),
        ([0, 0], [1.0, 1.0], 2, 4),
        ([1024, 1024], [1.0, 1.0], 2, 4),  # at most as many again
        ([0, 0], [1.0, 1.0], 4, 4),  # two are starting
        ([0, 0], [0.1, 0.1], 2, 2),  # none leaves
        ([1024] * 8, [1.0] * 8, 8, 10),  # the most that there may be
    ],
)
def test_the_autoscaler_s_rule(
    queues: list[float], utilizations: list[float], total: int, expected: int
) -> None:
    assert decide(Rule(), total, queues, utilizations) == expected


def test_a_ramp_and_a_burst() -> None:
    rate = ramp(10, 2, 30, 60)
    assert [rate(now) for now in (0, 30, 60, 90, 200)] == [10, 10, 15, 20, 20]
    burst = ramp(10, 2, 30, 0)
    assert [burst(now) for now in (29.9, 30, 31)] == [10, 20, 20]


def test_the_load_at_a_utilization() -> None:
    """Proportional where each image costs the same; less where single images cost more."""
    assert rate_at(SLOW, 0.5) == pytest.approx(25, rel=0.1)
    assert rate_at(SMALL, 0.5) < 0.4 * SMALL.capacity(Bounds())


def constant(load: float, seconds: float, work: Work = QUEUED) -> Outcome:
    """One instance at a multiple of what it can answer, and no autoscaler."""
    rate = load * work.capacity(Bounds())
    rule = Rule(queue=None, utilization=None)
    bounds = Bounds(max_queue_size=100, max_queue_wait=60)
    return Cluster(Plan(work, lambda _: rate, 1, seconds, 10, rule, bounds), 0).run()


def test_an_instance_answers_what_it_can_and_refuses_the_rest() -> None:
    below, above = constant(0.7, 60), constant(2, 60)
    assert (below.refused, below.most) == (0, 1)
    capacity = QUEUED.capacity(Bounds())
    assert len(above.took) == pytest.approx(60 * capacity, rel=0.05)
    assert above.refused + len(above.took) <= above.offered
    least, most = 100 / capacity, (100 + 2 * 64) / capacity  # a full queue, and two batches
    assert least < above.quantile(0.5) < most


def test_the_same_seed_gives_the_same_run() -> None:
    plan = Plan(SLOW, lambda _: 45.0, 1, 20, 10)
    first, again, other = (Cluster(plan, seed).run() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("work", [SLOW, QUEUED], ids=lambda work: work.name)
def test_a_doubling_within_a_minute_is_kept_up_with_and_the_settings_matter(work: Work) -> None:
    """The documented settings refuse nothing; without a target of processor time they do."""
    kept = simulate.outcome(work, Rule(), 60, 10, 2, 0)
    assert kept.refused == 0
    assert kept.most > 2
    late = simulate.outcome(work, Rule(queue=None, utilization=0.85), 0, 60, 2, 0)
    assert late.refused > 0
    assert late.refused_seconds > 10


def test_a_target_that_the_queue_never_reaches_adds_no_instance() -> None:
    found = simulate.outcome(SLOW, Rule(queue=10_000, utilization=None), 60, 10, 2, 0)
    assert found.most == 2
    assert found.refused > 0


def test_images_that_wait_for_a_decoder_add_instances() -> None:
    found = simulate.outcome(SLOW, Rule(utilization=None), 60, 10, 2, 0)
    assert found.most > 2


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_a_measured_rate_takes_the_place_of_ours(work: Work) -> None:
    assert simulate.scaled(work, 1000).capacity(Bounds()) == pytest.approx(1000)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--rate", "20"], 0, "no 429 while it doubles"),
        (["--rate", "20", "--queue-only"], 1, "429 while it doubles"),
        (["--rate", "0"], 2, "is not a number above 0"),
        (["--rate", "nan"], 2, "is not a number above 0"),
        (["--utilization", "70"], 2, "from 0.05 to 0.9"),
        (["--seeds", "0"], 2, "from 1 to 1000"),
        (["--plot", "no folder/x.png"], 2, "there is no folder"),
        (["large"], 2, "invalid choice"),
    ],
    ids=str,
)
def test_the_command(
    arguments: list[str],
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["simulate", "--seeds", "1", *arguments])
    try:
        ended = simulate.main()
    except SystemExit as end:
        ended = int(str(end.code))
    captured = capsys.readouterr()
    assert ended == status
    assert said in captured.out + captured.err


@pytest.mark.slow
def test_the_picture_is_drawn(tmp_path: Path) -> None:
    file = tmp_path / "a picture.png"
    simulate.draw(file, SLOW, {"both": Rule()}, 10, 2)
    assert file.read_bytes().startswith(b"\x89PNG")

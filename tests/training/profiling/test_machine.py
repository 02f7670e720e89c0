"""What bounds a layer on a machine that is given, and that the machine here can be measured."""

import pytest
import torch

from training.profiling import machine
from training.profiling.machine import Machine
from training.profiling.traffic import Traffic

CPU = torch.device("cpu")
GIVEN = Machine(peak=400e9, bandwidth=10e9)  # a ridge of 40 operations a byte


@pytest.mark.parametrize(
    ("multiply_adds", "bound"), [(0, "memory"), (1999, "memory"), (2000, "arithmetic")]
)
def test_the_bound_changes_at_the_ridge(multiply_adds: int, bound: str) -> None:
    assert GIVEN.ridge == 40
    assert GIVEN.bound(Traffic(60, 40, multiply_adds)) == bound


def test_nothing_bounds_what_moves_nothing() -> None:
    assert GIVEN.bound(Traffic()) is None
    assert GIVEN.milliseconds(Traffic()) == 0


def test_the_least_time_is_that_of_the_bound() -> None:
    assert GIVEN.milliseconds(Traffic(read=15_000_000, written=5_000_000)) == 2
    assert GIVEN.milliseconds(Traffic(10, 10, multiply_adds=200_000_000)) == 1


@pytest.mark.slow
def test_this_machine() -> None:
    assert machine.peak(CPU, torch.float32) > 1e8
    assert machine.bandwidth(CPU, 1 << 20) > 1e7


def test_an_array_is_as_large_as_the_last_cache_within_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for cache, size in ((None, 64), (1 << 20, 64), (100 << 20, 100), (1 << 30, 256)):
        monkeypatch.setattr(machine, "last_cache", lambda device, cache=cache: cache)
        assert machine.array_bytes(CPU) == size << 20


@pytest.mark.gpu
def test_a_gpu() -> None:
    device = torch.device("cuda", 0)
    assert (machine.last_cache(device) or 0) > 1 << 20
    found = Machine(
        machine.peak(device, torch.bfloat16),
        machine.bandwidth(device, machine.array_bytes(device)),
    )
    assert found.ridge > 10

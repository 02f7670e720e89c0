"""The peak is what a stretch of code takes at its height, above what was held before."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.profiling import memory

CPU = torch.device("cpu")
MEGABYTE = 2**20


def take(megabytes: int) -> None:
    """Hold so much, touched, and let it go."""
    held = torch.ones(megabytes * MEGABYTE, dtype=torch.uint8)
    assert held[-1] == 1


@pytest.mark.slow
@pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="only Linux tells")
def test_what_was_held_for_a_while_counts() -> None:
    with memory.peak(CPU) as peak:
        assert peak.bytes is None
        take(200)
    assert peak.bytes is not None
    assert 180 * MEGABYTE < peak.bytes < 250 * MEGABYTE


@pytest.mark.slow
@pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="only Linux tells")
def test_what_was_held_before_does_not_count() -> None:
    held = torch.ones(200 * MEGABYTE, dtype=torch.uint8)
    take(200)
    with memory.peak(CPU) as peak:
        take(10)
    assert peak.bytes is not None
    assert peak.bytes < 60 * MEGABYTE
    assert held[-1] == 1


@pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="only Linux tells")
def test_what_was_freed_before_counts_when_it_is_taken_again() -> None:
    """Small pieces, which the allocator keeps for the next that asks."""
    pieces = [bytearray(100_000) for _ in range(500)]
    last = bytearray(100_000)  # above them: the heap can't shrink from its end
    del pieces
    with memory.peak(CPU) as peak:
        again = [bytearray(b"1" * 100_000) for _ in range(500)]
    assert peak.bytes is not None
    assert peak.bytes > 40_000_000
    assert len(again) == 500
    assert len(last) == 100_000


def test_a_system_that_is_not_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with memory.peak(CPU) as peak:
        pass
    assert peak.bytes is None


def test_a_linux_that_does_not_allow_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory, "CLEAR_REFS", tmp_path / "missing" / "clear_refs")
    with memory.peak(CPU) as peak:
        pass
    assert peak.bytes is None


@pytest.mark.gpu
def test_allocations_of_the_gpu() -> None:
    device = torch.device("cuda", 0)
    held = torch.ones(50 * MEGABYTE, dtype=torch.uint8, device=device)
    with memory.peak(device) as peak:
        more = torch.ones(100 * MEGABYTE, dtype=torch.uint8, device=device)
        del more
    assert peak.bytes == 100 * MEGABYTE
    assert len(held) == 50 * MEGABYTE


@pytest.mark.gpu
def test_the_gpu_was_not_used_before() -> None:
    """In a fresh process, as `fit` measures: torch has no statistics of the GPU to reset there."""
    script = (
        "import torch; from training.profiling import memory\n"
        "with memory.peak(torch.device('cuda', 0)) as peak: torch.ones(1 << 20, device='cuda')\n"
        "print(peak.bytes)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, f"{4 << 20}\n"), ended.stderr

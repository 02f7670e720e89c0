"""Processors: the quota of the container counts, not the size of the machine."""

import os
from pathlib import Path

import pytest

from service.process import cpu


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 16),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("?", 16),
    ],
)
def test_cgroup_v2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    (tmp_path / "cpu.max").write_text(quota)
    assert cpu.available_cpus(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 16), ("350000", 4)])
def test_cgroup_v1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert cpu.available_cpus(tmp_path) == expected


def test_a_system_without_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert cpu.available_cpus(tmp_path) == 3


def test_affinity_without_a_quota(tmp_path: Path) -> None:
    assert cpu.available_cpus(tmp_path) == len(os.sched_getaffinity(0))

"""The memory that a process may use is that of the machine, or less in a container."""

import os
from pathlib import Path

import pytest

from training.data.available_memory import available

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def found(folder: Path, own: str, **limits: str) -> int:
    (folder / "own").write_text(own)
    for name, limit in limits.items():
        path = folder / "cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(limit)
    return available(folder / "cgroup", folder / "own")


@pytest.mark.parametrize(
    ("own", "limits", "expected"),
    [
        ("0::/\n", {"memory_DOT_max": "1000\n"}, 1000),
        ("0::/\n", {"memory_DOT_max": "max\n"}, MACHINE),
        ("0::/a/b\n", {"a__b__memory_DOT_max": "2000\n", "a__memory_DOT_max": "1500\n"}, 1500),
        ("0::/a/b\n", {"a__b__memory_DOT_max": "max\n", "a__memory_DOT_max": "1500\n"}, 1500),
        ("5:cpu,memory:/d\n", {"memory__d__memory.limit_in_bytes": "700\n"}, 700),
        ("5:cpu:/d\n", {"memory__d__memory.limit_in_bytes": "700\n"}, MACHINE),
        ("5:memory:/d\n", {"memory__memory.limit_in_bytes": "9223372036854771712\n"}, MACHINE),
        ("", {}, MACHINE),
    ],
)
def test_the_lowest_limit_counts(
    tmp_path: Path, own: str, limits: dict[str, str], expected: int
) -> None:
    assert found(tmp_path, own, **limits) == expected


def test_a_machine_without_cgroups_has_its_memory(tmp_path: Path) -> None:
    assert available(tmp_path / "none", tmp_path / "none") == MACHINE

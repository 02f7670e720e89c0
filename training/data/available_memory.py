"""How much memory the process may use: that of the machine, or less in a container."""

import os
from collections.abc import Iterator
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_V2, _V1 = "memory.max", "memory.limit_in_bytes"


def available(cgroup: Path = CGROUP, own: Path = _OWN) -> int:
    """Return the bytes of memory that the process may use.

    That is the machine's memory, or the lowest limit of the process's cgroup and those above it,
    of version 2 (`memory.max`) or 1 (`memory.limit_in_bytes`); see the kernel's
    Documentation/admin-guide/cgroup-v2.rst.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(cgroup, own)])


def _limits(cgroup: Path, own: Path) -> Iterator[int]:
    for place in _places(cgroup, own):
        for name in (_V2, _V1):
            try:
                yield int((place / name).read_text())
            except (OSError, ValueError):  # no such cgroup, or "max"
                continue


def _places(cgroup: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of the process's cgroups, from each up to the root."""
    yield cgroup
    yield cgroup / "memory"
    try:
        lines = own.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        if line.count(":") < 2:
            continue
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroup / "memory" if controllers else cgroup
        inner = Path(path.lstrip("/"))
        for each in (inner, *inner.parents):
            yield root / each

"""How many processors this process may use: affinity and container quota → a whole number."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = CGROUP) -> int:
    """Return how many processors may be used, at least 1; a quota of 1.5 counts as 2.

    The quota is that of cgroup v2 (`cpu.max`) or v1 (`cpu.cfs_quota_us`), see the kernel's
    Documentation/admin-guide/cgroup-v2.rst.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it, macOS doesn't
    usable = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, usable if quota is None else min(usable, math.ceil(quota)))


def per_worker(workers: int) -> int:
    """Return the number of processors for each of `workers` processes, at least 1."""
    return max(1, available_cpus() // workers)


def _quota(cgroup: Path) -> float | None:
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no cgroup, or "max"
        return None

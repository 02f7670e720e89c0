"""The service on Ray beside `--workers`: requests a second, and processor time of a request.

`fanlight serve --workers N`, `fanlight ray serve --replicas N` behind HAProxy, and the same behind
Ray's proxy in Python run on this machine, each on all its cores. They are asked in turns, and the
median of the rounds is told. The processor time is that of all processes that a command has
started, without the load generator. It depends less than the rate on what else the machine does.
Needs the extra `ray`, Linux, and wrk for figures that its own load generator does not lower.
"""

import argparse
import asyncio
import os
import shutil
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.serve import running
from benchmarks.serving import load
from benchmarks.serving.load import Result
from benchmarks.serving.workloads import publish, workloads

WORKERS, HAPROXY, PYTHON = "--workers", "Ray, HAProxy", "Ray, its own proxy"
WARM_SECONDS = 1


def parents() -> dict[int, int]:
    """Return the parent of every process, by process id."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        found[int(status.parent.name)] = int(fields[1])
    return found


def family(root: int) -> set[int]:
    """Return the ids of a process and of all that descend from it."""
    of = parents()
    found, more = {root}, {root}
    while more:
        more = {each for each, parent in of.items() if parent in more} - found
        found |= more
    return found


def spent(root: int) -> dict[int, float]:
    """Return the processor seconds of each process of the family so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    seconds = {}
    for pid in family(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        seconds[pid] = (int(fields[11]) + int(fields[12])) / ticks
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks ray", description=__doc__)
    parser.add_argument("--replicas", type=int, default=2, help="and workers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--workload", choices=["W1", "W2", "W3", "W4"], default="W1")
    parser.add_argument("--without-python", action="store_true", help="leave out Ray's own proxy")
    asked = parser.parse_args()
    [work] = [each for each in workloads() if each.name == asked.workload]
    print(f"{work.about}, {work.connections} connections, {asked.replicas} workers or replicas")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        publish(folder / "models")
        common = ("--repository", str(folder / "models"), "--graph-cache", str(folder / "graphs"))
        quiet = ("--log-level", "error", "--shutdown-grace", "0")
        ray = ("-m", "fanlight", "ray", "serve", "--replicas", str(asked.replicas))
        commands = {
            WORKERS: ("-m", "fanlight", "serve", "--workers", str(asked.replicas)),
            HAPROXY: (*ray, "--proxy", "haproxy"),
            PYTHON: (*ray, "--proxy", "ray"),
        }
        if asked.without_python:
            del commands[PYTHON]
        cores = os.sched_getaffinity(0)
        servers = {
            name: stack.enter_context(running((*command, *common, *quiet), "/health/ready", cores))
            for name, command in commands.items()
        }
        rates: dict[str, list[float]] = defaultdict(list)
        times: dict[str, list[float]] = defaultdict(list)
        for number in range(asked.rounds + 1):
            for name, server in servers.items():
                url = f"{server.url}/v1/models/{work.model}/predict"
                before = spent(server.process.pid)
                result = ask(url, *work.multipart, work.connections, asked.seconds)
                after = spent(server.process.pid)
                if number == 0:  # caches and connections are made
                    continue
                count = result.rate * (asked.seconds + WARM_SECONDS)
                used = sum(after[pid] - before.get(pid, 0) for pid in after)
                rates[name].append(result.rate)
                times[name].append(1e6 * used / count)
                print(
                    f"  {name}: {result.rate:.0f} a second, {times[name][-1]:.0f} µs of processor "
                    f"time, p50 {result.p50:.1f}, p99 {result.p99:.1f} ms, {result.errors} errors",
                    flush=True,
                )
    print("median of the rounds, and of the ratios of each round to --workers:")
    for name in servers:
        quick = median(a / b for a, b in zip(rates[name], rates[WORKERS], strict=True))
        cheap = median(b / a for a, b in zip(times[name], times[WORKERS], strict=True))
        print(
            f"  {name}: {median(rates[name]):.0f} a second ({quick:.2f}), "
            f"{median(times[name]):.0f} µs a request: {cheap:.2f} of its requests per core"
        )


def ask(url: str, body: bytes, kind: str, connections: int, seconds: float) -> Result:
    """Ask in a closed loop, after `WARM_SECONDS`."""
    if shutil.which("wrk"):
        return load.by_wrk(url, body, kind, connections=connections, seconds=seconds)
    asked = load.closed(
        url, body, kind, connections=connections, seconds=seconds, warm=WARM_SECONDS
    )
    return asyncio.run(asked)


if __name__ == "__main__":
    main()

"""A million mixed requests, with faults all the time: what the service promises, put to the test.

Every round has each fault once: versions swapped, bad ones published, workers killed and stopped,
floods of requests and of connections, clients that don't read, a log that nobody reads, a
repository that is gone. Good answers are compared with an oracle that was computed before. After
each round, when nothing is asked, memory, open files, threads and tasks are looked at. Exit code 1
if a promise is broken. Linux only.
"""

import argparse
import shlex
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import torch
import uvloop

from benchmarks.soak import figures, report, run
from benchmarks.soak.faults import FAULTS
from benchmarks.soak.oracle import Oracle
from benchmarks.soak.process import ENDING, NeverError, Service, running, wait_for
from benchmarks.soak.promises import Verdict, judge
from benchmarks.soak.record import Record
from benchmarks.soak.run import Options

PICTURES = 40  # by network
_LEFT = 10  # seconds that a child may outlive the service
_EXPECTED = ("not loaded",)  # events of level error that the faults make
_DEATHS = ("worker died", "worker did not start")
_HARMED = ("a killed worker is replaced", "a worker that hangs is replaced")


def _end(service: Service, record: Record) -> None:
    """Stop the service, and record a non-zero exit code, processes left, and errors in its log."""
    tree = [service.pid, *figures.descendants(service.pid)]
    started = time.perf_counter()
    status = service.stop(2 * ENDING)
    record.took("exit", time.perf_counter() - started)
    if status:
        record.breaks("exit", f"exit status {status}")
    with suppress(NeverError):  # those that are left are told below
        wait_for("all have ended", lambda: not any(map(figures.is_alive, tree)), _LEFT)
    for pid in filter(figures.is_alive, tree):
        record.breaks("exit", f"process {pid} is left: {figures.command(pid)}")
    service.log.close()
    for line in service.log.broken:
        record.breaks("log", f"no JSON object: {line!r}")
    harmed = sum(len(record.seconds[what]) for what in _HARMED)
    for event in service.log.loud:
        name = event.get("event")
        if event["level"] == "warning" or name in (*_EXPECTED, "worker hangs"):
            continue
        if name in _DEATHS and harmed:  # of those that the soak has killed and stopped
            harmed -= 1
            continue
        record.breaks("log", str(event))


def _arguments() -> argparse.Namespace:
    usual = Options()
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=usual.requests, help="in all, at least")
    parser.add_argument("--minutes", type=float, default=usual.minutes, help="at most")
    parser.add_argument("--round", type=int, default=usual.a_round, help="requests in a round")
    parser.add_argument("--connections", type=int, default=usual.connections, help="at a time")
    parser.add_argument("--workers", type=int, default=usual.workers, help="of the service")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument(
        "--faults", nargs="*", choices=list(FAULTS), metavar="FAULT", help=f"of {', '.join(FAULTS)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, too")
    return parser.parse_args()


def main() -> int:
    asked = _arguments()
    faults = tuple(FAULTS) if asked.faults is None else tuple(asked.faults)
    options = Options(
        requests=asked.requests,
        minutes=asked.minutes,
        a_round=asked.round,
        connections=asked.connections,
        workers=asked.workers,
        seed=asked.seed,
        faults=faults,
    )
    torch.set_num_threads(1)  # the service needs the processors
    known = Oracle(PICTURES, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder, "models")
        run.publish(repository, known)
        with running(*run.flags(repository, options.workers)) as service:
            record = uvloop.run(run.soak(service, repository, known, options))
            _end(service, record)
    verdicts: dict[str, Verdict] = judge(record)
    report.show(record, verdicts)
    if asked.json:
        report.write(
            asked.json,
            shlex.join(["python", "-m", "benchmarks", "soak", *sys.argv[1:]]),
            record,
            verdicts,
        )
    return int(any(verdict.kept is False for verdict in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())

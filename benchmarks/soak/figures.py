"""Figures of a process on Linux: memory, open files, threads, children and connections."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_GAUGE = re.compile(r"^(\w+)(\{[^}]*\})? ([^ ]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_LISTENING = "0A"  # a state in /proc/net/tcp
Labels = dict[str, str]


@dataclass(frozen=True)
class Figures:
    """The figures of one process. `resident` is its resident memory in MiB."""

    resident: float
    files: int
    threads: int


def of(pid: int) -> Figures:
    """Read the figures of a process. Raises `ProcessLookupError` if it is gone."""
    try:
        status = (PROC / str(pid) / "status").read_text()
        files = len(os.listdir(PROC / str(pid) / "fd"))  # noqa: PTH208 (names suffice)
        [resident] = re.findall(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        [threads] = re.findall(r"^Threads:\s+(\d+)", status, re.MULTILINE)
    except (OSError, ValueError) as error:  # a process that has ended has no VmRSS
        raise ProcessLookupError(f"there is no process {pid}") from error
    return Figures(int(resident) / 1024, files, int(threads))


def state(pid: int) -> str:
    """One letter: R, S, D, T (stopped), Z (ended, not waited for); empty if it is gone."""
    with suppress(OSError):
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    return ""


def is_alive(pid: int) -> bool:
    return state(pid) not in ("", "Z", "X")


def started(pid: int) -> int:
    """Return the start of a process, in clock ticks since boot; 0 if it is gone."""
    with suppress(OSError):
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19])
    return 0


def command(pid: int) -> str:
    with suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def children(pid: int) -> list[int]:
    """Return the living child processes of all threads of a process, the oldest first."""
    found: set[int] = set()
    for listed in (PROC / str(pid) / "task").glob("*/children"):
        with suppress(OSError):
            found.update(map(int, listed.read_text().split()))
    return sorted(filter(is_alive, found), key=started)


def descendants(pid: int) -> list[int]:
    own = children(pid)
    return [*own, *(each for child in own for each in descendants(child))]


def connections(pid: int, port: int) -> set[int]:
    """The ports of the clients whose connections to `port` this process holds."""
    return {client for client, state in _sockets(pid, port) if state != _LISTENING}


def listens(pid: int, port: int) -> bool:
    """Whether the process may accept connections to `port`."""
    return any(state == _LISTENING for _, state in _sockets(pid, port))


def _sockets(pid: int, port: int) -> list[tuple[int, str]]:
    """Return remote port and state of each TCP socket of the process with local port `port`."""
    inodes = set()
    for link in (PROC / str(pid) / "fd").glob("*"):
        with suppress(OSError):
            inodes.add(link.readlink().name.removeprefix("socket:[").removesuffix("]"))
    # number, own address, other address, state, …, the inode in the tenth column
    lines = [line.split() for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]]
    own = [line for line in lines if line[9] in inodes and _port(line[1]) == port]
    return [(_port(line[2]), line[3]) for line in own]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def metrics(exposition: str) -> list[tuple[str, Labels, float]]:
    """Parse the text of /metrics: return name, labels and value of each sample."""
    return [
        (name, dict(_LABEL.findall(labels)), float(value))
        for name, labels, value in _GAUGE.findall(exposition)
    ]


def metric(exposition: str, name: str, **labels: str) -> float | None:
    """Return the value of the first sample with this name and these labels; None without one."""
    found = [
        value
        for each, own, value in metrics(exposition)
        if each == name and labels.items() <= own.items()
    ]
    return found[0] if found else None

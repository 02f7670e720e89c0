"""`fit` by several processes: the first is this one, and the others are started beside it."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from fanlight.command import main


@dataclass(frozen=True)
class Ended:
    """Exit code and output of a process of a group."""

    code: int
    out: str
    err: str


def variables(rank: int, count: int, port: int) -> dict[str, str]:
    """What torchrun would tell the process of this rank."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in place.items()}}


def run(
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    count: int = 2,
    others: list[str] | None = None,
) -> list[Ended]:
    """Run a command line in `count` processes; `others` is that of all but the first."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "training", *(others or arguments)],
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables(rank, count, port)},
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(1, count)
    ]
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables(0, count, port).items():
                patch.setenv(name, value)
            patch.setattr(sys, "excepthook", sys.excepthook)  # torch changes it for each group
            capsys.readouterr()
            code = main(arguments)
        first = capsys.readouterr()
        outputs = [_ended(each, 120 if code == 0 else 5) for each in started]
    finally:
        for each in started:
            with each:  # closes its pipes, and waits
                each.kill()
    codes = [each.returncode for each in started]
    rest = [Ended(code, *output) for code, output in zip(codes, outputs, strict=True)]
    return [Ended(code, first.out, first.err), *rest]


def _ended(process: subprocess.Popen[str], seconds: float) -> tuple[str, str]:
    """Return what a process has printed; end it after so many seconds, as torchrun would."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()

"""Running services for a benchmark: of this checkout, and of another commit beside it."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx

HERE = Path(__file__).parents[2]
READY_SECONDS = 120


@contextmanager
def service(checkout: Path = HERE, core: int | None = None) -> Iterator[str]:
    """Start the service of a checkout with its shipped models, and yield its URL.

    It runs on the core `core`, or on all cores.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "service", "--port", str(port), "--log-level", "error"]
    command += ["--request-timeout", "300"]  # a busy machine, or a slower commit
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    with subprocess.Popen(command, cwd=checkout, env=environment) as process:  # noqa: S603 (ours)
        if core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {core})
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + READY_SECONDS
        try:
            while not _ready(url):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the service is not ready after {READY_SECONDS} s")
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()


@contextmanager
def commit(name: str) -> Iterator[Path]:
    """Check out another commit in a temporary folder, until the block ends."""
    git = ["git", "-C", str(HERE), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkout"
        subprocess.run([*git, "add", "--quiet", "--detach", str(path), name], check=True)  # noqa: S603
        try:
            yield path
        finally:
            subprocess.run([*git, "remove", "--force", str(path)], check=True)  # noqa: S603


@contextmanager
def services(against: str | None, core: int | None = None) -> Iterator[dict[str, str]]:
    """Start services with the same settings: of this checkout, and of a commit if one is named.

    Yields their URLs by name: `here`, and the value of `against`.
    """
    with service(core=core) as here:
        if against is None:
            yield {"here": here}
            return
        with commit(against) as checkout, service(checkout, core) as there:
            yield {"here": here, against: there}


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False

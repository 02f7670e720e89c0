"""Servers on loopback for tests: `python -m service` as a process of its own."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx


@dataclass(frozen=True)
class Server:
    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def stop(self) -> int:
        """Ask it to end as a container runtime does, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def running(log: Path, *arguments: str) -> Iterator[Server]:
    """`python -m service` with these flags, once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "service", "--port", str(port), *arguments]
    with log.open("wb") as output, subprocess.Popen(command, stderr=output) as process:
        server = Server(process, f"http://127.0.0.1:{port}", log)
        try:
            _wait_until_ready(server)
            yield server
        finally:
            if process.poll() is None:
                process.terminate()  # not kill: workers would outlive their parent
                process.wait(timeout=60)


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(server.log.read_text())
        try:
            if httpx.get(f"{server.url}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(server.log.read_text())

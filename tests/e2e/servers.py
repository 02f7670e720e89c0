"""Servers on loopback for tests: `python -m service` as a process of its own."""

import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import uvicorn
from fastapi import FastAPI

from service.server.protocol import LimitedHttpProtocol
from tests.waiting import until


@dataclass(frozen=True)
class Server:
    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self) -> int:
        """Ask it to end as a container runtime does, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def running(
    log: Path,
    *arguments: str,
    cwd: Path | None = None,
    port: int | None = None,
    trust: ssl.SSLContext | None = None,
) -> Iterator[Server]:
    """`python -m service` with these flags, once it is ready; HTTPS where `trust` is given."""
    port = port or free_port()
    command = [sys.executable, "-m", "service", "--port", str(port), *arguments]
    with log.open("wb") as output, subprocess.Popen(command, stderr=output, cwd=cwd) as process:
        server = Server(process, f"{'https' if trust else 'http'}://127.0.0.1:{port}", log)
        try:
            wait_until_ready(server, trust)
            yield server
        finally:
            if process.poll() is None:
                process.terminate()  # not kill: workers would outlive their parent
                process.wait(timeout=60)


@contextmanager
def in_thread(app: FastAPI, http: Any = LimitedHttpProtocol) -> Iterator[str]:
    """The address of an application that runs on a loopback port, in a thread of this process.

    The protocol is that of `fanlight serve`, or `http`, as uvicorn takes it.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_config=None, proxy_headers=False, http=http)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def wait_until_ready(server: Server, trust: ssl.SSLContext | None = None) -> None:
    """Fails with the log if the server ends before, or isn't ready in two minutes."""

    def is_ready() -> bool:
        assert server.process.poll() is None, server.log.read_text()
        with suppress(httpx.TransportError):
            answer = httpx.get(f"{server.url}/health/ready", verify=trust or True)
            return answer.status_code == 200
        return False

    until(is_ready, seconds=120)

"""`python -m service` as a child process: start it, read its log, find its workers, end it."""

import json
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.error import HTTPError
from urllib.request import urlopen

from benchmarks.soak import figures

HOST = "127.0.0.1"
STARTING = 120  # seconds that a service may take until it is ready
ENDING = 60  # and to end
_KILLED_AFTER = 15  # at the end of `running`, where nothing is awaited any more
_PAUSE = 0.02  # seconds between two looks
_ONE_BY_ONE = 1.0  # seconds for one worker to answer, and between two such looks
_LOUD = ("warning", "error", "critical")
Found = TypeVar("Found")


class NeverError(AssertionError):
    """A condition that was waited for did not become true."""


def wait_for(what: str, condition: Callable[[], Found], seconds: float) -> Found:
    """Wait for a true value of `condition`, and return it. Raises `NeverError` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise NeverError(f"{what}: not within {seconds:g} s; the last look gave {found!r}")
        time.sleep(_PAUSE)
    return found


class Log:
    """A service's log, read by a thread. Counts the lines; keeps events from warning upwards."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._flowing = threading.Event()
        self._flowing.set()
        self.lines = 0
        self.broken: list[bytes] = []  # lines that are no JSON object
        self.loud: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @contextmanager
    def unread(self) -> Iterator[None]:
        """Stop reading the pipe while in the context."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    def close(self) -> None:
        """Read the rest of the log, and close the pipe."""
        self._flowing.set()
        self._thread.join(ENDING)
        self._pipe.close()

    def text(self) -> str:
        return "\n".join(map(str, [*self.loud, *self.broken]))

    def _read(self) -> None:
        for line in self._pipe:
            self.lines += 1
            try:
                event = json.loads(line)
                if event["level"] in _LOUD:
                    self.loud.append(event)
            except (ValueError, KeyError, TypeError):
                self.broken.append(line)
            self._flowing.wait()


class Service:
    """A service that runs, or has ended. Without a `log`, its log goes elsewhere."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Log | None) -> None:
        self.process, self.port, self._log = process, port, log
        self._asked = -math.inf  # when one worker last didn't answer
        self.url = f"http://{HOST}:{port}"

    @property
    def log(self) -> Log:
        assert self._log is not None, "this service's log goes elsewhere"
        return self._log

    @property
    def pid(self) -> int:
        return self.process.pid

    def workers(self) -> list[int]:
        """Return the processes that accept connections, the oldest first."""
        own = figures.children(self.pid)
        return [pid for pid in own if figures.listens(pid, self.port)] or [self.pid]

    @contextmanager
    def only(self, worker: int) -> Iterator[None]:
        """Pause all workers but the one with the process id `worker`, while in the context.

        New connections then reach that worker. The others are paused by SIGSTOP and continued by
        SIGCONT. Leave the context after about a second, or the supervisor considers them dead.
        """
        others = [pid for pid in self.workers() if pid != worker]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_for("they stand still", lambda: {*map(figures.state, others)} <= {"T"}, 5)
            yield
        finally:
            for pid in others:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def get(self, path: str, seconds: float = 10) -> tuple[int, bytes]:
        """Send a GET on a new connection. Return status and body, or raise `OSError`."""
        try:
            with urlopen(self.url + path, timeout=seconds) as answer:  # noqa: S310 (loopback)
                return answer.status, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()

    def json(self, path: str, seconds: float = 10) -> Any:
        return json.loads(self.get(path, seconds)[1])

    def answers(self, worker: int) -> bool:
        """Return True if this worker says that it is ready.

        The other workers are stopped meanwhile. So after a failure the next request is sent a
        second later at the earliest, or the supervisor would take them for dead.
        """
        if time.monotonic() < self._asked + _ONE_BY_ONE:
            return False
        with self.only(worker), suppress(OSError):
            return self.get("/health/ready", _ONE_BY_ONE)[0] == 200
        self._asked = time.monotonic()
        return False

    def metric(self, name: str, **labels: str) -> float | None:
        return figures.metric(self.get("/metrics")[1].decode(), name, **labels)

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            told = self._log.text() if self._log else "its log went elsewhere"
            raise NeverError(f"the service ended with {self.process.returncode}: {told}")
        with suppress(OSError):
            return self.get("/health/ready", 1)[0] == 200
        return False

    def has_started(self) -> bool:
        """Return True if the service is ready. Raises `NeverError` if a version failed to load."""
        if self.is_ready():
            return True
        with suppress(OSError):
            told = self.json("/v1/models")["models"]
            states = [(each["name"], version) for each in told for version in each["versions"]]
            if failed := [each for each in states if each[1]["state"] == "failed"]:
                raise NeverError(f"versions failed to load: {failed}")
        return False

    def versions(self, model: str, seconds: float = 10) -> dict[int, dict[str, Any]]:
        """Return the entries of /v1/models for the versions of a model, by number."""
        models = self.json("/v1/models", seconds)["models"]
        [told] = [each for each in models if each["name"] == model]
        return {each["version"]: each for each in told["versions"]}

    def stop(self, seconds: float = ENDING) -> int:
        """Stop the service by SIGTERM, as a container runtime does. Return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


def free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def running(
    *flags: str | Path,
    stderr: int | IO[bytes] | None = None,
    limits: Mapping[int, int] | None = None,
    wait: bool = True,
) -> Iterator[Service]:
    """Start a service with these flags, and yield it once it is ready, or at once without `wait`.

    At the end of the block, the service and all its processes are ended. Its log goes to `stderr`
    if that is given, else to `Service.log`. `limits` maps `resource.RLIMIT_…` to a value.
    """
    port = free_port()
    command = [sys.executable, "-m", "service", "--port", str(port), *map(str, flags)]
    command += ["--log-format", "json"]
    output = subprocess.PIPE if stderr is None else stderr
    with subprocess.Popen(command, stderr=output) as process:  # noqa: S603
        for which, most in (limits or {}).items():
            resource.prlimit(process.pid, which, (most, most))
        log = Log(process.stderr) if process.stderr else None
        service = Service(process, port, log)
        tree: list[int] = []
        try:
            if wait:
                wait_for("the service is ready", service.has_started, STARTING)
            yield service
        finally:
            tree = [process.pid, *figures.descendants(process.pid)]
            end_all([pid for pid in tree if figures.state(pid) == "T"])  # they would never end
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_KILLED_AFTER)
            end_all(tree)
            if log:
                log.close()


def end_all(pids: list[int]) -> None:
    """Kill the processes that still run."""
    for pid in filter(figures.is_alive, pids):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

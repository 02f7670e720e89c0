"""Processes that decode: started, given jobs, killed when they take too long, and replaced.

    job → lane (waits for one of its processes) → socket → process → socket → answer

Two lanes, each with its own processes: images whose header promises little work, and others. A
costly image waits only for costly ones. The processes run at a lower priority than the service, so
that what they do does not delay the event loop.

`service.images.decoder_process` is what runs in them.
"""

import asyncio
import errno
import marshal
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.errors import UnavailableError
from service.images.decoder_process import (
    ANSWER,
    COMMAND,
    ENDED,
    FAILED,
    JOB,
    KILL,
    PID,
    SEND_BUFFER,
    START,
    Job,
)
from service.images.fair_turns import FairTurns
from service.monitoring import logs
from service.setting_values.environment import PREFIX

log = logs.Log()
MAX_JOBS = 5000  # of a process, before it is replaced: memory that it lost comes back
MAX_TIMES_AS_LONG = 8  # of a job, times its expected processor time, until its process is killed
MIN_JOB_SECONDS = 2.0  # that every job may take
_AT_ONCE = 2**16  # bytes that are copied, to be sent in one call
_CHUNK = 2**18  # bytes that are received in one call
_START_SECONDS = 30  # until a process must have begun
_EXIT_SECONDS = 2  # until the template must have said how a process ended
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # numpy's: a process with threads must not be forked
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(8 * 2**20),  # larger pictures go back to the system at once
    "MALLOC_TRIM_THRESHOLD_": str(16 * 2**20),
}


@dataclass(eq=False)
class EndedError(Exception):
    """A process ended during its job.

    `code` is its exit code, negative for a signal, None if nobody knows. `late` is True if it was
    killed because the job took too long by the clock.
    """

    code: int | None
    late: bool


class Template:
    """The service's handle of the template process, from which all decoders are forked."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: dict[int, asyncio.Future[int | None]] = {}  # exit codes, by process
        self._partial = b""

    def start(self) -> None:
        """Start the template process unless it runs. It can be forked within a second."""
        if self._process is not None:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            inherited = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
            path = os.pathsep.join(each or str(Path.cwd()) for each in sys.path)
            program = "service.images.decoder_process"
            self._process = subprocess.Popen(  # noqa: S603 (a program of ours)
                [sys.executable, "-P", "-m", program, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**inherited, **_ENVIRONMENT, "PYTHONPATH": path},  # without our settings
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C ends the service, which decodes until it is drained
            )
        ours.setblocking(False)
        self._control = ours
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(ours.fileno(), self._read)

    async def copy(self, niceness: int) -> "Process":
        """Fork a new decoder; raise `UnavailableError` if that fails."""
        self.start()
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        ours.setblocking(False)
        try:
            with theirs:
                socket.send_fds(self._control, [COMMAND.pack(START, niceness)], [theirs.fileno()])
            async with asyncio.timeout(_START_SECONDS):
                begun = await self._loop.sock_recv(ours, PID.size)
            if len(begun) < PID.size:
                raise OSError(errno.EAGAIN, "it ended at once")
        except (OSError, TimeoutError) as error:
            ours.close()
            raise UnavailableError(
                f"no process to decode the image could be started ({error}); try again in a second"
            ) from error
        except BaseException:
            ours.close()
            raise
        process = Process(self, PID.unpack(begun)[0], ours)
        self._ended[process.pid] = self._loop.create_future()
        return process

    def kill(self, pid: int) -> None:
        """Kill a decoder; do nothing if it has ended."""
        if self._process is not None:
            with suppress(OSError):  # the template has ended, and its copies find out
                self._control.send(COMMAND.pack(KILL, pid))

    async def code(self, pid: int) -> int | None:
        """Wait for the exit code of a decoder; return None if it stays unknown."""
        try:
            async with asyncio.timeout(_EXIT_SECONDS):
                return await asyncio.shield(self._ended[pid])
        except (KeyError, TimeoutError):
            return None

    def has_ended(self, pid: int) -> bool:
        ended = self._ended.get(pid)
        return ended is None or ended.done()

    def forget(self, pid: int) -> None:
        self._ended.pop(pid, None)

    def close(self) -> None:
        """End the template process and all decoders."""
        process, self._process = self._process, None
        if process is None:
            return
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        try:
            process.wait(_EXIT_SECONDS if self._ended else 0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._ended.clear()

    def _read(self) -> None:
        """Read from the template which decoders have ended, and set their exit codes.

        If the template itself has ended, it is closed; the next image starts another.
        """
        try:
            said = self._control.recv(2**12)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            log.warning("decoders_lost", advice="a new template starts with the next image")
            for ended in self._ended.values():
                if not ended.done():
                    ended.set_result(None)
            self.close()
            return
        said = self._partial + said
        whole = len(said) // ENDED.size * ENDED.size
        self._partial = said[whole:]
        for pid, code in ENDED.iter_unpack(said[:whole]):
            if pid == FAILED:
                log.warning("decoder_not_started", error=os.strerror(code))
            elif (known := self._ended.get(pid)) is not None and not known.done():
                known.set_result(code)


class Process:
    """The service's handle of one decoder process, which runs one job at a time."""

    def __init__(self, template: Template, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.jobs = 0
        self._template, self._connection = template, connection
        self._late = False

    async def run(self, job: Job, encoded: bytes) -> tuple[int, bytes]:
        """Run a job, and return the kind and content of the answer.

        A process whose job takes too long by the clock is killed. Raises `EndedError` if the
        process ends.
        """
        loop = asyncio.get_running_loop()
        said = marshal.dumps(tuple(job))
        head = JOB.pack(len(said), len(encoded)) + said
        seconds = max(MIN_JOB_SECONDS, MAX_TIMES_AS_LONG * job.seconds)
        timer = loop.call_later(seconds, self._overdue)
        self.jobs += 1
        try:
            if len(encoded) <= _AT_ONCE:
                await loop.sock_sendall(self._connection, head + encoded)
            else:
                await loop.sock_sendall(self._connection, head)
                await loop.sock_sendall(self._connection, encoded)
            found = b""
            size = ANSWER.size
            while len(found) < size:
                chunk = await loop.sock_recv(self._connection, _CHUNK)
                if not chunk:
                    raise ConnectionResetError
                found += chunk
                if len(found) >= ANSWER.size:
                    kind, content = ANSWER.unpack_from(found)
                    size = ANSWER.size + content
            return kind, found[ANSWER.size :]
        except ConnectionError as error:
            code = await self._template.code(self.pid)
            raise EndedError(code, self._late) from error
        finally:
            timer.cancel()

    @property
    def is_alive(self) -> bool:
        return not self._template.has_ended(self.pid)

    def end(self) -> None:
        """Kill the process if it still runs."""
        if self.is_alive:
            self._template.kill(self.pid)
        self._template.forget(self.pid)
        self._connection.close()

    def _overdue(self) -> None:
        self._late = True
        self._template.kill(self.pid)


class Lane:
    """A group of decoder processes; jobs wait for a free one, in turns of their clients.

    A job that would wait longer than `max_wait` seconds is refused; a job is thought to take
    `seconds` until one has ended.
    """

    def __init__(
        self, template: Template, size: int, niceness: int, max_wait: float, seconds: float
    ) -> None:
        self._template, self._niceness = template, niceness
        self._turns = FairTurns(size, max_wait, seconds)
        self._idle: list[Process] = []

    async def run(self, job: Job, encoded: bytes, client: str | None = None) -> tuple[int, bytes]:
        """Run a job on a free process, and return the kind and content of the answer.

        Any error or cancellation ends the process. Raises `QueueFullError` to refuse the job.
        """
        async with self._turns.turn(client):
            process = await self._process()
            try:
                answer = await process.run(job, encoded)
            except BaseException as error:
                process.end()
                if isinstance(error, EndedError):
                    log.warning(
                        "decoder_ended", code=error.code, late=error.late, bytes=len(encoded)
                    )
                raise
            if process.jobs < MAX_JOBS:
                self._idle.append(process)
            else:
                process.end()
            return answer

    async def _process(self) -> Process:
        while self._idle:
            process = self._idle.pop()
            if process.is_alive:
                return process
            process.end()
        return await self._template.copy(self._niceness)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().end()


TOO_LONG = -signal.SIGPROF
"""The exit code of a process whose job took more processor time than it may."""

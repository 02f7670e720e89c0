"""Log lines → stderr, through a thread, so that a slow reader of the log blocks no caller.

    write (any thread) → bounded queue → one thread → stderr

If stderr takes lines too slowly, or fails (a closed pipe, a full disk), lines are lost. They are
counted, and the log says how many once it can be written again.
"""

import fcntl
import io
import os
import select
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress

MAX_QUEUED_BYTES = 4 * 2**20
"""Limit of the queue; further lines are lost. Some 20,000 lines of requests, or 100 tracebacks."""
ATOMIC_BYTES = getattr(select, "PIPE_BUF", 512)
"""The bytes that a pipe takes in one piece, even if several processes write to it."""
GATHER_SECONDS = 0.02  # between two writes, so that busy times cost few of them
EXIT_SECONDS = 2.0  # that the end of the process waits for a slow reader


class Tally:
    """A count of lines that were lost in this process."""

    def __init__(self) -> None:
        self._lock, self._total = threading.RLock(), 0

    def add(self, lines: int) -> None:
        with self._lock:
            self._total += lines

    @property
    def total(self) -> int:
        return self._total


LOST = Tally()


class LogWriter:
    """Writes lines to a file descriptor in the background. Without a descriptor, all are lost.

    The descriptor is duplicated. `gap(lines)` makes the line that says how many were lost. `write`
    never blocks and never raises. Lines are not mixed with those of other processes that write to
    the same pipe in this way.
    """

    def __init__(self, descriptor: int | None, gap: Callable[[int], bytes]) -> None:
        self._descriptor = None if descriptor is None else os.dup(descriptor)
        self._is_shared = descriptor is not None and _is_pipe(descriptor)
        self._gap_line = gap
        self._unreported = 0  # lost lines that the log does not mention yet
        self._is_torn = False  # the last line was written in part
        self._is_open, self._is_direct = True, False
        self._start()

    def _start(self) -> None:
        self._lock = threading.RLock()  # a signal handler may log in the middle of `write`
        self._queue: list[bytes] = []
        self._size = 0  # bytes in the queue and of what is written just now
        self._wake, self._hurry, self._idle = (threading.Event() for _ in range(3))
        self._idle.set()
        self._is_idle = True
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def restart(self) -> None:
        """Start a thread and an empty queue after a fork; the parent writes the queued lines."""
        if self._is_open:
            self._start()

    def write(self, line: bytes) -> None:
        """Queue a line, which ends with a line feed."""
        with self._lock:
            fits = self._size + len(line) <= MAX_QUEUED_BYTES
            if fits and self._is_open:
                self._queue.append(line)
                self._size += len(line)
                wake = self._is_idle
                if wake:
                    self._is_idle = False
                    self._idle.clear()
            else:
                wake = False
        if wake:
            self._wake.set()
        elif self._is_direct:
            self._put(line, 1)
        elif not (fits and self._is_open):
            self._lose(1)

    def flush(self, seconds: float) -> bool:
        """Wait until all is written; False if that takes longer."""
        self._hurry.set()
        written = self._idle.wait(seconds)
        self._hurry.clear()
        return written

    def close(self) -> None:
        """Write the queued lines, and end the thread. Later calls of `write` write directly.

        If stderr does not take the queued lines within `EXIT_SECONDS`, later lines are lost.
        """
        self._hurry.set()
        written = self._idle.wait(EXIT_SECONDS)
        self._is_open, self._is_direct = False, written
        self._wake.set()

    def _run(self) -> None:
        while self._is_open:
            self._wake.wait()
            self._wake.clear()
            while lines := self._take():
                for lump in _lumps(lines):
                    self._put(b"".join(lump), len(lump))
                with self._lock:
                    self._size -= sum(map(len, lines))
                self._hurry.wait(GATHER_SECONDS)

    def _take(self) -> list[bytes]:
        with self._lock:
            lines, self._queue = self._queue, []
            if not lines:
                self._is_idle = True
                self._idle.set()
        return lines

    def _put(self, content: bytes, lines: int) -> None:
        descriptor = self._descriptor
        if descriptor is None:
            self._lose(lines)
            return
        with _alone(descriptor) if self._is_shared else nullcontext():
            try:
                self._write_all(descriptor, content)
            except OSError:
                self._lose(lines)
                return
            if unreported := self._unreported:
                with suppress(OSError):  # later then
                    self._write_all(descriptor, self._gap_line(unreported))
                    with self._lock:
                        self._unreported -= unreported

    def _write_all(self, descriptor: int, content: bytes) -> None:
        left = memoryview(b"\n" + content if self._is_torn else content)
        while left:
            try:
                written = os.write(descriptor, left)
            except BlockingIOError:  # someone else made the pipe non-blocking
                select.select([], [descriptor], [], 1.0)
                continue
            left = left[written:]
            self._is_torn = bool(left)

    def _lose(self, lines: int) -> None:
        with self._lock:
            self._unreported += lines
        LOST.add(lines)


class LineStream(io.TextIOBase):
    """A text stream in place of `sys.stderr`. Queues whole lines; each thread builds its own."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, writer: LogWriter, original: io.TextIOBase) -> None:
        self._writer, self.original = writer, original
        self._begun = threading.local()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.original.fileno()

    def isatty(self) -> bool:
        return self.original.isatty()

    def write(self, text: str) -> int:
        lines, feed, rest = (getattr(self._begun, "text", "") + text).rpartition("\n")
        if feed:
            self._writer.write(encoded(lines + feed))
        if len(rest) > ATOMIC_BYTES:
            self._writer.write(encoded(rest + "\n"))
            rest = ""
        self._begun.text = rest
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread of the `LogWriter` writes the lines."""


def encoded(text: str) -> bytes:
    """Encode text as UTF-8, with escapes for lone surrogates."""
    return text.encode("utf-8", "backslashreplace")


def _lumps(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Group lines into pieces of at most `ATOMIC_BYTES`. A longer line is a piece of its own."""
    lump: list[bytes] = []
    room = ATOMIC_BYTES
    for line in lines:
        if lump and len(line) > room:
            yield lump
            lump, room = [], ATOMIC_BYTES
        lump.append(line)
        room -= len(line)
    if lump:
        yield lump


@contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """Lock the pipe against other processes, since a line may exceed `ATOMIC_BYTES`.

    The system ends the lock when this process closes any descriptor of the pipe. Nothing here does.
    """
    with suppress(OSError):  # where pipes have no locks, only such lines may be mixed
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.lockf(descriptor, fcntl.LOCK_UN)


def _is_pipe(descriptor: int) -> bool:
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)

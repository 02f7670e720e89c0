"""Worker processes that answer on the same sockets: each is started, watched and replaced.

The sockets are bound here and shared. Any worker that is free accepts what waits in their backlog,
so a worker that dies takes only the connections with it that it had accepted. With a socket for
each worker (SO_REUSEPORT) the kernel would deal new connections out to all of them, also to one
that hangs, and would reset those that wait for one that dies.

    starting → ready → retired → ended
        └───────┴─────────────────↗ killed, failed: replaced
"""

import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from types import FrameType

from models.errors import FanlightError
from service.monitoring import logs
from service.server import listening
from service.server.draining import is_from_terminal
from service.server.worker import HELD_BACK, Notice, Order

log = logs.Log()

TICK_SECONDS = 0.25
FAILED_STARTS = 3  # in a row, or as many as there are workers, end the service if none is ready
FIRST_DELAY, LONGEST_DELAY = 0.5, 60.0  # seconds before another start, doubled after each failure
MIN_SERVED_SECONDS = 1.0  # a worker that ends sooner has failed to start
STARTING_FACTOR = 6  # loading may hold the interpreter for longer than answering does
REMIND_SECONDS = 60.0  # between two lines about a worker that is still starting


class WorkersError(FanlightError):
    """No worker process could start; the message has the reason of the last one."""


@dataclass(frozen=True)
class Times:
    """Time limits of the supervisor, in seconds."""

    grace: float  # in which an ending service still accepts
    answers: float  # for what was accepted, after it
    silence: float  # of a worker, before it counts as hung


class Worker:
    """A worker process, and what the supervisor knows about it."""

    def __init__(
        self,
        create: Callable[[socket.socket], BaseProcess],
        replaces: "Worker | None" = None,
    ) -> None:
        self.channel, theirs = socket.socketpair()
        self.channel.setblocking(False)
        with theirs:
            self.process = create(theirs)
            resource_tracker.ensure_running()  # it unblocks signals when it is started
            before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
            try:
                self.process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.replaces = replaces
        self.started = time.monotonic()
        self.reminded = self.started
        self.ready_since: float | None = None
        self.retired_since: float | None = None
        self.is_finishing = False
        self.beats = False  # it has once told that its event loop runs
        self.silent = 0.0  # seconds since it last did
        self.reason = b""  # why it could not start

    @property
    def pid(self) -> int | None:
        return self.process.pid

    def order(self, order: bytes) -> None:
        with suppress(OSError):  # it has ended
            self.channel.send(order)

    def notices(self) -> bytes:
        """Return the notices that the worker has sent since the last call.

        The reason of a failed start is not returned but stored in `reason`.
        """
        said = b""
        with suppress(OSError):
            while more := self.channel.recv(4096):
                said += more
        said, mark, reason = said.partition(Notice.FAILED)
        self.reason += mark + reason
        return said

    def kill(self, why: str) -> None:
        self.reason = self.reason or Notice.FAILED + why.encode()
        self.process.kill()

    def how_it_ended(self) -> str:
        code = self.process.exitcode
        if self.reason:
            return self.reason.removeprefix(Notice.FAILED).decode(errors="replace")
        if code == -signal.SIGKILL:
            return "killed by SIGKILL, as the system does when memory runs out"
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"ended with status {code}"


class Supervisor:
    """Keeps `workers` processes ready until a signal ends the service, or none can start.

    `create` gets the worker's end of a channel, and returns a process that is not started yet.
    `ended` is called with the process id of each worker that has ended.
    """

    def __init__(
        self,
        create: Callable[[socket.socket], BaseProcess],
        workers: int,
        listeners: Sequence[socket.socket],
        times: Times,
        ended: Callable[[int], None],
    ) -> None:
        self._create, self._wanted, self._listeners = create, workers, listeners
        self._times, self._ended = times, ended
        self._workers: set[Worker] = set()
        self._to_replace: deque[Worker] = deque()
        self._failures = 0  # starts that failed, since one succeeded
        self._reason = ""
        self._start_at = 0.0  # the next start not before that
        self._selector = selectors.DefaultSelector()
        self._signals: deque[int] = deque()
        self._is_ending = False
        self._ticked = time.monotonic()

    def run(self) -> None:
        """Serve until a signal ends the service. Raises `WorkersError` if no worker can start.

        SIGHUP replaces the workers one after the other. Once the service is ending, any other
        signal ends it at once (`SystemExit`).
        """
        with self._hearing(), self._selector:
            try:
                while not self._is_ending:
                    self._keep_up()
                    self._turn()
                    self._follow_signals()
                self._end()
            finally:
                for worker in self._workers:
                    worker.kill("the service ends")
                    worker.process.join()

    @contextmanager
    def _hearing(self) -> Iterator[None]:
        reading, writing = socket.socketpair()
        with reading, writing:
            reading.setblocking(False)
            writing.setblocking(False)
            self._selector.register(reading, selectors.EVENT_READ)
            handlers = {each: signal.signal(each, self._hear) for each in HELD_BACK}
            before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
            try:
                yield
            finally:
                signal.set_wakeup_fd(before)
                for each, handler in handlers.items():
                    signal.signal(each, handler)

    def _hear(self, sig: int, frame: FrameType | None) -> None:
        if self._is_ending and sig != signal.SIGHUP:
            raise SystemExit(128 + sig)
        self._signals.append(sig)

    def _follow_signals(self) -> None:
        while self._signals:
            sig = self._signals.popleft()
            if sig == signal.SIGHUP and not is_from_terminal(sig):
                log.info("replacing all workers")
                self._to_replace.extend(self._active())
                continue
            self._is_ending = True
            if is_from_terminal(sig):
                self._times = replace(self._times, grace=0)

    # --- while it serves

    def _active(self) -> list[Worker]:
        """Return the workers that are not retired, without replacements that are still starting."""
        return [each for each in self._workers if not each.retired_since and not each.replaces]

    def _keep_up(self) -> None:
        now, active = time.monotonic(), self._active()
        is_starting = any(each.ready_since is None for each in self._workers)
        if not self._workers and self._failures >= max(FAILED_STARTS, self._wanted):
            raise WorkersError(
                f"no worker could start; the last one: {self._reason}; the log has more. "
                "If memory is short, give the service more of it, or lower the setting workers"
            )
        for _ in range(self._wanted - len(active)):
            # after a failure one at a time, since they may need memory that isn't there
            if now < self._start_at or (self._failures and is_starting):
                break
            self._start()
            is_starting = True
        self._replace_next(is_starting)
        for each in self._workers:
            if each.retired_since and now >= each.retired_since + self._times.grace:
                self._finish(each)

    def _start(self, replaces: Worker | None = None) -> None:
        worker = Worker(self._create, replaces)
        self._workers.add(worker)
        self._selector.register(worker.channel, selectors.EVENT_READ, worker)
        self._selector.register(worker.process.sentinel, selectors.EVENT_READ, worker)
        log.info("worker starts", pid=worker.pid)

    def _replace_next(self, is_starting: bool) -> None:
        """Start the next replacement, once the last retired worker has ended, to save memory."""
        if is_starting or any(each.retired_since for each in self._workers):
            return
        while self._to_replace:
            old = self._to_replace.popleft()
            if old in self._workers and not old.retired_since:
                self._start(replaces=old)
                return

    def _is_ready(self, worker: Worker) -> None:
        worker.ready_since = time.monotonic()
        self._failures = 0
        log.info("worker ready", pid=worker.pid, s=round(worker.ready_since - worker.started, 2))
        old, worker.replaces = worker.replaces, None
        if old in self._workers:
            old.retired_since = worker.ready_since
            old.order(Order.RETIRE)

    def _finish(self, worker: Worker) -> None:
        if not worker.is_finishing:
            worker.is_finishing = True
            worker.order(Order.FINISH)

    # --- what happens

    def _turn(self, seconds: float = TICK_SECONDS) -> None:
        """Wait at most `seconds` for an event, handle it, and check every worker."""
        for key, _ in self._selector.select(min(seconds, TICK_SECONDS)):
            worker = key.data
            if worker is None:
                with suppress(BlockingIOError):
                    key.fileobj.recv(64)  # type: ignore[union-attr]
            elif worker in self._workers:
                self._listen_to(worker)
        now = time.monotonic()
        # a pause of the whole machine is no silence of the workers
        passed, self._ticked = min(now - self._ticked, 2 * TICK_SECONDS), now
        for worker in list(self._workers):
            if not worker.process.is_alive():
                self._has_ended(worker)
            else:
                self._look_after(worker, passed, now)

    def _listen_to(self, worker: Worker) -> None:
        notices = worker.notices()
        if notices:
            worker.beats, worker.silent = True, 0.0
        if Notice.READY in notices:
            self._is_ready(worker)
        if Notice.LEAVING in notices and not self._is_ending and not worker.retired_since:
            log.info("replacing a worker", pid=worker.pid)
            self._to_replace.append(worker)

    def _look_after(self, worker: Worker, passed: float, now: float) -> None:
        worker.silent += passed
        longest = self._times.silence * (1 if worker.ready_since else STARTING_FACTOR)
        if worker.beats and worker.silent > longest:
            log.error("worker hangs", pid=worker.pid, silent_s=round(worker.silent, 1))
            worker.kill(f"no sign of life for {worker.silent:.1f} s (setting worker_timeout)")
            worker.silent = 0.0
        longest = self._times.grace + self._times.answers
        if worker.is_finishing and now > (worker.retired_since or now) + longest:
            log.error("worker does not end", pid=worker.pid)
            worker.kill("it did not end in time")
        if worker.ready_since is None and now > worker.reminded + REMIND_SECONDS:
            worker.reminded = now
            log.warning("worker still starting", pid=worker.pid, s=round(now - worker.started))

    def _has_ended(self, worker: Worker) -> None:
        worker.notices()
        worker.process.join()
        self._selector.unregister(worker.channel)
        self._selector.unregister(worker.process.sentinel)
        worker.channel.close()
        self._workers.discard(worker)
        for each in self._workers:
            if each.replaces is worker:  # which is simply one of the workers now
                each.replaces = None
        if worker.pid is not None:
            self._ended(worker.pid)
        how, pid = worker.how_it_ended(), worker.pid
        if worker.retired_since or self._is_ending:
            log.info("worker ended", pid=pid, how=how)
        elif worker.ready_since and time.monotonic() - worker.ready_since >= MIN_SERVED_SECONDS:
            log.error("worker died", pid=pid, how=how)
        elif worker.replaces:
            log.error("worker not replaced", pid=pid, how=how, kept=worker.replaces.pid)
            self._to_replace.clear()
        else:
            self._failures += 1
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (self._failures - 1))
            self._reason, self._start_at = how, time.monotonic() + delay
            log.error("worker did not start", pid=pid, how=how, next_in_s=delay)

    # --- the end

    def _end(self) -> None:
        """Drain for the grace period, let the workers empty the backlog, then let them finish."""
        log.info("draining", seconds=self._times.grace)
        for worker in self._workers:
            if worker.ready_since is None:
                worker.kill("it was not ready")  # and had accepted nobody
            worker.retired_since = time.monotonic()
            worker.order(Order.DRAIN)
        self._wait(self._times.grace)
        for each in self._listeners:
            listening.hold_back(each)
        self._wait(listening.LAST_HANDSHAKES)
        self._wait(listening.BACKLOG_SECONDS, lambda: self._waiting)
        listening.close(self._listeners)
        for worker in self._workers:
            self._finish(worker)
        self._wait(self._times.answers + 2 * TICK_SECONDS)  # then `_look_after` has killed the rest

    @property
    def _waiting(self) -> bool:
        """Whether a connection waits to be accepted."""
        return any(listening.has_input(each.fileno()) for each in self._listeners)

    def _wait(self, seconds: float, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Run turns for at most `seconds`, while `goes_on()` is true and there are workers."""
        deadline = time.monotonic() + seconds
        while self._workers and goes_on() and (left := deadline - time.monotonic()) > 0:
            self._turn(left)

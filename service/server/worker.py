"""A worker process, and the messages of one byte between it and its supervisor.

    supervisor → `Order` → worker          worker → `Notice` → supervisor

The heartbeat comes from the worker's event loop: it ends where the process is stopped, and where
the loop never gets its turn. Signals that a terminal or a service manager sends to all processes
change nothing in a worker: the supervisor gets them too, and knows what each worker has to do.
"""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn

from service.monitoring import logs
from service.server.draining import DrainingServer

log = logs.Log()

BEAT_SECONDS = 0.5
HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that are blocked in a worker until it handles them."""
MAX_REASON_BYTES = 2000


class Order:
    DRAIN = b"d"  # close each connection with its next answer
    RETIRE = b"r"  # the same, and accept nothing more: others do
    FINISH = b"f"  # the grace period is over


class Notice:
    BEAT = b"."
    READY = b"r"  # it listens
    LEAVING = b"l"  # somebody wants this worker to end
    FAILED = b"!"  # it could not start; the reason follows


class WorkerServer(DrainingServer):
    """A server that obeys a supervisor, and ends by itself once the supervisor is gone."""

    def __init__(self, config: uvicorn.Config, channel: socket.socket) -> None:
        super().__init__(config, grace=0)
        channel.setblocking(False)
        self._channel = channel
        self._is_orphan = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM:
            tell(self._channel, Notice.LEAVING)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel, self._obey)
        self._beat(loop)
        await super().startup(sockets)

    def listens(self, sockets: list[socket.socket]) -> None:
        tell(self._channel, Notice.READY)

    async def stop_listening(self, sockets: list[socket.socket]) -> None:
        """Close the listeners, without emptying the backlog: the supervisor or other workers do.

        If the supervisor is gone, empty the backlog first.
        """
        if self._is_orphan:
            await super().stop_listening(sockets)
        else:
            await self.close_listeners()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        tell(self._channel, Notice.BEAT)
        loop.call_later(BEAT_SECONDS, self._beat, loop)

    def _obey(self) -> None:
        orders = b""
        with suppress(ConnectionError):
            orders = self._channel.recv(64)
        if not orders:
            log.error("the supervisor is gone; this worker ends")
            asyncio.get_running_loop().remove_reader(self._channel)
            self._is_orphan = True
        self.drain()
        if Order.RETIRE in orders:
            self.refuse_connections()
        if Order.FINISH in orders or not orders:
            self.grace_is_over()


def tell(channel: socket.socket, notice: bytes) -> None:
    """Send a notice to the supervisor, ignoring the error if the supervisor is gone."""
    with suppress(OSError):
        channel.send(notice)


def reason_of(error: BaseException) -> bytes:
    """Return the notice that a worker failed to start because of this error."""
    text = str(error) or type(error).__name__
    if isinstance(error, SystemExit):
        text = "its application did not start; the log says why"
    return Notice.FAILED + text.encode(errors="replace")[:MAX_REASON_BYTES]
